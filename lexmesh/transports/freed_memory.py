"""Gives freed memory back to the system.

glibc keeps what lies below anything still in use, and raises the size from which a block is the system's own as such
blocks are freed (mallopt(3), M_MMAP_THRESHOLD): buffers of large messages stay with the process after they are freed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["WORTH_BYTES", "give_back"]

WORTH_BYTES = 1024 * 1024
"""Freed bytes for which it is worth while: it looks through all that the process has freed."""


def give_back() -> None:
    """Gives back what it can, where the C library has a way (glibc's malloc_trim(3))."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], object] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return None
