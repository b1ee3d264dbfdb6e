"""Delays between attempts to reconnect."""

from __future__ import annotations

from collections.abc import Callable

from lexmesh.transports.chance import chance

FIRST_SECONDS = 0.1
CAP_SECONDS = 10.0


class Backoff:
    """Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).

    Args:
        first: upper bound of the first delay, seconds.
        cap: upper bound of any delay, seconds.
        uniform: draws from [0, bound]; the running context's chance when None.
    """

    def __init__(
        self,
        first: float = FIRST_SECONDS,
        cap: float = CAP_SECONDS,
        uniform: Callable[[float, float], float] | None = None,
    ) -> None:
        self._first = first
        self._cap = cap
        self._uniform = uniform or chance().uniform
        self.attempts = 0

    def next_delay(self) -> float:
        """The delay before the next attempt, seconds: anything up to `first` doubled once an attempt, at most `cap`."""
        bound = min(self._cap, self._first * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return self._uniform(0.0, bound)

    def reset(self) -> None:
        """Starts over; call when a connection has proved good."""
        self.attempts = 0
