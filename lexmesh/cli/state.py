"""Whether a command's connection is up, and the line on stderr when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ..errors import DisconnectedError
from .exits import complain

__all__ = ["LinkState"]

# Close codes that are a verdict on what was sent (RFC 6455, 7.4.1): the next connection would end the same way.
VERDICTS: Final = frozenset({1002, 1003, 1007, 1008, 1009})


class LinkState:
    """Follows a client's `on_state` calls.

    Attributes:
        name: the state last heard of.
        say: writes one line to stderr; a live display puts its own here.
    """

    def __init__(self) -> None:
        self.name = "connecting"
        self.say: Callable[[str], None] = complain
        self._settled = asyncio.Event()  # connected, or refused for good
        self._refusal: DisconnectedError | None = None
        self._ending = False
        self._was_lost = False

    async def up(self) -> None:
        """Waits until the connection is there.

        Raises:
            DisconnectedError: the gateway has refused what was sent, so trying again is of no use.
        """
        await self._settled.wait()
        if self._refusal is not None:
            raise self._refusal

    def change(self, state: str, detail: str) -> None:
        """Takes a new state; fits a client's `on_state`."""
        self.name = state
        if state == "connected":
            self._settled.set()
        elif self._refusal is None:
            self._settled.clear()
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
            self._judge(detail)

    def _judge(self, detail: str) -> None:
        code, _, reason = detail.partition(" ")
        if code.isdigit() and int(code) in VERDICTS:
            self._refusal = DisconnectedError(int(code), reason)
            self._settled.set()
        else:
            self.say(f"disconnected: {reason or 'connection lost'} ({code}); trying again until it is back")
