"""The machine that a simulated node runs on: its clock, and whether it does anything at all."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

__all__ = ["EPOCH_NS", "HOST", "Host"]

EPOCH_NS = 1_750_000_000 * 10**9
"""What the clocks say when a simulation begins; nanoseconds since 1970-01-01 UTC."""


class Host:
    """One simulated machine.

    Args:
        name: its node's name.

    Attributes:
        held: what it would do if it were not paused, in order; None while it is not.
        tasks: those of its node that have not ended, in the order of their creation.
        has_crashed: whether it does nothing any more, ever.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: list[asyncio.Handle] | None = None
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.has_crashed = False
        self._skew = 0.0
        self._drift = 0.0
        self._since = 0.0

    def set_clock(self, skew: float, drift: float, now: float) -> None:
        """Has the clock be wrong.

        Args:
            skew: seconds that it is ahead, from now on.
            drift: seconds that it gains each second.
            now: the loop's time, seconds.
        """
        self._skew, self._drift, self._since = skew, drift, now

    def clock_ns(self, now: float) -> int:
        """What its clock says at a time of the loop: nanoseconds since 1970-01-01 UTC."""
        wrong = self._skew + self._drift * (now - self._since)
        return EPOCH_NS + int((now + wrong) * 1e9)


HOST: ContextVar[Host | None] = ContextVar("lexmesh_host", default=None)
"""The machine that code of a running context runs on; None for the test's own."""
