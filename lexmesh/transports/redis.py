"""A medium that many nodes hear: channels of a Redis server, carrying Batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Protocol

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.errors import ConnectError
from lexmesh.redis_address import RedisAddress
from lexmesh.transports.backoff import Backoff
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_carrier import Carrier, open_carrier
from lexmesh.transports.redis_channels import ChannelNames
from lexmesh.transports.redis_faults import GONE, NO_ANSWER, explained
from lexmesh.transports.redis_inlet import RedisInlet
from lexmesh.transports.redis_losses import KeptLosses, RedisLosses
from lexmesh.transports.redis_open import AnyRedis
from lexmesh.transports.redis_outlet import RedisOutlet
from lexmesh.transports.redis_outlets import RedisOutlets
from lexmesh.transports.redis_reader import RedisReader
from lexmesh.transports.redis_writer import RedisWriter
from lexmesh.transports.subject_patterns import PatternTree
from lexmesh.transports.together import ended, run_together

__all__ = ["RedisOwner", "RedisTransport"]

LONGEST_PAUSE = 2.0
"""Seconds between two attempts at most: a server that is back is used within five."""

KEEP_SECONDS = 5.0
"""How often counters are written down, and channels looked through that nothing is said on."""

LOOK_SECONDS = 0.25
"""How often it is looked what waits for a server that is gone."""

logger = logging.getLogger("lexmesh.redis")


class RedisOwner(Protocol):
    """Who uses the medium."""

    def medium_up(self) -> None:
        """The medium carries."""
        ...

    def medium_down(self) -> None:
        """It carries no more."""
        ...

    def medium_heard(self, node: str) -> None:
        """Something that says it is of another node has come on it."""
        ...

    def medium_control(self, node: str, event: StreamEvent) -> None:
        """Another node said something reserved on it."""
        ...

    def medium_ignores(self) -> frozenset[str]:
        """Names of linked nodes for which nothing has to be listened to, since they do it themselves."""
        ...

    def medium_nodes(self) -> frozenset[str]:
        """Names of the nodes on it."""
        ...

    def medium_listens(self, wildcards: set[str]) -> None:
        """These patterns are listened to here, and those who publish have to know; none where Redis has patterns."""
        ...


class MediumWork(Protocol):
    """What else is done with the server while it is connected."""

    async def prepare(self, client: AnyRedis) -> None:
        """Does what comes before anything is published."""
        ...

    async def run(self, client: AnyRedis) -> None:
        """Goes on until the connection ends."""
        ...


class RedisTransport:
    """Publishes what is routed, and takes in what other nodes publish on the subjects that somebody here wants.

    Args:
        gateway: the node's; outlets and inlet belong to it.
        owner: told of what comes, and of the medium's state.
        node_id, epoch: this node, and its start in milliseconds since 1970-01-01 UTC.

    Attributes:
        is_up: whether the server is connected.
        fault: why it is not, as one line.
        work: what else is done with the server; None for nothing.
    """

    def __init__(self, gateway: PeerOwner, owner: RedisOwner, node_id: str, epoch: int) -> None:
        config = gateway.config
        self.address = RedisAddress.of(config.redis_url, config.redis_username, config.redis_password)
        is_clustered = self.address.kind == "cluster"
        self.names = ChannelNames(config.mesh_name, config.ritual_channel, is_clustered=is_clustered)
        self.is_up = False
        self.fault = ""
        self._config = config
        self._core = gateway.core
        self._router = gateway.core.router
        self._owner = owner
        self._node_id = node_id
        self._kept = KeptLosses(f"{self.names.node(node_id)}:losses")
        self._writer = RedisWriter()
        self.outlets = RedisOutlets(gateway, self.names, node_id, epoch, self._writer)
        self._inlet = RedisInlet(gateway, node_id, self.outlets.has_said, owner.medium_heard, owner.medium_control)
        self._is_required = False
        self._changed = asyncio.Event()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backoff = Backoff(cap=LONGEST_PAUSE)
        self._carrier: Carrier | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.work: MediumWork | None = None

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self, *, required: bool) -> None:
        """Begins to connect, and goes on to for as long as it takes.

        Args:
            required: whether to wait for the first attempt, and to fail with it.

        Raises:
            ConnectError: if that failed, and it was required.
        """
        self._is_required = required
        self._router.on_change = self._changed.set
        self.outlets.begin()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._give_up_in_time())]
        if required:
            try:
                await asyncio.shield(self._first)
            except ConnectError:
                await self.stop(0)
                raise

    async def stop(self, seconds: float) -> None:
        """Publishes what waits, for so many seconds at most, and disconnects."""
        if self.is_up and self._carrier is not None:
            self.outlets.flush()
            with contextlib.suppress(TimeoutError, *GONE):
                async with asyncio.timeout(seconds):
                    await self._writer.drained()
                    await self._keep_counters(self._carrier)
        await ended(self._tasks, 2.0)
        self._tasks = []
        self.is_up = False
        self._router.on_change = None
        self.outlets.end()
        self._inlet.close()

    # -- what the node uses -----------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [self._inlet.outbox, *self.outlets.endpoints]

    @property
    def taken(self) -> int:
        """Publications of other nodes that have come since the start."""
        return self._inlet.taken

    def send(self, kind: str, data: Any, node: str = "") -> None:
        """Says something reserved to everyone, or to one node."""
        outlet = self.outlets.of_node(node) if node else self.outlets.everyone
        outlet.send(kind, data)

    def node_outlet(self, node: str) -> RedisOutlet:
        """What one node hears; what everyone hears where there are too many."""
        return self.outlets.of_node(node)

    def publish_to(self, wildcards: set[str]) -> None:
        """Other nodes listen to these patterns: what matches is published for them too."""
        self.outlets.wildcards = PatternTree(wildcards)
        self._router.refresh()

    def listen_anew(self) -> None:
        """What is to be listened to may be something else now."""
        self._changed.set()

    @property
    def kept_losses(self) -> RedisLosses:
        """Where what is lost is counted, over all starts."""
        return self._kept.losses

    def losses(self) -> dict[str, int]:
        """What was lost or refused, over all starts of this node."""
        losses, inlet = self._kept.losses, self._inlet
        losses.lost, inlet.gaps.lost = losses.lost + inlet.gaps.lost, 0
        losses.refused, inlet.refused = losses.refused + inlet.refused, 0
        losses.unpublished, self._writer.denied = losses.unpublished + self._writer.denied, 0
        return losses.data()

    # -- connecting -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Uses one connection after the other."""
        while True:
            using = asyncio.get_running_loop().create_task(self._use())
            try:
                await asyncio.wait([using])
            finally:
                await ended([using], 1.0)
            if (error := using.exception()) is not None:  # whatever it is, the node goes on, and so does this
                self._down(explained(error))
            await asyncio.sleep(self._backoff.next_delay())

    async def _use(self) -> None:
        """Connects, and carries until the connection breaks."""
        async with open_carrier(self.address, self.names.everyone) as carrier:
            self._carrier = carrier
            reader = RedisReader(carrier, self._inlet.receive)
            try:
                await self._carry(carrier, reader)
            finally:
                self._carrier = None
                await reader.close()

    async def _carry(self, carrier: Carrier, reader: RedisReader) -> None:
        self._changed.clear()
        await self._listen(carrier, reader)
        await reader.confirmed()
        await self._keep_counters(carrier)  # which no replica takes: it would hear nothing that a master is told
        if self.work is not None:
            await self.work.prepare(carrier.client)
        self._up()
        also = [] if self.work is None else [self.work.run(carrier.client)]
        await run_together(
            reader.read(), self._writer.write(carrier), self._follow(carrier, reader), self._tend(carrier), *also
        )

    async def _listen(self, carrier: Carrier, reader: RedisReader) -> None:
        """Listens to what is wanted now, and lets it be known where those who publish have to know."""
        interest = self._router.interest(self._owner.medium_ignores())
        names = self.names
        channels, patterns = (names.wanted_of_shard if carrier.is_sharded else names.wanted)(interest)
        globs = set() if carrier.is_sharded else patterns
        channels |= {names.everyone, names.node(self._node_id)}
        self._inlet.gaps.keep(reader.still_hears(channels, globs))
        await reader.listen_to(channels, globs)
        self._owner.medium_listens(patterns if carrier.is_sharded else set())

    async def _follow(self, carrier: Carrier, reader: RedisReader) -> None:
        """Listens to what is wanted as that changes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._listen(carrier, reader)

    def _up(self) -> None:
        if not self._first.done():
            self._first.set_result(None)
            logger.info("joined through Redis at %s", self.address.shown)
        else:
            was_there = not self._first.exception()
            self._kept.losses.reconnects += was_there
            logger.warning("Redis at %s answers%s", self.address.shown, " again" if was_there else "")
        if self._first.exception():
            self._first = asyncio.get_running_loop().create_future()
            self._first.set_result(None)
        self.is_up, self.fault = True, ""
        self._core.floods = True  # what comes here may come by a link too; without a medium none has to be asked that
        self._backoff.reset()
        self.outlets.begin()
        self._owner.medium_up()

    def _down(self, fault: str) -> None:
        was_up, self.is_up = self.is_up, False
        if self.address.tls and fault == NO_ANSWER:
            fault += "; does it speak TLS? else use redis://"
        is_raised = self._is_required and not self._first.done()
        if not self._first.done():
            self._first.set_exception(ConnectError(self.address.shown, fault))
            self._first.exception()  # whoever did not wait for it is told by the log
            self.outlets.end()  # nothing is kept for a server that has never been there
        if not self.fault and not is_raised:
            logger.warning(
                "no Redis at %s: %s. The node goes on without it and keeps trying; start it, set redis_url to where it "
                "is, or enable_redis = false",
                self.address.shown,
                fault.removesuffix("."),
            )
        elif fault != self.fault:
            logger.info("still no Redis at %s: %s", self.address.shown, fault)
        self.fault = fault
        if was_up:
            self._owner.medium_down()

    async def _give_up_in_time(self) -> None:
        """Keeps nothing more for a server that has been gone for long, as for any link that does not come back."""
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.is_up:
                seen = loop.time()
            is_late = loop.time() - seen > self._config.overflow_seconds
            if self.outlets.carry and (is_late or self.outlets.is_overfull) and not self.is_up:
                self.outlets.end()

    # -- counting ---------------------------------------------------------------------------------------------------

    async def _tend(self, carrier: Carrier) -> None:
        while True:
            await self._keep_counters(carrier)
            self.outlets.let_go(self._owner.medium_nodes())
            await asyncio.sleep(KEEP_SECONDS)

    async def _keep_counters(self, carrier: Carrier) -> None:
        self.losses()
        await self._kept.keep(carrier.client)
