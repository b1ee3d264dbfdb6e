"""Connections between nodes of one process: two ends, and a pipe in each direction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lexmesh.transports.link_session import LinkSession

__all__ = ["RESET", "Answer", "Ending", "MemoryStream", "Opening", "Pipe", "Segment", "connection"]

WINDOW = 256 * 1024
"""Bytes that may be written before the other end has read them; TCP's windows are of that order."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first segment of who dials.

    Args:
        token: the secret name of the link.
        accepts: the other end of the connection.
    """

    token: str
    accepts: MemoryStream


@dataclass(frozen=True, slots=True)
class Answer:
    """The first segment of who accepts; `resumed` tells whether the link is still known there."""

    resumed: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The last segment of either.

    Args:
        code, reason: why, as a WebSocket is closed (RFC 6455, section 7.4).
        is_reset: whether the other direction is over as well.
    """

    code: int
    reason: str
    is_reset: bool = False


Segment = bytes | Opening | Answer | Ending

RESET = Ending(1006, "connection lost", is_reset=True)


class Pipe:
    """One direction of a connection.

    Args:
        source, target: the names of the nodes at its ends; that of who has only dialled may be no address.
        carry: callable(pipe, segment), takes a segment to the other end, which is told by `arrive`.

    Attributes:
        back: the other direction.
        flow: what the network keeps of it.
    """

    __slots__ = (
        "_arrived",
        "_carry",
        "_reader",
        "_unread",
        "_writer",
        "back",
        "flow",
        "is_broken",
        "source",
        "target",
    )

    back: Pipe

    def __init__(self, source: str, target: str, carry: Callable[[Pipe, Segment], None]) -> None:
        self.source = source
        self.target = target
        self.is_broken = False  # nobody reads any more
        self.flow: Any = None
        self._carry = carry
        self._arrived: deque[Segment] = deque()
        self._unread = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def send(self, segment: Segment) -> None:
        """Sends a segment, whatever the window says."""
        if not self.is_broken:
            self._carry(self, segment)

    async def write(self, batch: bytes) -> None:
        """Sends a Batch once there is room for it."""
        while self._unread >= WINDOW and not self.is_broken:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self.is_broken:
            raise ConnectionResetError("connection lost")
        self._unread += len(batch)
        self._carry(self, batch)

    async def read(self) -> Segment:
        """The next segment."""
        while not self._arrived:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        segment = self._arrived.popleft()
        if isinstance(segment, bytes):
            self._unread -= len(segment)
            _wake(self._writer)
        return segment

    def arrive(self, segment: Segment) -> None:
        """A segment is at the end of the pipe."""
        if self.is_broken:
            return
        self._arrived.append(segment)
        _wake(self._reader)
        if isinstance(segment, Ending) and segment.is_reset:
            self.back.cut()

    def repeat(self, batch: bytes) -> None:
        """A Batch that has arrived does so once more."""
        self._unread += len(batch)
        self.arrive(batch)

    def lose(self) -> None:
        """The connection breaks; who reads here and who writes is told."""
        self._arrived.append(RESET)
        _wake(self._reader)
        self.cut()

    def cut(self) -> None:
        """Nothing is carried here any more; who still writes is told."""
        self.is_broken = True
        _wake(self._writer)


class MemoryStream:
    """One end of a connection.

    Args:
        out: what is written here.
        into: what is read here.

    Attributes:
        resumed: whether who accepted it remembers the link.
    """

    def __init__(self, out: Pipe, into: Pipe) -> None:
        self.resumed = False
        self._out = out
        self._into = into
        self._ending: Ending | None = None
        self._has_ended = False

    @property
    def peer(self) -> str:
        """The name of the node at the other end."""
        return self._into.source

    def open(self, token: str, accepts: MemoryStream) -> None:
        """Dials, with the link's secret name and the end that is for who accepts."""
        self._out.send(Opening(token, accepts))

    async def answered(self) -> Ending | None:
        """Waits for who accepts; returns why he does not, if that is so."""
        segment = await self._into.read()
        if isinstance(segment, Answer):
            self.resumed = segment.resumed
            return None
        return segment if isinstance(segment, Ending) else RESET

    def answer(self, resumed: bool) -> None:
        """Accepts."""
        self._out.send(Answer(resumed))

    async def read(self) -> bytes | None:
        """The next Batch; None once the other end has ended its direction."""
        if self._ending is not None:
            return None
        segment = await self._into.read()
        if isinstance(segment, bytes):
            return segment
        self._ending = segment if isinstance(segment, Ending) else RESET
        return None

    async def write(self, batch: bytes) -> None:
        """Writes a Batch; raises ConnectionResetError if the connection is lost."""
        await self._out.write(batch)

    async def finish(self) -> None:
        """Tells that nothing more is written."""
        self.end(1000, "")

    def end(self, code: int, reason: str) -> None:
        """Ends this direction, and says why."""
        if not self._has_ended:
            self._has_ended = True
            self._out.send(Ending(code, reason))

    async def carry(self, session: LinkSession) -> None:
        """Carries a link that this end has dialled."""
        try:
            await session.carry(self.read, self.write, self.peer, self.finish)
        except ConnectionResetError:
            session.log.debug("the connection to %s is lost", self.peer)

    async def why(self) -> tuple[int, str]:
        """The close code and the reason that the other end gave."""
        ending = self._ending or RESET
        return ending.code, ending.reason

    async def close(self) -> None:
        """Ends both directions, whatever is still under way."""
        self.abort()

    def abort(self) -> None:
        """The same, at once."""
        if self._ending is None or not self._has_ended:
            self._out.send(RESET)
        self._into.cut()


def connection(source: str, target: str, carry: Callable[[Pipe, Segment], None]) -> tuple[MemoryStream, MemoryStream]:
    """The two ends of a connection: of who dials, and of who accepts."""
    there, back = Pipe(source, target, carry), Pipe(target, source, carry)
    there.back, back.back = back, there
    return MemoryStream(there, back), MemoryStream(back, there)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
