"""Runs the coroutines of handlers and filters on the event loop, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any

from lexmesh._router import Endpoint

BACKLOG_FACTOR = 64
"""Async calls that may wait for a place, as a multiple of the places; what comes on top is dropped and counted."""


class HandlerRunner:
    """Runs async handlers side by side and async filters in order within each source.

    Args:
        concurrency: handlers that run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self._places = concurrency
        self._backlog: deque[Coroutine[Any, Any, Any]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._in_order: dict[Endpoint, deque[Awaitable[Any]]] = {}
        self._filters: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Runs a handler's coroutine when there is a place; false when too many wait already."""
        if len(self._tasks) < self._places:
            self._start(coroutine)
        elif len(self._backlog) < BACKLOG_FACTOR * self._places:
            self._backlog.append(coroutine)
        else:
            return False
        return True

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
        if self._backlog:
            self._start(self._backlog.popleft())

    def defer(self, awaitable: Awaitable[Any], source: Endpoint) -> None:
        """Awaits filters of one source one after the other, so that its messages keep their order."""
        queue = self._in_order.get(source)
        if queue is not None:
            queue.append(awaitable)
            return
        self._in_order[source] = deque([awaitable])
        task = asyncio.ensure_future(self._drain(source))
        self._filters.add(task)
        task.add_done_callback(self._filters.discard)

    async def _drain(self, source: Endpoint) -> None:
        queue = self._in_order[source]
        try:
            while queue:
                await queue.popleft()
        finally:
            del self._in_order[source]

    @property
    def running(self) -> int:
        """Coroutines that run or wait."""
        return len(self._tasks) + len(self._backlog) + sum(map(len, self._in_order.values())) + len(self._filters)

    async def finish(self, seconds: float) -> None:
        """Gives what runs some time, then cancels the rest.

        Args:
            seconds: how long to wait.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self.running and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait([*self._tasks, *self._filters], timeout=left, return_when=asyncio.FIRST_COMPLETED)
        tasks = [*self._tasks, *self._filters]
        backlog, self._backlog = self._backlog, deque()
        tasks += [asyncio.ensure_future(coroutine) for coroutine in backlog]
        for queue in self._in_order.values():
            tasks += [asyncio.ensure_future(awaitable) for awaitable in queue]
            queue.clear()
        await asyncio.sleep(0)  # a coroutine must have begun to count its own cancellation
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
