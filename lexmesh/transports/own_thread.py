"""A server on an event loop in a thread of its own, for plain scripts."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import FrameType
from typing import Any

from lexmesh.transports.loop import run

SIGNAL_GRACE = 5.0
"""Seconds that a server may take to end after Ctrl-C or SIGTERM."""


class OwnThread:
    """Runs one server from `start` to `stop`.

    Args:
        begin: what starts it.
        end: what ends it, within some seconds.
        reload: what SIGHUP asks for.
    """

    def __init__(
        self,
        begin: Callable[[], Coroutine[Any, Any, None]],
        end: Callable[[float], Coroutine[Any, Any, None]],
        reload: Callable[[], Coroutine[Any, Any, bool]],
    ) -> None:
        self._begin, self._end, self._reload = begin, end, reload
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._grace = SIGNAL_GRACE
        # A daemon: a script that ends without `stop` ends.
        self._thread = threading.Thread(target=lambda: run(self._main()), name="lexmesh-grpc", daemon=True)

    async def _main(self) -> None:
        self._asked = asyncio.Event()
        try:
            await self._begin()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._asked.wait()
        await self._end(self._grace)

    def start(self) -> None:
        """Starts the server; returns when it has started, and raises what kept it from that.

        Raises:
            RuntimeError: in a coroutine, whose loop would stand still meanwhile.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._thread.start()
            self._started.result()
        else:
            raise RuntimeError("start() blocks; in a coroutine write `async with server`, or await server.serve()")

    @property
    def is_running(self) -> bool:
        """Whether the server runs, starts or ends."""
        return self._thread.is_alive()

    def stop(self, grace: float) -> None:
        """Ends the server within `grace` seconds; waits for that, unless it is one of its own handlers that asks."""
        if not self._thread.is_alive():
            return
        self._grace = grace
        self._started.result().call_soon_threadsafe(self._asked.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def wait(self, timeout: float | None) -> bool:
        """Waits for the end, and ends the server at SIGINT or SIGTERM if this is the main thread.

        Returns:
            Whether it has come.
        """
        if threading.current_thread() is not threading.main_thread():
            self._thread.join(timeout)
            return not self._thread.is_alive()
        handlers = {signal.SIGINT: self._on_end, signal.SIGTERM: self._on_end}
        if hasattr(signal, "SIGHUP"):  # not on Windows
            handlers[signal.SIGHUP] = self._on_hangup
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            self._thread.join(timeout)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return not self._thread.is_alive()

    def _on_end(self, _number: int, _frame: FrameType | None) -> None:
        self._started.result().call_soon_threadsafe(self._asked.set)

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._reload(), self._started.result())
