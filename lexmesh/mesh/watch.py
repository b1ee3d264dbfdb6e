"""One watcher of shared state."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from lexmesh.mesh.state.replica import Change

__all__ = ["MOST_WAITING", "Watch"]

MOST_WAITING = 10_000
"""Changes that wait for a watcher who does not read; then the oldest are dropped and counted."""

logger = logging.getLogger("lexmesh.state")


class Watch:
    """Changes of a key or category: `async for change in watch`, or a handler.

    Args:
        category: the category.
        key: the key; None for all.
        handler: callable(change); None for whoever iterates.
        on_close: callable(watch).

    Attributes:
        dropped: changes that were not read in time.
    """

    def __init__(
        self,
        category: str,
        key: str | None,
        handler: Callable[[Change], Any] | None,
        on_close: Callable[[Watch], None],
    ) -> None:
        self._category = category
        self._key = key
        self._handler = handler
        self._on_close = on_close
        self._changes: deque[Change] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def tell(self, change: Change) -> None:
        """A key changed; it may be another one."""
        if change.category != self._category or self._key not in (None, change.key):
            return
        if self._handler is not None:
            try:
                self._handler(change)
            except Exception:
                logger.exception("a watcher of %s raised", self._category)
            return
        self.dropped += len(self._changes) == MOST_WAITING
        self._changes.append(change)
        self._news.set()

    def close(self) -> None:
        """Ends the watch; what waits can still be read."""
        self._closed = True
        self._news.set()
        self._on_close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._changes.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
