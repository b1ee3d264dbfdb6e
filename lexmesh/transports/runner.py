"""Runs the coroutines of handlers and filters on the event loop, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any

from lexmesh._router import Endpoint

logger = logging.getLogger("lexmesh.pipeline")

MOST_DEFERRED = 1024
"""Messages of one link that may wait for async filters before reading from it stops."""

BACKLOG_FACTOR = 64
"""Async calls that may wait for a place, as a multiple of the places; what comes on top is dropped and counted."""


CANCEL_SECONDS = 0.25
"""How long a cancelled handler may take to end."""


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
        self._paused: set[Endpoint] = set()

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
            if len(queue) == MOST_DEFERRED:
                self._pause(source, True)
            return
        self._in_order[source] = deque([awaitable])
        task = asyncio.ensure_future(self._drain(source))
        self._filters.add(task)
        task.add_done_callback(self._filters.discard)

    async def _drain(self, source: Endpoint) -> None:
        queue = self._in_order[source]
        try:
            while queue:
                awaitable = queue.popleft()
                if len(queue) == MOST_DEFERRED // 2:
                    self._pause(source, False)
                try:
                    await awaitable
                except asyncio.CancelledError:  # of the filter alone, or of this task
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        raise
                except Exception as error:
                    logger.error("a message was lost to %s", type(error).__name__, exc_info=error)
        finally:
            del self._in_order[source]

    def _pause(self, source: Endpoint, stop: bool) -> None:
        """Stops reading from a link whose messages wait for filters, or reads again."""
        owner = getattr(source, "owner", None)
        if owner is None or stop == (source in self._paused):
            return
        if stop:
            self._paused.add(source)
            owner.pause()
        else:
            self._paused.discard(source)
            owner.resume()

    @property
    def running(self) -> int:
        """Coroutines that run or wait."""
        return len(self._tasks) + len(self._backlog) + sum(map(len, self._in_order.values())) + len(self._filters)

    def _others(self) -> list[asyncio.Task[Any]]:
        """What runs, but for the task that asks: a handler may stop its own node."""
        return [task for task in (*self._tasks, *self._filters) if task is not asyncio.current_task()]

    async def finish(self, seconds: float) -> None:
        """Gives what runs some time, then cancels the rest; a handler that refuses to end is left behind.

        Args:
            seconds: how long to wait.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while (tasks := self._others()) and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        tasks = self._others()
        backlog, self._backlog = self._backlog, deque()
        tasks += [asyncio.ensure_future(coroutine) for coroutine in backlog]
        for queue in self._in_order.values():
            tasks += [asyncio.ensure_future(awaitable) for awaitable in queue]
            queue.clear()
        await asyncio.sleep(0)  # a coroutine must have begun to count its own cancellation
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        ended, _ = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        for task in ended:
            if not task.cancelled():
                task.exception()  # told of already; asyncio would warn that nobody asked
