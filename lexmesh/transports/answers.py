"""Messages that wait for another one to answer them, by id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint
from lexmesh._pipeline import Core
from lexmesh.errors import RequestTimeoutError

MAX_WAITING = 65_536
"""Answers that one node may wait for at once."""


class Answers:
    """The futures of requests, flushes and subscriptions under way.

    Args:
        core: told which ids are waited for, so that it routes replies to them here.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[str, asyncio.Future[StreamEvent]] = {}
        core.awaited = set()
        core.reply_endpoint = HandlerEndpoint(core, self, lambda event, _source: self._settle(event), None, None, None)

    async def ask(self, publish: Callable[[], str], what: str, timeout: float) -> StreamEvent:
        """Publishes a request and waits for the answer, which handlers of this node may give before it has left.

        Args:
            publish: publishes it as this node's next message, and returns its id.
            what: what it asks for, as an error would name it.
            timeout: seconds.

        Returns:
            The answer.

        Raises:
            RequestTimeoutError: if none comes in time, or too many are waited for already.
            Exception: what `publish` raises, or `fail` or `fail_all` is given.
        """
        return await self._wait(self._core.next_id, publish, what, timeout)

    async def to(self, id: str, what: str, timeout: float | None) -> StreamEvent:
        """Waits for the answer to a message that has left.

        Args:
            id: the message's id.
            what: what it asked for, as an error would name it.
            timeout: seconds; None for as long as the connection lasts.

        Returns:
            The answer.

        Raises:
            RequestTimeoutError: if none comes in time, or too many are waited for already.
            Exception: what `fail` or `fail_all` is given.
        """
        return await self._wait(id, None, what, timeout)

    async def _wait(self, id: str, publish: Callable[[], str] | None, what: str, timeout: float | None) -> StreamEvent:
        if len(self._waiting) >= MAX_WAITING:
            raise RequestTimeoutError(f"{what}: {MAX_WAITING} requests wait already", 0)
        future: asyncio.Future[StreamEvent] = asyncio.get_running_loop().create_future()
        self._waiting[id] = future
        self._core.awaited.add(id)
        try:
            if publish is not None:
                publish()
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise RequestTimeoutError(what, timeout or 0) from None
        finally:
            del self._waiting[id]
            self._core.awaited.discard(id)

    def resolve(self, event: StreamEvent) -> bool:
        """Hands an answer to whom waits for it; false if nobody does."""
        waiting = self._waiting.get(event.reply_to)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(event)
        return True

    def _settle(self, event: StreamEvent) -> None:
        """What the core calls with a reply; returns nothing, so that nothing is sent back."""
        self.resolve(event)

    def fail(self, id: str, error: Exception) -> bool:
        """Ends one wait with an exception; false if there is none."""
        waiting = self._waiting.get(id)
        if waiting is None or waiting.done():
            return False
        waiting.set_exception(error)
        return True

    def fail_all(self, error: Exception) -> None:
        """Ends all waits with an exception."""
        for id in list(self._waiting):
            self.fail(id, error)
