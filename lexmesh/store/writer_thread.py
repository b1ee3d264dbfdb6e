"""One thread beside an event loop, for calls that may hang for good; the process ends without waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["WriterThread"]

T = TypeVar("T")
Job = tuple[asyncio.Future[Any], Callable[[], Any]]


class WriterThread:
    """Makes calls one after the other, in the order in which they were asked for.

    Not `asyncio.to_thread`: both the loop's end and the interpreter's wait for its threads, however long a disk hangs.

    Args:
        name: of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job | None] | None = None
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Makes a call in the thread, which is started if there is none.

        Args:
            call: what to do; it goes on when the caller is cancelled.

        Returns:
            What it returns.

        Raises:
            Exception: what it raises.
        """
        if self._jobs is None:
            self._jobs = SimpleQueue()
            work = (self._thread, self._jobs)
            self._thread = threading.Thread(target=_work, args=work, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((future, call))
        return await future

    def end(self) -> None:
        """Lets the thread go after the calls that it has; the next call starts another, which waits for it."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            jobs.put(None)


def _work(former: threading.Thread | None, jobs: SimpleQueue[Job | None]) -> None:
    if former is not None:
        former.join()
    while (job := jobs.get()) is not None:
        future, call = job
        result, error = None, None
        try:
            result = call()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            future.get_loop().call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():  # cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
