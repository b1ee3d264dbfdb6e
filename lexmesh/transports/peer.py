"""One peer of a node as Python sees it, whatever carries its messages: what waits for it, and whom it keeps waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from lexmesh._bucket import TokenBucket
from lexmesh._codec import StreamEvent
from lexmesh._outbox import Outbox

if TYPE_CHECKING:
    from lexmesh._pipeline import Core
    from lexmesh._router import Endpoint
    from lexmesh.config import MeshConfig
    from lexmesh.transports.turn import TurnFlusher

CLOSE_SLOW = 4008
"""Close code for a peer that reads too slowly."""

PROVEN_SECONDS = 1.0
"""A connection that ends sooner does not reset the backoff: a gateway that accepts and closes is not stormed."""

OUTCOMES = ("routed", "denied", "filtered", "expired", "duplicate", "looped", "malformed", "unroutable")


class PeerOwner(Protocol):
    """What a peer's link belongs to: a server, a client or a node that has dialled."""

    core: Core
    config: MeshConfig
    flusher: TurnFlusher

    def session_opened(self, session: Any) -> None: ...
    def session_closed(self, session: Any) -> None: ...
    def session_control(self, session: Any, event: StreamEvent) -> None: ...
    def session_refused(self, session: Any, outcome: str, reason: str, path: str, id: str | None) -> None: ...
    def session_congested(self, session: Any, congested: bool) -> None: ...


class Readable(Protocol):
    """Who sends messages, and can be kept from it for a while."""

    @property
    def is_open(self) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def overflow_of(config: MeshConfig, *, dials: bool) -> str:
    """What an outbox does when it is full: who has dialled has nobody to disconnect, its publishers wait instead."""
    return "block" if dials and config.overflow == "disconnect" else config.overflow


def bucket_of(config: MeshConfig) -> TokenBucket | None:
    """What a server charges one client's messages to; None where they may come as fast as they can."""
    return TokenBucket(config.messages_per_second, config.message_burst) if config.messages_per_second else None


class Peer(ABC):
    """A peer's outbox and state.

    Args:
        owner: the server or client.
        outbox: made for this peer.
        epoch: stamp for messages that come in without a name.
    """

    # Slots, and events and sets only once they are needed: there may be many thousands of peers that do nothing.
    __slots__ = (
        "_blocked_by",
        "_blocking",
        "_drained",
        "_ended",
        "_is_over",
        "_opened_at",
        "close_code",
        "close_reason",
        "epoch",
        "is_open",
        "outbox",
        "owner",
        "resumed",
        "welcomed",
    )

    outbox: Outbox
    log: ClassVar[logging.Logger]

    def __init__(self, owner: PeerOwner, epoch: int) -> None:
        self.owner = owner
        self.epoch = epoch
        self.close_code = 1006
        self.close_reason = ""
        self.is_open = False
        self.resumed = False  # what the peer counted and remembered of the connection before goes on
        self.welcomed = False
        self._is_over = False
        self._ended: asyncio.Event | None = None
        self._drained: asyncio.Event | None = None
        self._blocking: set[Readable] | None = None
        self._blocked_by = 0
        self._opened_at = 0.0

    @property
    def name(self) -> str:
        """The peer's node name, empty while it has not told."""
        return self.outbox.name or ""

    @property
    def ended(self) -> asyncio.Event:
        """Set once the connection is gone."""
        if self._ended is None:
            self._ended = asyncio.Event()
            if self._is_over:
                self._ended.set()
        return self._ended

    # -- what differs by what carries the messages ----------------------------------------------------------------

    @property
    @abstractmethod
    def remote_address(self) -> str:
        """The peer's address as host:port, empty once disconnected."""

    @abstractmethod
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what waits, tells the peer why, and ends.

        Args:
            code: close code, RFC 6455 section 7.4, whatever the transport.
            reason: shown to the peer.
        """

    @abstractmethod
    def cut(self) -> None:
        """Ends the connection as it is, whatever still waits."""

    @abstractmethod
    def _stop_reading(self) -> None:
        """Takes nothing more from the peer until `_read_on`."""

    @abstractmethod
    def _read_on(self) -> None:
        """Takes messages from the peer again."""

    # -- beginning and end ----------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.is_open = True
        self._opened_at = asyncio.get_running_loop().time()
        self.owner.session_opened(self)

    def _closed(self) -> None:
        """The connection is gone; what still waited is counted as dropped."""
        if not self.outbox.closed:
            self.outbox.close()
        self.is_open = False
        self.unblock()
        self._is_over = True
        if self._ended is not None:
            self._ended.set()
        self.on_drained()
        self.owner.session_closed(self)

    def is_proven(self, now: float) -> bool:
        """Whether the connection lasted long enough to be called good; `now` is the loop's time."""
        return now - self._opened_at >= PROVEN_SECONDS

    # -- what the compiled outbox calls ---------------------------------------------------------------------------

    def schedule(self, outbox: Outbox) -> None:
        """Has the outbox flushed at the end of the loop turn."""
        self.owner.flusher.schedule(outbox)

    def on_control(self, event: StreamEvent) -> None:
        """A reserved message arrived."""
        self.owner.session_control(self, event)

    def on_refused(self, outcome: int, reason: str, path: str, id: str | None) -> None:
        """A message from the peer was not routed."""
        self.owner.session_refused(self, OUTCOMES[outcome], reason, path, id)

    def on_congestion(self, congested: bool) -> None:
        """The queue towards the peer passed its soft limit, either way."""
        if not congested:
            self.unblock()
        self.owner.session_congested(self, congested)

    def on_drained(self) -> None:
        """All that was queued has left."""
        if self._drained is not None:
            self._drained.set()

    def on_overflow(self) -> None:
        """The peer read too slowly for too long.

        Called while a message is being served to links: what may run a user's code waits until that is done.
        """
        asyncio.get_running_loop().call_soon(self._end_slow)

    def _end_slow(self) -> None:
        self.log.warning("closing %s: it reads too slowly", self.name or self.remote_address)
        self.close(CLOSE_SLOW, "read too slowly")

    def on_blocked(self, source: Endpoint) -> None:
        """This queue is full under the `block` policy: stop reading from the publisher until there is room."""
        publisher: Readable | None = getattr(source, "owner", None)
        if publisher is None or not publisher.is_open:
            return
        if self._blocking is None:
            self._blocking = set()
        if publisher not in self._blocking:
            self._blocking.add(publisher)
            publisher.pause()

    # -- reading on and off ---------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stops reading from the peer; each call needs one resume."""
        self._blocked_by += 1
        if self._blocked_by == 1:
            self._stop_reading()

    def resume(self) -> None:
        """Reads again once every pause has been taken back."""
        self._blocked_by -= 1
        if self._blocked_by == 0 and self.is_open:
            self._read_on()

    def unblock(self) -> None:
        """Lets all publishers that waited for this queue go on."""
        waiting, self._blocking = self._blocking, None
        for publisher in waiting or ():
            publisher.resume()

    @abstractmethod
    def take_freely(self) -> None:
        """Charges the peer for its messages no more: it passes on those of many."""

    # -- for users ------------------------------------------------------------------------------------------------

    def send(self, event_type: str, data: Any = None, *, reply_to: str = "") -> None:
        """Queues a message to this peer alone, of a reserved type, outside the ledger."""
        self.outbox.send(event_type, data, reply_to=reply_to)

    async def drained(self, seconds: float) -> None:
        """Waits until all that was queued has left, but no longer than so many seconds."""
        if self.is_open and not self.outbox.idle:
            if self._drained is None or self._drained.is_set():
                self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), seconds)
