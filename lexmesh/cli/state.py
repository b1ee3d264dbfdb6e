"""Whether a command's connection is up, and the line on stderr when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .exits import complain

__all__ = ["LinkState"]


class LinkState:
    """Follows a client's `on_state` calls.

    Attributes:
        up: set while connected.
        name: the state last heard of.
        say: writes one line to stderr; a live display puts its own here.
    """

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.name = "connecting"
        self.say: Callable[[str], None] = complain
        self._ending = False
        self._was_lost = False

    def change(self, state: str, detail: str) -> None:
        """Takes a new state; fits a client's `on_state`."""
        self.name = state
        if state == "connected":
            self.up.set()
        else:
            self.up.clear()
        if not self._ending:
            self._tell(state, detail)

    def closing(self) -> None:
        """From now on a disconnect is ours and not worth a line."""
        self._ending = True

    def _tell(self, state: str, detail: str) -> None:
        if state == "connected" and self._was_lost:
            self._was_lost = False
            self.say("connected again")
        elif state == "disconnected" and not self._was_lost:
            self._was_lost = True
            self.say(f"disconnected: {detail or 'connection lost'}; trying again until it is back")
