"""Tasks that live and end with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

__all__ = ["ended", "run_together"]

CANCEL_SECONDS = 0.1


async def run_together(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs coroutines until one of them ends; the others are cancelled then.

    Raises:
        Exception: what the first one raised.
    """
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        first, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in first:
            task.result()
    finally:
        await ended(tasks, CANCEL_SECONDS)


async def ended(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> None:
    """Cancels tasks every so often until they are done: `wait_for` of Python 3.11 may swallow one.

    Not a TaskGroup for the same reason: it cancels once, and forgets that itself was cancelled when a task fails.
    """
    tasks = list(tasks)
    cut: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=seconds)
        except asyncio.CancelledError as error:  # those that end this are not to be left behind for that
            cut = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # has been seen
    if cut is not None:
        raise cut
