"""One WebSocket connection as Python sees it: the slow path of a link, the same on either side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import cast

from picows import WSCloseCode

from lexmesh._link import Link
from lexmesh._outbox import Outbox
from lexmesh.transports.frame_clock import FrameClock
from lexmesh.transports.peer import Peer, PeerOwner, bucket_of, overflow_of

CLOSE_POLICY = 1008
"""Close code for a peer that does what this side does not put up with (RFC 6455, section 7.4.1)."""

ABORT_SECONDS = 1.0
"""How long a close frame may take to leave before the connection is cut."""

logger = logging.getLogger("lexmesh.websocket")

# What the frame layer logs at ERROR is a peer's mistake, answered with a close code and no business of the log.
logging.getLogger("lexmesh.frames").setLevel(logging.CRITICAL)


class Session(Peer):
    """A connection's link, outbox and state.

    Args:
        owner: the server or client.
        proto: whether it sends batches in binary frames; a server learns it in the handshake.
        masked: whether its frames are a client's.
        epoch: stamp for messages that come in without a name.
    """

    __slots__ = ("_frames", "link", "masked", "proto")

    log = logger
    link_type = Link

    def __init__(self, owner: PeerOwner, *, proto: bool, masked: bool, epoch: int) -> None:
        super().__init__(owner, epoch)
        config = owner.config
        self.proto = proto
        self.masked = masked
        age_limit = int(config.overflow_seconds * 1000)
        self.outbox = Outbox(owner.core, self, overflow_of(config, dials=masked), config.overflow_bytes, age_limit)
        bucket = None if masked else bucket_of(config)
        self.link = self.link_type(owner.core, self.outbox, self, config.max_fragments, bucket)
        self._frames = FrameClock(config.frame_timeout)

    @property
    def remote_address(self) -> str:
        """The peer's address as host:port, empty once disconnected."""
        transport = self.link.transport
        peer = transport.underlying_transport.get_extra_info("peername") if transport is not None else None
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""

    # -- what the compiled link calls -----------------------------------------------------------------------------

    def on_connected(self, link: Link) -> None:
        """The handshake is done."""
        self.outbox.open(link.transport, self.proto, self.masked, self.epoch)
        if not self.masked:
            link.rest()
        self._opened()

    def on_disconnected(self, link: Link) -> None:
        """The connection is gone; what still waited is counted as dropped."""
        self._closed()

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

    def on_throttled(self, wait: int) -> None:
        """The peer sent more than its share: it is not read from for so many milliseconds."""
        self.pause()
        asyncio.get_running_loop().call_later(wait / 1000, self.resume)

    def look_after(self, now: float) -> int:
        """Ends a connection that has kept this side waiting too long, and takes back the memory that it left behind.

        Args:
            now: seconds that this side has been reading, on any clock; for frames that are half there.

        Returns:
            Bytes that its reading has given back.
        """
        if self.outbox.too_old():
            self.outbox.give_up()
        elif self._frames.is_late(self.link.work, self.link.pending, now, reading=not self._blocked_by):
            logger.warning("closing %s: half a frame, and no more of it", self.name or self.remote_address)
            self.close(CLOSE_POLICY, "a frame must be sent at once: half of one has waited too long")
        else:
            self.outbox.trim()
            return self.link.trim()
        return 0

    def take_freely(self) -> None:
        """Charges the peer for its messages no more."""
        self.link.take_freely()

    def _stop_reading(self) -> None:
        if self.link.transport is not None:
            self.link.transport.underlying_transport.pause_reading()

    def _read_on(self) -> None:
        if self.link.transport is not None:
            self.link.transport.underlying_transport.resume_reading()

    # -- for users ------------------------------------------------------------------------------------------------

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

    def cut(self) -> None:
        """Ends the connection as it is, whatever still waits."""
        transport = self.link.transport
        if transport is not None and not transport.is_disconnected:
            transport.disconnect(graceful=False)


async def all_ended(sessions: Collection[Peer], seconds: float) -> None:
    """Waits until connections have ended, and cuts those that have not after so many seconds."""
    ends = [asyncio.ensure_future(session.ended.wait()) for session in sessions]
    if ends:
        await asyncio.wait(ends, timeout=seconds)
    for session in sessions:
        session.cut()
    await asyncio.gather(*ends)
