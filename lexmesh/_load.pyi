"""Strict JSON text as Python values, as orjson reads it."""

from typing import Any

def loaded(text: bytes) -> tuple[Any] | None: ...
