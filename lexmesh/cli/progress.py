"""Progress on stderr: a live line on a terminal, else a plain line each second."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from .exits import complain

__all__ = ["progress"]

REFRESH_SECONDS: Final = 0.2
PLAIN_SECONDS: Final = 1.0

Say = Callable[[str], None]


@asynccontextmanager
async def progress(text: Callable[[], str]) -> AsyncIterator[Say]:
    """Shows `text()` again and again while the body runs.

    Args:
        text: what to show now; one line.

    Yields:
        A function that writes one line of its own without disturbing the display.
    """
    show = _on_terminal if sys.stderr.isatty() else _as_lines
    async with show(text) as say:
        yield say


@asynccontextmanager
async def _as_lines(text: Callable[[], str]) -> AsyncIterator[Say]:
    task = asyncio.create_task(_repeat(lambda: complain(text()), PLAIN_SECONDS))
    try:
        yield complain
    finally:
        task.cancel()


@asynccontextmanager
async def _on_terminal(text: Callable[[], str]) -> AsyncIterator[Say]:
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.status import Status  # noqa: PLC0415

    console = Console(stderr=True, highlight=False)
    with Status(text(), console=console) as status:
        task = asyncio.create_task(_repeat(lambda: status.update(text()), REFRESH_SECONDS))
        try:
            yield lambda line: console.print("lexmesh:", line, markup=False, soft_wrap=True)
        finally:
            task.cancel()


async def _repeat(act: Callable[[], None], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()
