"""What a node publishes on one channel of Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lexmesh._medium_link import MediumLink
from lexmesh.transports.peer import Peer, PeerOwner
from lexmesh.transports.redis_header import Header, header_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RedisOutlet", "overflow_on_redis"]

logger = logging.getLogger("lexmesh.redis")


def overflow_on_redis(overflow: str) -> str:
    """What is done where a channel's queue is full: there is nobody to disconnect, and no publisher is kept waiting
    for a server that may be gone for hours."""
    return overflow if overflow.startswith("drop_") else "drop_oldest"


class RedisOutlet(Peer):
    """A channel as an endpoint: what is published there waits here until the server has it.

    Args:
        owner: the transport.
        channel: its name.
        node_id, epoch: who publishes, since when.
        on_batch: callable(outlet), told when there is something to publish after there was nothing.
        overflow: what is done where its queue is full; as configured when empty.
    """

    __slots__ = ("_epoch", "_node_id", "_on_batch", "channel", "link", "published")

    log = logger

    def __init__(
        self,
        owner: PeerOwner,
        channel: str,
        node_id: str,
        epoch: int,
        on_batch: Callable[[RedisOutlet], None],
        overflow: str = "",
    ) -> None:
        super().__init__(owner, epoch)
        config = owner.config
        age_limit = int(config.overflow_seconds * 1000)
        overflow = overflow or overflow_on_redis(config.overflow)
        self.outbox = self.link = MediumLink(owner.core, self, overflow, config.overflow_bytes, age_limit)
        self.channel = channel
        self.published = 0
        self._node_id = node_id
        self._epoch = epoch
        self._on_batch = on_batch
        self.link.begin(epoch, False)
        self.link.ride(True)
        self.is_open = True

    @property
    def remote_address(self) -> str:
        """The channel."""
        return self.channel

    def on_batch(self) -> None:
        """There is something to publish."""
        self._on_batch(self)

    def front(self) -> bytes | None:
        """What is to be published next, the same until `taken`; None for nothing."""
        batch = self.link.front()
        if batch is None:
            return None
        return header_bytes(Header(self._node_id, self._epoch, self.published)) + batch

    @property
    def round(self) -> int:
        """When what is next was said; see MediumLink."""
        return self.link.front_round

    @property
    def messages(self) -> int:
        """How many messages `front` gave."""
        return self.link.front_messages

    def has_said(self, header: Header) -> bool:
        """Whether a header in this node's name can be of what this outlet has published, or is publishing."""
        return header.epoch == self._epoch and header.before <= self.published

    def taken(self) -> None:
        """The server has what `front` gave."""
        self.published += self.link.front_messages
        self.link.written()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends the channel; what waits is dropped and counted."""
        if self.is_open:
            self._closed()

    def cut(self) -> None:
        """As close."""
        self.close()

    def take_freely(self) -> None:
        """Nothing comes from here."""

    def _stop_reading(self) -> None:
        """Nothing comes from here."""

    def _read_on(self) -> None:
        """Nothing comes from here."""
