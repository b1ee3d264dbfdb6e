"""The event loop that the commands run on: uvloop, winloop on Windows, else asyncio's own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["on_termination", "run"]

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine to its end on the fastest loop there is.

    Args:
        main: the coroutine; Ctrl-C cancels it.

    Returns:
        Its result.

    Raises:
        KeyboardInterrupt: after Ctrl-C, unless the coroutine ends in order when it is cancelled.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        if sys.platform == "win32":
            import winloop as fast  # noqa: PLC0415 - one of the two is installed
        else:
            import uvloop as fast  # noqa: PLC0415
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = fast.new_event_loop
    return factory


def on_termination(stop: Callable[[], None]) -> None:
    """Calls `stop` on the loop at SIGINT and SIGTERM, in place of what Python would do.

    Args:
        stop: called at each of the signals.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
