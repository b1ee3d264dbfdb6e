"""What a node puts in one stream."""

from __future__ import annotations

from collections.abc import Callable

from lexmesh._work import parts_of
from lexmesh.transports.durable.stored import StoredEntries
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_outlet import RedisOutlet

__all__ = ["DurableOutlet"]


class DurableOutlet(RedisOutlet):
    """A stream as an endpoint: subscribed to its pattern, it gets what is published here and has not been on Redis.

    What waits for a server that is gone is kept for as long as that takes, up to `overflow_bytes`; what comes then is
    dropped and counted.

    Args:
        owner: the node's gateway.
        pattern: the subjects.
        stream: the key.
        node_id, epoch: who publishes, since when.
        on_batch: as for RedisOutlet.
    """

    __slots__ = ("_dropped", "_left", "pattern", "stored")

    def __init__(
        self,
        owner: PeerOwner,
        pattern: str,
        stream: str,
        node_id: str,
        epoch: int,
        on_batch: Callable[[RedisOutlet], None],
    ) -> None:
        super().__init__(owner, stream, node_id, epoch, on_batch, "drop_newest")
        self.pattern = pattern
        self.stored = StoredEntries()
        self._left: list[bytes] = []
        self._dropped = 0
        owner.core.router.subscribe(pattern, self.outbox)

    def parts(self) -> list[bytes]:
        """The messages that are to be stored next, the same until `stay`."""
        if not self._left and (batch := self.link.front()) is not None:
            self._left = parts_of(batch)
        return self._left

    def stay(self, left: list[bytes]) -> None:
        """The server has what `parts` gave but for these, which are to be stored next."""
        self._left = left
        if not left:
            self.taken()

    def newly_dropped(self) -> int:
        """How many messages were dropped here, before the server had them, since this was last asked."""
        before, self._dropped = self._dropped, sum(self.outbox.counts()["egress"]["dropped"].values())
        return self._dropped - before

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends it; what waits is dropped and counted."""
        self.owner.core.router.forget(self.outbox)
        super().close(code, reason)
