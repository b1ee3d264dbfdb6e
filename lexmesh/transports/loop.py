"""The event loop that lexmesh prefers, and servers that run until a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

from lexmesh.errors import TransportError

FAST_LOOP = "winloop" if sys.platform == "win32" else "uvloop"

T = TypeVar("T")


class Startable(Protocol):
    """What can be started and drained."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on uvloop (Windows: winloop) where there is one, else on asyncio's own loop."""
    try:
        fast_loop = import_module(FAST_LOOP)
    except ImportError:
        return asyncio.run(main)
    return cast(T, fast_loop.run(main))


async def until_signal(server: Startable) -> None:
    """Starts a server and drains it at SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    await server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    try:
        await asked.wait()
    finally:
        await server.stop()


def run_until_signal(server: Startable) -> None:
    """Runs a server in a plain script until SIGINT or SIGTERM; a server that cannot start ends it with one line."""
    try:
        run(until_signal(server))
    except TransportError as error:
        raise SystemExit(f"lexmesh: {error}") from None
