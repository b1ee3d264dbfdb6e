"""What other nodes publish on Redis, as a source of this node's pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lexmesh._codec import StreamEvent
from lexmesh._stream_link import MOST_BATCH_BYTES, StreamLink
from lexmesh.transports.peer import Peer, PeerOwner
from lexmesh.transports.redis_header import MOST_HEADER, Gaps, Header, split
from lexmesh.transports.wall_clock import now_ms

__all__ = ["RedisInlet"]

logger = logging.getLogger("lexmesh.redis")


class RedisInlet(Peer):
    """Takes in publications: each is policed, and counted, whoever wrote it.

    Args:
        owner: the transport.
        node_id: this node, whose own publications come back and are passed over.
        is_own: callable(channel, header), whether this node can have published that.
        on_heard: callable(node), told of each publication of another node.
        on_control: callable(node, event), told of reserved messages of other nodes.

    Attributes:
        gaps: what was published and has not come.
        taken: publications of other nodes.
        refused: publications that no node has made.
    """

    __slots__ = (
        "_is_own",
        "_last",
        "_most_bytes",
        "_node_id",
        "_on_control",
        "_on_heard",
        "_speaker",
        "gaps",
        "link",
        "refused",
        "taken",
    )

    log = logger

    def __init__(
        self,
        owner: PeerOwner,
        node_id: str,
        is_own: Callable[[bytes, Header], bool],
        on_heard: Callable[[str], None],
        on_control: Callable[[str, StreamEvent], None],
    ) -> None:
        super().__init__(owner, 0)
        self.outbox = self.link = StreamLink(owner.core, self, "drop_newest", 0, 0)
        self.link.begin(0, False)
        self.link.ride(False)
        self.gaps = Gaps()
        self.refused = self.taken = 0
        self.is_open = True
        self._node_id = node_id
        self._is_own = is_own
        self._speaker = ""
        self._last = (b"", b"")
        self._on_heard = on_heard
        self._on_control = on_control
        self._most_bytes = MOST_HEADER + max(MOST_BATCH_BYTES, owner.config.max_message_size) + 2048

    @property
    def remote_address(self) -> str:
        """Whose publication is being taken in, for the audit."""
        return f"redis {self._speaker}".rstrip()

    def receive(self, channel: bytes, publication: bytes) -> None:
        """Takes in what came on a channel.

        Where several of our patterns match, the server sends as many copies, one behind the other.
        """
        if (channel, publication) == self._last:
            return
        self._last = channel, publication
        if len(publication) > self._most_bytes:
            self._refuse(f"a publication of {len(publication)} bytes")
            return
        now = now_ms()
        found = split(publication, now)
        if found is None:
            self._refuse("a publication without a node's header")
            return
        header, begin = found
        if header.node == self._node_id:
            if not self._is_own(channel, header):
                self._refuse("a publication in this node's name that it has not made")
            return
        self.taken += 1
        self._on_heard(header.node)
        self._speaker = header.node
        count = self.link.receive(publication[begin:], now)
        self._speaker = ""
        lost = self.gaps.came(channel, header, count)
        if lost:
            logger.warning("%d messages of %s were lost on the way through Redis", lost, header.node)

    def _refuse(self, reason: str) -> None:
        self.refused += 1
        self.link.refuse(reason)

    def on_control(self, event: StreamEvent) -> None:
        """A node said something reserved."""
        self._on_control(self._speaker, event)

    def on_batch(self) -> None:
        """Nothing leaves here."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Takes nothing more in."""
        if self.is_open:
            self._closed()

    def cut(self) -> None:
        """As close."""
        self.close()

    def take_freely(self) -> None:
        """Nobody is charged here."""

    def _stop_reading(self) -> None:
        """Who is full drops: a channel's other readers do not wait."""

    def _read_on(self) -> None:
        """See _stop_reading."""
