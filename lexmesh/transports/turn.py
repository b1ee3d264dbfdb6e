"""One write a link and loop turn."""

from __future__ import annotations

import asyncio

from lexmesh._outbox import Outbox


class TurnFlusher:
    """Flushes the outboxes that got something, once, when the callbacks now ready have run.

    Args:
        loop: the event loop whose turns these are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Outbox] = []

    def schedule(self, outbox: Outbox) -> None:
        """Has an outbox flushed at the end of this loop turn; called at most once a turn for each."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(outbox)

    def flush(self) -> None:
        """Flushes all that wait."""
        waiting, self._waiting = self._waiting, []
        for outbox in waiting:
            outbox.flush()
