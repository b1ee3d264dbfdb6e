"""The event loop that lexmesh prefers, and servers that run until a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

from lexmesh.errors import TransportError

FAST_LOOP = "winloop" if sys.platform == "win32" else "uvloop"

T = TypeVar("T")


class Server(Protocol):
    """What can be started and drained, and follows a policy."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def reload_policy(self) -> bool: ...


def foreign_transports(*, tls: bool = False) -> bool | None:
    """Whether the frame layer may put its own transports in place of the running loop's.

    Args:
        tls: whether they encrypt. uvloop's then tell within a write that the next may come, and may tell it never.

    Returns:
        False on uvloop and winloop: their own are as fast, take 5 KiB less a connection, and hear of a reset, which
        libuv tells nobody who only polls a socket. None, the frame layer's own choice, on a loop written in Python.
    """
    return None if tls or isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop) else False


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on uvloop (Windows: winloop) where there is one, else on asyncio's own loop."""
    try:
        fast_loop = import_module(FAST_LOOP)
    except ImportError:
        return asyncio.run(main)
    return cast(T, fast_loop.run(main))


def reload_on_hangup(server: Server) -> None:
    """Has the running loop reload a server's policy at SIGHUP, which then ends the process no more."""
    if not hasattr(signal, "SIGHUP"):  # Windows
        return
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[bool]] = set()  # the loop itself holds tasks by weak references only

    def reload() -> None:
        task = loop.create_task(server.reload_policy())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)


def settle() -> None:
    """Takes what a program has loaded out of the garbage collector's sight; for programs that are nothing but a server.

    It stays until the end, and a full collection that walks over it holds up the loop for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()


async def until_signal(server: Server) -> None:
    """Starts a server and drains it at SIGINT or SIGTERM; SIGHUP reloads its policy."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    reload_on_hangup(server)
    await server.start()
    settle()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    try:
        await asked.wait()
    finally:
        await server.stop()


def run_until_signal(server: Server) -> None:
    """Runs a server in a plain script until SIGINT or SIGTERM; a server that cannot start ends it with one line."""
    try:
        run(until_signal(server))
    except TransportError as error:
        raise SystemExit(f"lexmesh: {error}") from None
