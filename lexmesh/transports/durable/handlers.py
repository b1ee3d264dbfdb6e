"""The handlers of one durable group on this node, and what comes of each call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint
from lexmesh._router import Endpoint
from lexmesh._work import WorkSource
from lexmesh.pipeline import Handler, StreamPipeline, check_handler

__all__ = ["DurableHandlers"]

CANCEL_SECONDS = 0.25
"""How long a cancelled handler may take to end."""

Done = Callable[[bytes, BaseException | None], None]
"""callable(entry, error): a call has ended, well if there is no error; with CancelledError it was cut off."""


class DurableHandlers:
    """Calls handlers, each in its turn.

    Args:
        pipeline: counts and reports what they do, and sends what they answer.
        source: where the events come from.
        seconds: how long an async handler may take.
        on_done: told of each call's end.
    """

    def __init__(self, pipeline: StreamPipeline, source: WorkSource, seconds: float, on_done: Done) -> None:
        self._pipeline = pipeline
        self._source = source
        self._seconds = seconds
        self._on_done = on_done
        self._endpoints: list[HandlerEndpoint] = []
        self._turn = 0
        self._entry = b""
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._endpoints)

    def add(self, handler: Handler) -> None:
        """Adds one; nothing if it is there.

        Raises:
            TypeError: if it cannot be one.
        """
        check_handler(handler)
        if all(one.handler != handler for one in self._endpoints):
            self._endpoints.append(self._pipeline.endpoint(handler, self._caller(handler), self._run))

    def remove(self, handler: object) -> bool:
        """Removes one; whether it was there. What it is busy with goes on."""
        left = [one for one in self._endpoints if one.handler != handler]
        found = len(left) < len(self._endpoints)
        self._endpoints = left
        return found

    def hand(self, entry: bytes, event: StreamEvent) -> None:
        """Calls the next one."""
        self._turn = (self._turn + 1) % len(self._endpoints)
        self._entry = entry
        self._source.hand(event, self._endpoints[self._turn])

    async def stop(self, seconds: float, stopper: asyncio.Task[Any] | None) -> None:
        """Lets what runs end, for so long, and cancels the rest; but for a handler that stops its own node."""
        if tasks := self._tasks - {stopper}:
            await asyncio.wait(tasks, timeout=seconds)
        for task in self._tasks - {stopper}:
            task.cancel()
        if tasks := self._tasks - {stopper}:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    def _caller(self, handler: Handler) -> Callable[[StreamEvent, Endpoint], Any]:
        def call(event: StreamEvent, _source: Endpoint) -> Any:
            entry = self._entry
            try:
                result = handler(event)
            except BaseException as error:  # whatever it is, it has not been done
                self._on_done(entry, error)
                raise
            if inspect.isawaitable(result):
                return self._watched(entry, result)
            self._on_done(entry, None)
            return result

        return call

    async def _watched(self, entry: bytes, result: Any) -> Any:
        try:
            async with asyncio.timeout(self._seconds) as limit:
                result = await result
        except BaseException as error:
            late = TimeoutError(f"it took longer than {self._seconds:g} s") if limit.expired() else None
            self._on_done(entry, late or error)
            raise
        self._on_done(entry, None)
        return result

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True
