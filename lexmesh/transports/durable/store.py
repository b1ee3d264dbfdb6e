"""What a node stores for durable groups: a stream for each of their subject patterns."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError

from lexmesh._router import Endpoint
from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.outlet import DurableOutlet
from lexmesh.transports.durable.told import Told
from lexmesh.transports.durable.trimming import trim
from lexmesh.transports.durable.writer import DurableWriter
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_losses import RedisLosses
from lexmesh.transports.wall_clock import now_ms

__all__ = ["DurableStore"]

logger = logging.getLogger("lexmesh.redis")


class DurableStore:
    """The streams.

    Args:
        gateway: the node's; outlets belong to it.
        keys: the mesh's.
        epoch: this node's start in milliseconds since 1970-01-01 UTC.
        losses: where what is lost is counted.
    """

    def __init__(self, gateway: PeerOwner, keys: DurableKeys, epoch: int, losses: RedisLosses) -> None:
        self._gateway = gateway
        self._config = gateway.config
        self._keys = keys
        self._epoch = epoch
        self._losses = losses
        self._writer = DurableWriter(losses)
        self._outlets: dict[str, DurableOutlet] = {}
        self._life = b""
        self._has_lost_all = False
        self._told = Told()

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [outlet.outbox for outlet in self._outlets.values()]

    def arrange(self, patterns: set[str]) -> None:
        """Stores what is published on these from now on, and nothing else."""
        for pattern in self._outlets.keys() - patterns:
            outlet = self._outlets.pop(pattern)
            self._writer.remove(outlet)
            outlet.close()
        for pattern in sorted(patterns - self._outlets.keys()):
            stream = self._keys.stream(pattern)
            self._outlets[pattern] = DurableOutlet(
                self._gateway, pattern, stream, self._config.node_id, self._epoch, self._writer.add
            )

    async def write(self, client: StreamClient) -> None:
        """Stores, for ever; errors as for DurableWriter."""
        await self._writer.write(client)

    async def drained(self) -> None:
        """Waits until Redis has all that was published."""
        for outlet in self._outlets.values():
            outlet.outbox.flush()
        await self._writer.drained()

    def lives(self, life: bytes) -> None:
        """The registry's life is this: if that is another one, all that was stored before is lost."""
        self._has_lost_all |= bool(self._life) and life != self._life
        self._life = life

    async def look_for_losses(self, client: StreamClient) -> None:
        """Counts what Redis has lost of what this node has stored."""
        await self._each("what Redis has lost of durable work on {} is not known", self._compare, client)
        self._has_lost_all = False

    async def trim(self, client: StreamClient) -> None:
        """Keeps the streams short."""
        await self._each("durable work on {} is not trimmed", self._trim, client)

    async def _each(
        self, matter: str, tend: Callable[[StreamClient, DurableOutlet], Awaitable[None]], client: StreamClient
    ) -> None:
        """Tends all streams: what a server cannot do for one of them holds up no other."""
        for outlet in list(self._outlets.values()):
            try:
                await tend(client, outlet)
            except ELSEWHERE:
                raise
            except ResponseError as error:
                self._told.say(matter.format(outlet.pattern), error)
            else:
                self._told.is_over(matter.format(outlet.pattern))

    async def _compare(self, client: StreamClient, outlet: DurableOutlet) -> None:
        self._count_dropped(outlet)
        lost = await outlet.stored.lost(client, outlet.channel, all_of_it=self._has_lost_all)
        if lost:
            self._losses.durable_lost += lost
            logger.warning(
                "Redis has lost up to %d events on %s that this node had stored for durable groups",
                lost,
                outlet.pattern,
            )

    def _count_dropped(self, outlet: DurableOutlet) -> None:
        dropped = outlet.newly_dropped()
        if dropped:
            self._losses.durable_lost += dropped
            logger.warning(
                "%d events on %s were dropped before Redis had them: overflow_bytes waited, or the node stopped",
                dropped,
                outlet.pattern,
            )

    async def _trim(self, client: StreamClient, outlet: DurableOutlet) -> None:
        oldest = max(0, now_ms() - int(1000 * self._config.durable_max_age))
        try:
            trimmed = await trim(client, outlet.channel, self._config.durable_max_length, oldest)
        except ResponseError as error:
            if not str(error).startswith(("no such key", "NOGROUP")):
                raise
            return  # nothing has been stored yet, or all of it was lost
        outlet.stored.done_before(trimmed.low)
        if trimmed.lost:
            self._losses.durable_lost += trimmed.lost
            logger.warning(
                "%d events on %s went undone: the stream is at durable_max_length or durable_max_age",
                trimmed.lost,
                outlet.pattern,
            )

    def close(self) -> None:
        """Stores nothing more; what waits is dropped, counted and said."""
        outlets = list(self._outlets.values())
        self.arrange(set())
        for outlet in outlets:
            self._count_dropped(outlet)
