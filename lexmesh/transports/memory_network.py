"""The nodes of one process under their names, as `memory://name`; how long what they say takes is the network's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from lexmesh.errors import ConnectError, HandshakeError, TransportError
from lexmesh.transports.memory_stream import RESET, MemoryStream, Opening, Pipe, Segment, connection

__all__ = ["NETWORK", "SCHEME", "MemoryNetwork", "current_network"]

SCHEME = "memory://"

Serve = Callable[[MemoryStream, str], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who accepts connections under a name, on which loop and in which context."""

    serve: Serve
    loop: asyncio.AbstractEventLoop
    context: Context


class MemoryNetwork:
    """Connects nodes that run on one event loop; what one writes the other reads in the next loop turn.

    A subclass may take longer over it, or lose connections: it overrides `carry`.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._serving: dict[asyncio.Task[None], None] = {}  # the loop itself holds tasks by weak references only

    # -- accepting --------------------------------------------------------------------------------------------------

    def listen(self, name: str, serve: Serve) -> None:
        """Accepts connections to a name, on the running loop and in the running context.

        Args:
            name: the name.
            serve: coroutine function(stream, token), run for each.

        Raises:
            TransportError: if the name is taken.
        """
        if name in self._listeners:
            raise TransportError(f"cannot listen on {SCHEME}{name}: another node of this process does")
        self._listeners[name] = Listener(serve, asyncio.get_running_loop(), copy_context())

    def stop_listening(self, name: str) -> None:
        """Accepts no more connections to a name; those that there are stay."""
        self._listeners.pop(name, None)

    def _accept(self, name: str, opening: Opening) -> None:
        listener = self._listeners.get(name)
        if listener is None:
            opening.accepts.abort()
            return
        serving = listener.serve(opening.accepts, opening.token)
        task = listener.loop.create_task(serving, context=listener.context.copy())
        self._serving[task] = None
        task.add_done_callback(self._serving.pop)

    # -- dialling ---------------------------------------------------------------------------------------------------

    async def dial(self, source: str, target: str, token: str, timeout: float) -> MemoryStream:
        """Connects to a name.

        Args:
            source: who dials.
            target: the name.
            token: the secret name of the link.
            timeout: seconds.

        Raises:
            ConnectError: if nobody listens there, or none answers in time.
            HandshakeError: if there can be no link.
        """
        url = SCHEME + target
        listener = self._listeners.get(target)
        if listener is not None and listener.loop is not asyncio.get_running_loop():
            raise ConnectError(url, "it runs on another event loop: nodes that share memory share one loop")
        near, far = connection(source, target, self.carry)
        near.open(token, far)
        try:
            async with asyncio.timeout(timeout):
                refusal = await near.answered()
        except BaseException as error:
            near.abort()
            if isinstance(error, TimeoutError):
                raise ConnectError(url, "no answer in time") from None
            raise
        if refusal is None:
            return near
        if refusal is RESET:
            raise ConnectError(url, "no node of this process listens there")
        raise HandshakeError(url, f"{refusal.code} {refusal.reason}")

    # -- carrying ---------------------------------------------------------------------------------------------------

    def carry(self, pipe: Pipe, segment: Segment) -> None:
        """Takes a segment to the end of a pipe; in the order in which they were sent, `deliver` does the rest."""
        asyncio.get_running_loop().call_soon(self.deliver, pipe, segment)

    def deliver(self, pipe: Pipe, segment: Segment) -> None:
        """Hands a segment to who is at the end of a pipe."""
        if isinstance(segment, Opening):
            self._accept(pipe.target, segment)
        else:
            pipe.arrive(segment)


NETWORK: ContextVar[MemoryNetwork] = ContextVar("lexmesh_network")
"""The network that a node is in, where it is not the one of the whole process; a simulation sets it."""

_OF_THIS_PROCESS = MemoryNetwork()


def current_network() -> MemoryNetwork:
    """The network of the running context."""
    return NETWORK.get(_OF_THIS_PROCESS)
