"""Connections that were reset, on event loops that do not tell.

libuv ends the polling of a socket that has an error, and uvloop's `add_reader` then calls nobody: the frame layer's
transports (aiofastnet's), which read through it, would stay open for ever when a peer vanishes in a reset.
"""

from __future__ import annotations

import asyncio
import select
from typing import Any, Protocol
from weakref import WeakKeyDictionary


class Resettable(Protocol):
    """A connection."""

    def on_reset(self) -> None: ...


class ResetWatch:
    """Tells connections that their sockets have an error or a hang-up, by an epoll of its own.

    The kernel takes a socket out of it when it is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Resettable] = {}
        loop.add_reader(self._epoll.fileno(), self._look)

    def add(self, fd: int, connection: Resettable) -> None:
        """Watches a connection's socket until it is discarded."""
        self._watched[fd] = connection
        # Errors and hang-ups are reported unasked; once each, since the socket stays in that state.
        self._epoll.register(fd, select.EPOLLET)

    def discard(self, fd: int) -> None:
        """Forgets a socket that is about to be closed."""
        self._watched.pop(fd, None)

    def _look(self) -> None:
        for fd, _ in self._epoll.poll(0):
            connection = self._watched.pop(fd, None)
            if connection is not None:
                connection.on_reset()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, ResetWatch] = WeakKeyDictionary()


def watch_for(transport: Any) -> ResetWatch | None:
    """The running loop's watch, None if a transport needs none: it must read through `add_reader`, and that be libuv's.

    Args:
        transport: an open transport.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop) or not hasattr(select, "epoll") or not hasattr(transport, "_read_ready"):
        return None
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = ResetWatch(loop)
    return watch
