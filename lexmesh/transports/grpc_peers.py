"""The clients of a gRPC service, one a connection: gRPC tells who calls, but not who has come or gone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from lexmesh._asker import Asker
from lexmesh._bucket import TokenBucket
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline

MOST_IDLE = 1024
"""Connections without a call whose numbers and windows are kept; who calls again after that begins anew."""


class Peer:
    """One connection.

    Args:
        pipeline: what its messages go through.
        address: the peer as gRPC names it, such as `ipv4:127.0.0.1:50000`.
        config: how much it may send.
        now: reads the time, milliseconds since 1970-01-01 UTC.

    Attributes:
        asker: what its messages are taken in through.
        calls: how many it has open.
        limited: whether a message may have to wait, for `ready`.
    """

    __slots__ = ("_bucket", "_now", "_pauses", "_readable", "address", "asker", "calls", "limited")

    def __init__(self, pipeline: StreamPipeline, address: str, config: MeshConfig, now: Callable[[], int]) -> None:
        self.asker = Asker(pipeline.core, self, pipeline.next_epoch(now()))
        self._now = now
        self.address = address
        self.calls = 0
        rate = config.messages_per_second
        self._bucket = TokenBucket(rate, config.message_burst) if rate else None
        self.limited = self._bucket is not None
        self._pauses = 0
        self._readable: asyncio.Event | None = None

    @property
    def remote_address(self) -> str:
        """The peer's address as host:port."""
        kind, _, address = unquote(self.address).partition(":")
        return address if kind in ("ipv4", "ipv6") else self.address

    @property
    def is_open(self) -> bool:
        """Whether it has a call open."""
        return self.calls > 0

    def pause(self) -> None:
        """Stops reading from the peer; each call needs one resume."""
        self._pauses += 1
        self.limited = True
        if self._pauses == 1:
            self._readable = asyncio.Event()

    def resume(self) -> None:
        """Reads again once every pause has been taken back."""
        self._pauses -= 1
        if self._pauses == 0 and self._readable is not None:
            self._readable.set()
            self.limited = self._bucket is not None

    async def ready(self) -> None:
        """Waits until a message may be taken from it, which it pays for."""
        if self._bucket is not None and (wait := self._bucket.spend(1, self._now())) > 0:
            await asyncio.sleep(wait / 1000)
        while self._pauses and self._readable is not None:
            await self._readable.wait()


class Peers:
    """Finds the peer of each call.

    Args:
        pipeline: what their messages go through.
        config: how much each may send.
        now: reads the time, milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, pipeline: StreamPipeline, config: MeshConfig, now: Callable[[], int]) -> None:
        self._pipeline = pipeline
        self._config = config
        self._now = now
        self._peers: OrderedDict[str, Peer] = OrderedDict()

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def of(self, address: str) -> Peer:
        """The peer at an address, which has one call more from now on; `left` takes it back."""
        peer = self._peers.get(address)
        if peer is None:
            peer = Peer(self._pipeline, address, self._config, self._now)
            self._peers[address] = peer
            self._forget_idle()
        peer.calls += 1
        return peer

    def left(self, peer: Peer) -> None:
        """One of a peer's calls has ended."""
        peer.calls -= 1
        if peer.calls == 0:
            self._peers.move_to_end(peer.address)

    def _forget_idle(self) -> None:
        """Lets the longest idle go; those in front that have calls open move behind, so that each is looked at once."""
        excess = len(self._peers) - MOST_IDLE
        for address in list(self._peers)[: max(0, excess)]:
            if self._peers[address].is_open:
                self._peers.move_to_end(address)
            else:
                del self._peers[address]
