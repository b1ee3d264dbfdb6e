"""Values as JSON text that is kept."""

from __future__ import annotations

import math
from typing import Any

import orjson

__all__ = ["kept_text"]


def kept_text(value: Any) -> bytes:
    """The JSON text of a value, in no more memory than it has bytes: orjson's own holds on to a buffer of 4 KiB.

    Raises:
        TypeError: if JSON cannot say the value.
    """
    text = orjson.dumps(value)
    if b"null" in text and not _is_finite(value):
        raise TypeError("JSON cannot say NaN or infinity")
    return bytes(memoryview(text))


def _is_finite(value: Any) -> bool:
    """Whether a value has no number that orjson writes as null."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return True
