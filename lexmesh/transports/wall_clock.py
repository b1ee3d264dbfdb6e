"""The wall clock, for parts that may also be given another one."""

from __future__ import annotations

import time

__all__ = ["now_ms", "wall_ms"]


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def wall_ms() -> float:
    """The same with its fraction."""
    return time.time_ns() / 1_000_000
