"""One WebSocket connection as Python sees it: the slow path of a link, the same on either side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol, cast

from picows import WSCloseCode

from lexmesh._bucket import TokenBucket
from lexmesh._codec import StreamEvent
from lexmesh._link import Link
from lexmesh._outbox import Outbox
from lexmesh.transports.frame_clock import FrameClock

if TYPE_CHECKING:
    from lexmesh._pipeline import Core
    from lexmesh._router import Endpoint
    from lexmesh.config import MeshConfig
    from lexmesh.transports.turn import TurnFlusher

CLOSE_POLICY = 1008
"""Close code for a peer that does what this side does not put up with (RFC 6455, section 7.4.1)."""

CLOSE_SLOW = 4008
"""Close code for a peer that reads too slowly."""

PROVEN_SECONDS = 1.0
"""A connection that ends sooner does not reset the backoff: a gateway that accepts and closes is not stormed."""

ABORT_SECONDS = 1.0
"""How long a close frame may take to leave before the connection is cut."""

logger = logging.getLogger("lexmesh.websocket")

# What the frame layer logs at ERROR is a peer's mistake, answered with a close code and no business of the log.
logging.getLogger("lexmesh.frames").setLevel(logging.CRITICAL)


class SessionOwner(Protocol):
    """What a session belongs to: a server or a client."""

    core: Core
    config: MeshConfig
    flusher: TurnFlusher

    def session_opened(self, session: Session) -> None: ...
    def session_closed(self, session: Session) -> None: ...
    def session_control(self, session: Session, event: StreamEvent) -> None: ...
    def session_refused(self, session: Session, outcome: str, reason: str, path: str, id: str | None) -> None: ...
    def session_congested(self, session: Session, congested: bool) -> None: ...


class Publisher(Protocol):
    """Who sends what a queue here has no room for."""

    @property
    def is_open(self) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


OUTCOMES = ("routed", "denied", "filtered", "expired", "duplicate", "looped", "malformed", "unroutable")


class Session:
    """A connection's link, outbox and state.

    Args:
        owner: the server or client.
        proto: whether it sends batches in binary frames; a server learns it in the handshake.
        masked: whether its frames are a client's.
        epoch: stamp for messages that come in without a name.
    """

    # Slots, and events and sets only once they are needed: there may be many thousands of sessions that do nothing.
    __slots__ = (
        "_blocked_by",
        "_blocking",
        "_drained",
        "_ended",
        "_frames",
        "_is_over",
        "_opened_at",
        "close_code",
        "close_reason",
        "epoch",
        "is_open",
        "link",
        "masked",
        "outbox",
        "owner",
        "proto",
        "welcomed",
    )

    link_type = Link

    def __init__(self, owner: SessionOwner, *, proto: bool, masked: bool, epoch: int) -> None:
        config = owner.config
        self.owner = owner
        self.proto = proto
        self.masked = masked
        self.epoch = epoch
        # A client that may not drop has nobody to disconnect: its publishers are told to wait instead.
        overflow = "block" if masked and config.overflow == "disconnect" else config.overflow
        self.outbox = Outbox(owner.core, self, overflow, config.overflow_bytes, int(config.overflow_seconds * 1000))
        rate = 0.0 if masked else config.messages_per_second
        bucket = TokenBucket(rate, config.message_burst) if rate else None
        self.link = self.link_type(owner.core, self.outbox, self, config.max_fragments, bucket)
        self.close_code = 1006
        self.close_reason = ""
        self.is_open = False
        self.welcomed = False
        self._is_over = False
        self._ended: asyncio.Event | None = None
        self._drained: asyncio.Event | None = None
        self._blocking: set[Publisher] | None = None
        self._blocked_by = 0
        self._frames = FrameClock(config.frame_timeout)
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

    @property
    def remote_address(self) -> str:
        """The peer's address as host:port, empty once disconnected."""
        transport = self.link.transport
        peer = transport.underlying_transport.get_extra_info("peername") if transport is not None else None
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""

    # -- what the compiled link and outbox call -------------------------------------------------------------------

    def schedule(self, outbox: Outbox) -> None:
        """Has the outbox flushed at the end of the loop turn."""
        self.owner.flusher.schedule(outbox)

    def on_connected(self, link: Link) -> None:
        """The handshake is done."""
        self.outbox.open(link.transport, self.proto, self.masked, self.epoch)
        if not self.masked:
            link.rest()
        self.is_open = True
        self._opened_at = asyncio.get_running_loop().time()
        self.owner.session_opened(self)

    def on_disconnected(self, link: Link) -> None:
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

    def on_closed_by_peer(self, link: Link, code: int, reason: str) -> None:
        """The peer sent a close frame: answer it with its own code and end (RFC 6455, section 5.5.1)."""
        self.close_code, self.close_reason = (code or 1005), reason
        self.outbox.flush()
        self.outbox.close()
        link.transport.send_close(cast(WSCloseCode, code or 1000))
        link.transport.disconnect()
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self.cut)

    def close_link(self, link: Link, code: int, reason: str) -> None:
        """The compiled link found a reason to close."""
        self.close(code, reason)

    def on_violation(self, link: Link) -> None:
        """The frame layer is about to close for a violation: what waits leaves before, and nothing after."""
        self.outbox.flush()
        self.outbox.close()
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self.cut)

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
        logger.warning("closing %s: it reads too slowly", self.name or self.remote_address)
        self.close(CLOSE_SLOW, "read too slowly")

    def on_throttled(self, wait: int) -> None:
        """The peer sent more than its share: it is not read from for so many milliseconds."""
        self.pause()
        asyncio.get_running_loop().call_later(wait / 1000, self.resume)

    def on_blocked(self, source: Endpoint) -> None:
        """This queue is full under the `block` policy: stop reading from the publisher until there is room."""
        publisher: Publisher | None = getattr(source, "owner", None)
        if publisher is None or not publisher.is_open:
            return
        if self._blocking is None:
            self._blocking = set()
        if publisher not in self._blocking:
            self._blocking.add(publisher)
            publisher.pause()

    def is_proven(self, now: float) -> bool:
        """Whether the connection lasted long enough to be called good; `now` is the loop's time."""
        return now - self._opened_at >= PROVEN_SECONDS

    def look_after(self, now: float) -> None:
        """Ends a connection that has kept this side waiting too long, and takes back the memory that it left behind.

        Args:
            now: seconds that this side has been reading, on any clock; for frames that are half there.
        """
        if self.outbox.too_old():
            self.outbox.give_up()
        elif self._frames.is_late(self.link.work, self.link.pending, now, reading=not self._blocked_by):
            logger.warning("closing %s: half a frame, and no more of it", self.name or self.remote_address)
            self.close(CLOSE_POLICY, "a frame must be sent at once: half of one has waited too long")
        else:
            self.link.trim()
            self.outbox.trim()

    # -- reading on and off ---------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stops reading from the peer; each call needs one resume."""
        self._blocked_by += 1
        if self._blocked_by == 1 and self.link.transport is not None:
            self.link.transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Reads again once every pause has been taken back."""
        self._blocked_by -= 1
        if self._blocked_by == 0 and self.is_open and self.link.transport is not None:
            self.link.transport.underlying_transport.resume_reading()

    def unblock(self) -> None:
        """Lets all publishers that waited for this queue go on."""
        waiting, self._blocking = self._blocking, None
        for publisher in waiting or ():
            publisher.resume()

    # -- for users ------------------------------------------------------------------------------------------------

    def send(self, event_type: str, data: Any = None, *, reply_to: str = "") -> None:
        """Queues a message to this peer alone, of a reserved type, outside the ledger."""
        self.outbox.send(event_type, data, reply_to=reply_to)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what waits, then a close frame, then ends; cuts the connection if the peer does not read.

        Args:
            code: close code, RFC 6455 section 7.4.
            reason: shown to the peer; at most 123 bytes are sent.
        """
        transport = self.link.transport
        if transport is None or transport.is_disconnected:
            return
        self.close_code, self.close_reason = code, reason
        self.outbox.flush()
        self.link.stop_reading()
        # Any number goes on the wire; the enum has only those of RFC 6455.
        transport.send_close(cast(WSCloseCode, code), reason.encode()[:123].decode(errors="ignore"))
        self.outbox.close()  # nothing may follow a close frame (RFC 6455, section 5.5.1)
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self.cut)

    async def drained(self, seconds: float) -> None:
        """Waits until all that was queued has left, but no longer than so many seconds."""
        if self.is_open and not self.outbox.idle:
            if self._drained is None or self._drained.is_set():
                self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), seconds)

    def cut(self) -> None:
        """Ends the connection as it is, whatever still waits."""
        transport = self.link.transport
        if transport is not None and not transport.is_disconnected:
            transport.disconnect(graceful=False)


async def all_ended(sessions: Collection[Session], seconds: float) -> None:
    """Waits until connections have ended, and cuts those that have not after so many seconds."""
    ends = [asyncio.ensure_future(session.ended.wait()) for session in sessions]
    if ends:
        await asyncio.wait(ends, timeout=seconds)
    for session in sessions:
        session.cut()
    await asyncio.gather(*ends)
