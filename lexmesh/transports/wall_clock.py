"""The wall clock, for parts that may also be given another one; a simulation sets it for the whole process."""

from __future__ import annotations

import time

from lexmesh._clock import is_virtual, wall_ns

__all__ = ["cpu_seconds", "now_ms", "wall_ms"]


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return wall_ns() // 1_000_000


def wall_ms() -> float:
    """The same with its fraction."""
    return wall_ns() / 1_000_000


def cpu_seconds() -> float:
    """Seconds that this thread has worked; where time is virtual, no work takes any."""
    return 0.0 if is_virtual() else time.thread_time()
