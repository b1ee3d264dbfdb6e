"""How many entries a node asks a group's stream for at once; decides, and asks no clock."""

from __future__ import annotations

__all__ = ["MOST_AT_ONCE", "PageSize"]

MOST_AT_ONCE = 128
"""Entries that a node works on at a time."""

FIRST = 8
"""Entries: of the largest messages a few MiB, which a slow network still brings before it is asked again."""

MOST_BYTES = 4 << 20
"""Beyond, fewer are asked for: a page comes as one answer, within the time that an answer may take."""

QUICK_SECONDS = 0.5
"""Within which more are asked for: what waits behind slow handlers is better done by another node."""


class PageSize:
    """Grows while pages are small and quickly handed out, and shrinks when they are not.

    Attributes:
        size: entries to ask for next.
    """

    def __init__(self) -> None:
        self.size = FIRST

    def begin(self) -> None:
        """A connection is new: perhaps the last one ended because a page was too much for it."""
        self.size = min(self.size, FIRST)

    def had(self, size: int, seconds: float) -> None:
        """A page has been handed out.

        Args:
            size: its bytes.
            seconds: how long its handlers took, as far as they held up others.
        """
        if size > MOST_BYTES or seconds > QUICK_SECONDS:
            self.size = max(1, self.size // 2)
        elif 2 * size <= MOST_BYTES:
            self.size = min(MOST_AT_ONCE, 2 * self.size)
