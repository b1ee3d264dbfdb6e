"""A medium that many nodes hear: channels of a Redis server, carrying Batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Protocol

from redis.exceptions import RedisError

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.errors import ConnectError
from lexmesh.transports.backoff import Backoff
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_channels import ChannelNames
from lexmesh.transports.redis_inlet import RedisInlet
from lexmesh.transports.redis_losses import RedisLosses
from lexmesh.transports.redis_open import AnyRedis, open_redis
from lexmesh.transports.redis_outlet import RedisOutlet
from lexmesh.transports.redis_reader import RedisReader
from lexmesh.transports.redis_url import RedisAddress
from lexmesh.transports.redis_writer import RedisWriter

__all__ = ["RedisOwner", "RedisTransport"]

LONGEST_PAUSE = 2.0
"""Seconds between two attempts at most: a server that is back is used within five."""

MOST_OUTLETS = 1_024
"""Channels that one node publishes on under their own names; further subjects and nodes share what everyone hears."""

KEEP_SECONDS = 5.0
"""How often counters are written down, where they have changed."""

logger = logging.getLogger("lexmesh.redis")

GONE = (RedisError, OSError, TimeoutError)


class RedisOwner(Protocol):
    """Who uses the medium."""

    def medium_up(self) -> None:
        """The medium carries."""
        ...

    def medium_down(self) -> None:
        """It carries no more."""
        ...

    def medium_heard(self, node: str) -> None:
        """Something of another node has come on it."""
        ...

    def medium_control(self, node: str, event: StreamEvent) -> None:
        """Another node said something reserved on it."""
        ...

    def medium_ignores(self) -> frozenset[str]:
        """Names of linked nodes for which nothing has to be listened to, since they do it themselves."""
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

    Raises:
        ConnectError: if the configured URL is none.
    """

    def __init__(self, gateway: PeerOwner, owner: RedisOwner, node_id: str, epoch: int) -> None:
        config = gateway.config
        self.address = RedisAddress.of(config.redis_url)
        self.names = ChannelNames(config.mesh_name, config.ritual_channel)
        self.is_up = False
        self.fault = ""
        self._gateway = gateway
        self._router = gateway.core.router
        self._owner = owner
        self._node_id = node_id
        self._epoch = epoch
        self._losses = RedisLosses()
        self._kept: dict[str, int] = {}
        self._writer = RedisWriter()
        self._outlets: dict[str, RedisOutlet] = {}
        self._inlet = RedisInlet(gateway, node_id, owner.medium_heard, owner.medium_control)
        self._changed = asyncio.Event()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backoff = Backoff(cap=LONGEST_PAUSE)
        self.everyone = self._outlet(self.names.everyone)
        self._task: asyncio.Task[None] | None = None

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self, *, required: bool) -> None:
        """Begins to connect, and goes on to for as long as it takes.

        Args:
            required: whether to wait for the first attempt, and to fail with it.

        Raises:
            ConnectError: if that failed, and it was required.
        """
        self._router.channel_of = self._channel_of
        self._router.on_change = self._changed.set
        self._router.attach(self.everyone.outbox)
        self._router.refresh()
        self._task = asyncio.get_running_loop().create_task(self._run())
        if required:
            try:
                await asyncio.shield(self._first)
            except ConnectError:
                await self.stop(0)
                raise

    async def stop(self, seconds: float) -> None:
        """Publishes what waits, for so many seconds at most, and disconnects."""
        if self.is_up:
            for outlet in self._outlets.values():
                outlet.outbox.flush()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._writer.drained(), seconds)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._router.channel_of = self._router.on_change = None
        for outlet in self._outlets.values():
            outlet.close()
            self._router.forget(outlet.outbox)
        self._router.refresh()
        self._inlet.close()

    # -- what the node uses -----------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [self._inlet.outbox, *(outlet.outbox for outlet in self._outlets.values())]

    def send(self, kind: str, data: Any, node: str = "") -> None:
        """Says something reserved to everyone, or to one node."""
        outlet = self.node_outlet(node) if node else self.everyone
        outlet.send(kind, data)

    def node_outlet(self, node: str) -> RedisOutlet:
        """What one node hears; what everyone hears where there are too many."""
        return self._outlet(self.names.node(node))

    def drop_node(self, node: str) -> None:
        """A node is not on the medium any more: what waits for it is dropped."""
        outlet = self._outlets.pop(self.names.node(node), None)
        if outlet is not None:
            outlet.close()
            self._router.forget(outlet.outbox)

    def listen_anew(self) -> None:
        """What is to be listened to may be something else now."""
        self._changed.set()

    def losses(self) -> dict[str, int]:
        """What was lost or refused, over all starts of this node."""
        return self._losses.data()

    def _outlet(self, channel: str) -> RedisOutlet:
        outlet = self._outlets.get(channel)
        if outlet is None:
            if len(self._outlets) >= MOST_OUTLETS:
                return self.everyone
            outlet = RedisOutlet(self._gateway, channel, self._node_id, self._epoch, self._writer.add)
            self._outlets[channel] = outlet
        return outlet

    def _channel_of(self, subject: str) -> Endpoint:
        return self._outlet(self.names.subject(subject)).outbox

    # -- connecting -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            client = open_redis(self.address)
            try:
                await self._use(client)
            except* GONE as group:
                self._down(_why(group))
            finally:
                await _closed(client)
            await asyncio.sleep(self._backoff.next_delay())

    async def _use(self, client: AnyRedis) -> None:
        """Connects, and carries until the connection breaks."""
        reader = RedisReader(client.pubsub(), self._inlet.receive)
        try:
            self._changed.clear()
            await reader.listen_to(*self._wanted())
            if not self._kept:
                await self._losses.add_kept(client, self._counters_key)
            self._up()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(reader.read())
                tasks.create_task(self._writer.write(client))
                tasks.create_task(self._follow(reader))
                tasks.create_task(self._keep_counters(client))
        finally:
            await reader.close()

    def _wanted(self) -> tuple[set[str], set[str]]:
        channels, patterns = self.names.wanted(self._router.interest(self._owner.medium_ignores()))
        return channels | {self.names.everyone, self.names.node(self._node_id)}, patterns

    async def _follow(self, reader: RedisReader) -> None:
        """Listens to what is wanted as that changes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await reader.listen_to(*self._wanted())

    def _up(self) -> None:
        if self._first.done():
            self._losses.reconnects += 1
            logger.info("Redis at %s answers again", self.address.shown)
        else:
            self._first.set_result(None)
            logger.info("joined through Redis at %s", self.address.shown)
        self.is_up, self.fault = True, ""
        self._backoff.reset()
        self._owner.medium_up()

    def _down(self, fault: str) -> None:
        was_up, self.is_up = self.is_up, False
        if not self._first.done():
            self._first.set_exception(ConnectError(self.address.shown, fault))
            self._first.exception()  # whoever did not wait for it is told by the log
        if fault != self.fault:
            logger.warning(
                "Redis at %s does not answer (%s): the node goes on without it and keeps trying; start it, set "
                "redis_url to where it is, or enable_redis = false",
                self.address.shown,
                fault,
            )
        self.fault = fault
        if was_up:
            self._owner.medium_down()

    # -- counting ---------------------------------------------------------------------------------------------------

    @property
    def _counters_key(self) -> str:
        return f"{self.names.node(self._node_id)}:losses"

    async def _keep_counters(self, client: AnyRedis) -> None:
        while True:
            self._losses.lost, self._inlet.gaps.lost = self._losses.lost + self._inlet.gaps.lost, 0
            self._losses.refused, self._inlet.refused = self._losses.refused + self._inlet.refused, 0
            if self._losses.data() != self._kept:
                await self._losses.keep(client, self._counters_key)
                self._kept = self._losses.data()
            await asyncio.sleep(KEEP_SECONDS)


def _why(group: BaseExceptionGroup[BaseException]) -> str:
    """The first of several faults in one line; redis-py's own texts hold no password."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text[:200].rstrip(".")


async def _closed(client: AnyRedis) -> None:
    with contextlib.suppress(*GONE):
        await client.aclose()
