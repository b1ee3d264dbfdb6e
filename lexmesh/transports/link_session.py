"""One link over streams of Batches as Python sees it; the streams may break, the link outlives them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lexmesh._codec import StreamEvent
from lexmesh._stream_link import StreamLink
from lexmesh.events import RESERVED_PREFIX
from lexmesh.transports.peer import Peer, PeerOwner, bucket_of, overflow_of
from lexmesh.transports.wall_clock import now_ms

BYE = RESERVED_PREFIX + "bye"
"""What a peer says that will not come back to this link: nothing has to be kept for it."""

CLOSE = RESERVED_PREFIX + "close"
"""What the accepting side says before it ends a stream, with a code and a reason: who is told so stops writing.

A call that is written to while it ends has no status of its own any more: grpc puts an internal error in its place.
"""

ABORT_SECONDS = 1.0
"""How long what waits may take to leave once a link is being closed."""

Read = Callable[[], Awaitable[object]]
Write = Callable[[bytes], Awaitable[None]]
Finish = Callable[[], Awaitable[None]]


class LinkSession(Peer):
    """A link and its state.

    Args:
        owner: the server, client or node.
        epoch: stamp for messages that come in without a name.
        dials: whether this side has made the connection.
    """

    __slots__ = (
        "_address",
        "_bucket",
        "_closing",
        "_cut",
        "_dials",
        "_is_dismissed",
        "_may_read",
        "_more",
        "_streams",
        "leaves",
        "link",
    )

    log = logging.getLogger("lexmesh.link")

    def __init__(self, owner: PeerOwner, *, epoch: int, dials: bool) -> None:
        super().__init__(owner, epoch)
        config = owner.config
        age_limit = int(config.overflow_seconds * 1000)
        overflow = overflow_of(config, dials=dials)
        self.outbox = self.link = StreamLink(owner.core, self, overflow, config.overflow_bytes, age_limit)
        self.link.begin(epoch, not dials)
        self.leaves = False  # the peer has said that it does not come back
        self._dials = dials
        self._bucket = None if dials else bucket_of(config)
        self._more = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._closing = False
        self._is_dismissed = False  # the peer is about to end the stream
        self._streams = 0  # the one there is, and those that wait to take its place
        self._cut: asyncio.Future[None] | None = None  # of the stream there is now
        self._address = ""

    @property
    def remote_address(self) -> str:
        """The peer's address as host:port, empty while there is no stream."""
        return self._address

    @property
    def carried(self) -> bool:
        """Whether there is a stream, or one that is about to take its place."""
        return self._streams > 0

    # -- one stream -----------------------------------------------------------------------------------------------

    async def carry(self, read: Read, write: Write, address: str, finish: Finish | None = None) -> None:
        """Carries the link over one stream until that ends, this side has closed or another stream takes its place.

        Args:
            read: gives the next Batch, and anything but bytes at the end.
            write: takes a Batch.
            address: the peer's, as host:port.
            finish: tells the peer that nothing more is written; None if there is no way but to end the stream.

        Raises:
            Exception: what reading or writing raised.
        """
        self._streams += 1
        try:
            while self._cut is not None:  # the peer has come back before the old stream was known to be dead
                self.cut()
                await asyncio.sleep(0)
            await self._carry(read, write, address, finish)
        finally:
            self._streams -= 1

    async def _carry(self, read: Read, write: Write, address: str, finish: Finish | None) -> None:
        self._is_dismissed = False
        self._cut = asyncio.get_running_loop().create_future()
        self._address = address
        reading = asyncio.ensure_future(self._read(read))
        writing = asyncio.ensure_future(self._write(write, finish))
        self.link.carried(True)
        self._opened()
        waiting = {reading, writing, self._cut}
        try:
            ended, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if ended == {writing} and writing.exception() is None:  # the rest is the peer's to end
                ended, _ = await asyncio.wait(waiting - {writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self._cut = None
            self._address = ""
            self.is_open = False
        for task in ended:
            task.result()

    async def _read(self, read: Read) -> None:
        while isinstance(batch := await read(), bytes):
            if self._closing:
                continue
            now = now_ms()
            count = self.link.receive(batch, now)
            if self._bucket is not None and (wait := self._bucket.spend(count, now)) > 0:
                await asyncio.sleep(wait / 1000)
            if not self._may_read.is_set():
                await self._may_read.wait()

    async def _write(self, write: Write, finish: Finish | None) -> None:
        """Hands the stream one Batch after the other, until the link is closing and nothing is left."""
        link = self.link
        while not self._is_dismissed:
            batch = link.front()
            if batch is not None:
                await write(batch)
                link.written()
            elif self._closing:
                break
            else:
                self._more.clear()
                await self._more.wait()
        if finish is not None:
            await finish()

    def on_batch(self) -> None:
        """There is something for the stream to take."""
        self._more.set()

    def on_control(self, event: StreamEvent) -> None:
        """A reserved message arrived."""
        if event.event_type == CLOSE and self._dials:
            self._is_dismissed = True
            self._more.set()
        else:
            super().on_control(event)

    # -- between streams ------------------------------------------------------------------------------------------

    def broken(self) -> None:
        """The stream is gone, and another may follow: what waits goes on waiting."""
        self.link.carried(False)
        self.unblock()
        self.on_drained()

    def end(self) -> None:
        """The link is over; what still waited is counted as dropped."""
        if not self._is_over:
            self._closed()

    def look_after(self) -> None:
        """Ends a link whose peer takes nothing, and takes back the memory that a burst has left behind."""
        if self.outbox.too_old():
            self.outbox.give_up()
        else:
            self.outbox.trim()

    # -- reading on and off ---------------------------------------------------------------------------------------

    def take_freely(self) -> None:
        """Charges the peer for its messages no more."""
        self._bucket = None

    def _stop_reading(self) -> None:
        self._may_read.clear()

    def _read_on(self) -> None:
        self._may_read.set()

    # -- for users ------------------------------------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Lets what waits leave, then ends the stream; cuts it if the peer does not read."""
        if self._closing:
            return
        self._closing = True
        self.link.take_no_more()
        self.close_code, self.close_reason = code, reason
        if not self.carried:
            self.end()
            return
        if not self.outbox.closed:
            if self._dials:
                self.outbox.send(BYE)
            else:
                self.outbox.send(CLOSE, {"code": code, "reason": reason})
        self.outbox.flush()
        self._may_read.set()
        self._more.set()
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self.cut)

    @property
    def closing(self) -> bool:
        """Whether this side has closed."""
        return self._closing

    def cut(self) -> None:
        """Ends the stream as it is, whatever still waits."""
        if self._cut is not None and not self._cut.done():
            self._cut.set_result(None)
