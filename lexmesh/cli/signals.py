"""SIGINT and SIGTERM: a call on the event loop, or the orderly end of a command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from ..transports.loop import run
from .exits import complain

__all__ = ["hear_interrupts", "on_termination", "run_to_exit_code"]


def hear_interrupts() -> None:
    """Has Ctrl-C raise KeyboardInterrupt again, for commands without an event loop, once their imports are done."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def on_termination(stop: Callable[[signal.Signals], None]) -> None:
    """Calls `stop` on the running loop at SIGINT and SIGTERM, in place of what Python would do.

    A shell script starts its background jobs with SIGINT ignored; this hears it there too.

    Args:
        stop: called with the signal, at each of them.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, signal.Signals(got)))


def run_to_exit_code(main: Coroutine[Any, Any, int]) -> int:
    """Runs a command's coroutine; SIGINT and SIGTERM cancel it.

    Args:
        main: returns the exit code. When cancelled, it may still put things in order, and end or not.

    Returns:
        The code of the signal that came, if one came, else the coroutine's.
    """
    signals: list[signal.Signals] = []

    async def cancellable() -> int:
        task = asyncio.create_task(main)

        def stop(number: signal.Signals) -> None:
            signals.append(number)
            task.cancel()

        on_termination(stop)
        return await task

    try:
        code = run(cancellable())
    except asyncio.CancelledError:
        code = 0
    if not signals:
        return code
    complain("interrupted")
    return 128 + signals[0]
