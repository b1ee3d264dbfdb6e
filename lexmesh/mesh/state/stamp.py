"""Hybrid logical clocks: close to wall time, and never behind a stamp that was seen.

After Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks" (OPODIS 2014).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MOST_AHEAD_MS", "MOST_COUNT", "AheadError", "HybridClock", "Stamp"]

MOST_AHEAD_MS = 60_000
"""A stamp that is further ahead of this node's time is refused: it would win over all that is written until then."""


MOST_COUNT = 1 << 53
"""Numbers of a stamp, and versions, are below: so they survive any JSON parser."""


class Stamp(NamedTuple):
    """When something was written.

    Args:
        ms: milliseconds since 1970-01-01 UTC.
        logical: tells writes of one millisecond apart.
    """

    ms: int
    logical: int


NEVER = Stamp(0, 0)


class AheadError(ValueError):
    """A stamp is too far in the future."""


class HybridClock:
    """Stamps of one node, each greater than the one before and than all that it has seen.

    Attributes:
        last: the greatest stamp made or seen.
    """

    def __init__(self) -> None:
        self.last = NEVER

    def next(self, now: int) -> Stamp:
        """Makes a stamp.

        Args:
            now: milliseconds since 1970-01-01 UTC.
        """
        last = self.last
        if now > last.ms:
            self.last = Stamp(now, 0)
        elif last.logical + 1 < MOST_COUNT:
            self.last = Stamp(last.ms, last.logical + 1)
        else:  # another node has used the millisecond up
            self.last = Stamp(last.ms + 1, 0)
        return self.last

    def see(self, stamp: Stamp, now: int) -> None:
        """Takes note of another node's stamp.

        Args:
            stamp: the stamp.
            now: milliseconds since 1970-01-01 UTC.

        Raises:
            AheadError: if it is over MOST_AHEAD_MS ahead.
        """
        if stamp.ms - now > MOST_AHEAD_MS:
            raise AheadError(f"stamped {stamp.ms - now} ms ahead of this node; at most {MOST_AHEAD_MS} are taken")
        self.last = max(self.last, stamp)
