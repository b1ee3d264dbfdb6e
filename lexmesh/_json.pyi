"""Strict JSON: a walk that refuses what two parsers could read differently."""

from typing import final

@final
class Walker:
    """Scratch space of the strict walk; one per decoder, reused for every message."""

def strict_json(text: bytes) -> None: ...
