"""SIGINT and SIGTERM as a call on the event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

__all__ = ["on_termination"]


def on_termination(stop: Callable[[], None]) -> None:
    """Calls `stop` on the running loop at SIGINT and SIGTERM, in place of what Python would do.

    Args:
        stop: called at each of the signals.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
