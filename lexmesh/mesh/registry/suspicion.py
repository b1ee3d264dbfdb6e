"""How likely it is that a node is gone, from when its heartbeats came.

The phi accrual failure detector of Hayashibara, Défago, Yared and Katayama (SRDS 2004): phi is the negative decimal
logarithm of the chance that a heartbeat comes even later than now, if they go on to vary as they did. A node whose
heartbeats come unevenly, since its machine is busy, is given more time than one that was as regular as a clock.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["DEAD_PHI", "SUSPECT_PHI", "Suspicion"]

SUSPECT_PHI = 3.0
"""One chance in a thousand that the node is well."""

DEAD_PHI = 8.0
"""One in a hundred million: some two and a half intervals for a node that was regular."""

WINDOW = 64  # intervals that are remembered
LEAST_DEVIATION = 0.25  # of the interval: a loop turn that took long is no reason to suspect
MOST_PHI = 300.0


class Suspicion:
    """The heartbeats of one node.

    Args:
        interval: milliseconds between two heartbeats, as announced; what is reckoned with until some have come.
        now: milliseconds, when the node was first heard of; counts as a heartbeat.
    """

    __slots__ = ("_interval", "_intervals", "_squares", "_sum", "last")

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval
        self._intervals: deque[float] = deque(maxlen=WINDOW)
        self._sum = 0.0
        self._squares = 0.0
        self.last = now

    def heartbeat(self, now: float) -> None:
        """One has come."""
        passed = max(0.0, now - self.last)
        self.last = max(self.last, now)
        if not self._intervals and passed < self._interval:
            return  # it was heard of in the midst of one
        if len(self._intervals) == WINDOW:
            oldest = self._intervals[0]
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._intervals.append(passed)
        self._sum += passed
        self._squares += passed * passed

    def excuse(self, passed: float, now: float) -> None:
        """Time in which none could be heard counts for nothing; negative where the clock was set back."""
        self.last = min(now, self.last + passed)

    def phi(self, now: float) -> float:
        """How much the node is suspected; 0 right after a heartbeat, at most 300."""
        count = len(self._intervals)
        mean = max(self._interval, self._sum / count) if count else self._interval
        variance = self._squares / count - (self._sum / count) ** 2 if count else 0.0
        deviation = max(math.sqrt(max(variance, 0.0)), LEAST_DEVIATION * mean)
        later = 0.5 * math.erfc((now - self.last - mean) / (deviation * math.sqrt(2)))
        return min(MOST_PHI, -math.log10(later)) if later > 0 else MOST_PHI
