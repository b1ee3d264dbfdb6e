"""A node of the mesh: a gateway for clients, linked to other nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.events import EventType
from lexmesh.mesh.client_tasks import ClientTasks
from lexmesh.mesh.clock import FREQUENCY, FrequencySync
from lexmesh.mesh.doors import Doors
from lexmesh.mesh.durable_subscriptions import DurableSubscriptions
from lexmesh.mesh.event_bus import EventBus
from lexmesh.mesh.group_shares import GroupShares
from lexmesh.mesh.load import LoadMeter
from lexmesh.mesh.membership import Membership
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.mesh_tasks import MeshTasks
from lexmesh.mesh.node_events import NodeEvents
from lexmesh.mesh.policed_state import police_of
from lexmesh.mesh.registry.node import NodeStatus
from lexmesh.mesh.state.replica import Strategy
from lexmesh.mesh.status import mesh_status
from lexmesh.mesh.subscription_methods import SubscriptionMethods
from lexmesh.mesh.synchronizer import StateSynchronizer
from lexmesh.mesh.task_methods import TaskMethods
from lexmesh.mesh.timers import MeshTimers
from lexmesh.nsr import NsrPolicy
from lexmesh.transports.answers import Answers
from lexmesh.transports.arguments import check_seconds
from lexmesh.transports.gateway_protocol import protocol_of
from lexmesh.transports.loop import run_until_signal
from lexmesh.transports.wall_clock import now_ms, wall_ms
from lexmesh.transports.websocket import WebSocketServer

if TYPE_CHECKING:
    from lexmesh.mesh.redis_mesh import RedisMesh

__all__ = ["MeshCore"]

TASKS_SHARE = 0.5
"""Of a stop's time, what task handlers that run may take."""

REDIS_SHARE = 0.3
"""Of what is left of a stop's time then, what may take to publish on Redis what waits."""

DOORS_SHARE = 0.5
"""Of what is left of a stop's time then, what transports but WebSocket may take."""

WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not listened on


class MeshCore(SubscriptionMethods, TaskMethods):
    """One node of a mesh.

    Args:
        config: its name, mesh, ports, peers and limits; from the environment when None.
        policy: the consent policy; the configured file, which can be reloaded, or the default policy when None.
        categories: of shared state, those that this node takes part in; None for all.
        strategies: by category, what decides between concurrent writes; see StateSynchronizer.
        frequency: hertz of `bio_sync`.

    Attributes:
        gateway: what clients connect to.
        pipeline: polices, filters and routes; the gateway's.
        bus: publishes by priority, to all nodes or one, and hears what comes from them.
        registry: who is in the mesh.
        state: what all nodes share.
        phase: the common clock of 0.0043 Hz.

    Raises:
        ValueError: if a name is none.
        PolicyError: if the configured policy cannot be loaded.
    """

    def __init__(
        self,
        config: MeshConfig | None = None,
        *,
        policy: NsrPolicy | None = None,
        categories: Iterable[str] | None = None,
        strategies: Mapping[str, Strategy] | None = None,
        frequency: float = FREQUENCY,
    ) -> None:
        self.config = config or MeshConfig()
        self.node_id = self.config.node_id
        self.gateway = WebSocketServer(config=self.config, policy=policy)
        self.gateway.listens = self.config.enable_websocket
        self.pipeline = self.gateway.pipeline
        self.bus = EventBus(self.node_id, pipeline=self.pipeline)
        self.registry = MeshRegistry(
            self.node_id,
            capabilities=self.config.capabilities,
            heartbeat_interval=self.config.heartbeat_interval,
        )
        self.state = StateSynchronizer(self.node_id, categories=categories, strategies=strategies)
        self.state.police_with(police_of(self.pipeline))
        self.phase = FrequencySync(self.node_id, frequency)
        self.status = NodeStatus.INITIALIZING
        self._started = 0
        self._protocol = protocol_of(self.pipeline)
        self._answers = Answers(self.pipeline.core)
        self._load = LoadMeter(self.pipeline.core, self.ledger, lambda: self.links)
        self._members = Membership(
            self.gateway,
            self.config,
            self.registry,
            self.state,
            self.phase,
            load=self._load.read,
            status=self.get_mesh_status,
            seen_at=self._seen_at,
        )
        self._protocol.nodes = self._members
        self._node_events = NodeEvents(self.pipeline.core, self.registry)
        self._members.heartbeats.on_beat = self._node_events.beat
        self.tasks = MeshTasks(self.pipeline, self.registry, self.set_capabilities)
        self._members.on_lost.append(self.tasks.lost)
        ClientTasks(self.tasks, self._members)
        self._doors = Doors(self.config, self.pipeline)
        self._redis: RedisMesh | None = None
        self._durable = DurableSubscriptions()
        self._timers = MeshTimers(self.config, self.phase, self._members, self.registry.table, self._tell_tick)
        self._groups = GroupShares(self._protocol.groups, self.registry, self._members)
        self.gateway.add_links(self._other_endpoints)

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens, and begins to link to the configured peers.

        Raises:
            ConfigError: if the audit file cannot be written, or a certificate cannot be read.
            PortInUseError: if another process has a port.
            TransportError: if an address cannot be listened on.
        """
        if self._timers.running:
            return
        await self.gateway.start()
        try:
            await self._doors.open()
        except BaseException:
            await self.gateway.stop(0)
            raise
        self._started = now_ms()
        self.status = NodeStatus.ACTIVE
        self.registry.table.declare(now_ms(), addresses=tuple(self._addresses()), leaving=False)
        self._node_events.start()
        self._load.begin()
        self._members.begin()
        self._members.heartbeats.beat(now_ms())
        self._timers.start()
        await self.bus.start()
        self.tasks.start()
        self._groups.start()
        try:
            await self._start_redis()
        except BaseException:
            await self.stop(0)
            raise

    async def _start_redis(self) -> None:
        if not (self.config.enable_redis or self.config.redis_required):
            return
        from lexmesh.mesh.redis_mesh import RedisMesh  # noqa: PLC0415 - redis takes a while to load

        self._redis = RedisMesh(self.gateway, self.pipeline, self._members, self.registry, self._durable)
        await self._redis.start(required=self.config.redis_required)

    async def stop(self, seconds: float | None = None) -> None:
        """Says goodbye to the other nodes, drains and closes.

        Args:
            seconds: how long it may take; the configured drain time when None.

        Raises:
            TypeError, ValueError: if it is no number of seconds; the node then goes on.
        """
        seconds = self.config.drain_seconds if seconds is None else seconds
        check_seconds("seconds", seconds)
        if not self._timers.running:
            return
        self._timers.stop()
        await self.bus.stop()
        self._node_events.stop()
        self._members.stop_dialling()
        self.state.flush()
        self.registry.table.declare(now_ms(), leaving=True)
        self._members.directory.announce()
        self.status = NodeStatus.DISCONNECTED
        begun = asyncio.get_running_loop().time()
        await self.tasks.stop(TASKS_SHARE * seconds)
        await self._members.close()
        left = max(0.0, seconds - (asyncio.get_running_loop().time() - begun))
        if self._redis is not None:
            redis, self._redis = self._redis, None
            await redis.stop(REDIS_SHARE * left)
        await self._doors.close(DOORS_SHARE * left)
        await self.gateway.stop(max(0.0, seconds - (asyncio.get_running_loop().time() - begun)))
        await self.state.stop()

    async def serve_forever(self) -> None:
        """Starts, and runs until cancelled."""
        async with self:
            await asyncio.Event().wait()

    def run(self) -> None:
        """Runs until SIGINT or SIGTERM, then drains; SIGHUP reloads the policy. For plain scripts."""
        run_until_signal(self)

    async def reload_policy(self) -> bool:
        """Puts the configured policy file in force as it is now; whether it is."""
        return await self.gateway.reload_policy()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- events -----------------------------------------------------------------------------------------------------

    def publish(self, event_type: str, data: Any = None, **fields: Any) -> str:
        """Publishes an event to handlers, clients and nodes, without waiting.

        Args:
            event_type: its subject.
            data: what JSON can say, text or bytes.
            **fields: metadata, target_node, ttl, priority and reply_to, as in StreamEvent.

        Returns:
            The event's id.

        Raises:
            DeniedError: if the policy refuses it.
            MalformedError: if the fields do not make a message.
            TypeError: if a field has the wrong type.
        """
        return self.gateway.publish(event_type, data, **fields)

    async def flush(self) -> None:
        """Lets what was published leave, and waits until links and clients take more, or have overflowed."""
        await asyncio.sleep(0)
        await self._protocol.uncongested()

    async def broadcast_event(self, event_type: str, data: Any = None, **fields: Any) -> str:
        """Publishes an event to all nodes, and lets it leave; as `publish`, whose id it returns."""
        id = self.publish(event_type, data, **fields)
        await self.flush()
        return id

    async def send_to_node(self, target_node: str, event_type: str, data: Any = None, **fields: Any) -> str:
        """Publishes an event to one node, or to a client of any, and lets it leave; returns its id."""
        return await self.broadcast_event(event_type, data, target_node=target_node, **fields)

    async def request(
        self, target_node: str, event_type: str, data: Any = None, *, timeout: float = 10.0, **fields: Any
    ) -> StreamEvent:
        """Publishes an event and waits for the first answer: what a handler, here or elsewhere, returns as a dict.

        Args:
            target_node: who is asked; empty for whoever subscribes to the event type.
            event_type, data, **fields: as for publish.
            timeout: seconds.

        Returns:
            The answer.

        Raises:
            DeniedError: if the policy refuses the request.
            RequestTimeoutError: if no answer comes.
        """
        check_seconds("timeout", timeout)
        ask = partial(self.publish, event_type, data, target_node=target_node, **fields)
        return await self._answers.ask(ask, str(event_type), timeout)

    # -- looking ----------------------------------------------------------------------------------------------------

    def get_mesh_status(self) -> dict[str, Any]:
        """How this node and the mesh stand, as this node sees it; see `mesh_status`."""
        return mesh_status(
            self.registry,
            status=self.status,
            mesh_name=self.config.mesh_name,
            uptime=(now_ms() - self._started) / 1000 if self._started else 0.0,
            links=self._members.links.names(),
            faults=self._members.faults,
            redis=None if self._redis is None else self._redis.status(),
        )

    def ledger(self) -> dict[str, Any]:
        """What came in and went out, by outcome, with this node's name, uptime and links, and how Redis stands."""
        through_redis = {} if self._redis is None else {"redis": self._redis.status()}
        return {**self.gateway.ledger(), **through_redis}

    @property
    def port(self) -> int:
        """The TCP port that WebSocket clients and nodes connect to, where `enable_websocket` is set."""
        return self.gateway.port

    @property
    def grpc_port(self) -> int | None:
        """The TCP port for gRPC; None while it is not offered."""
        return self._doors.grpc_port

    @property
    def links(self) -> list[str]:
        """The nodes that this one is linked to."""
        return self._members.links.names()

    def link_to(self, url: str) -> None:
        """Links to one more node, now and whenever that link breaks, until this node stops.

        Args:
            url: ws://, wss://, grpc://, grpcs:// or memory://.

        Raises:
            ConfigError: if it is no such URL.
            RuntimeError: if this node is not running.
        """
        if not self._timers.running:
            raise RuntimeError("the node is not running: start() it first, or name its peers in the configuration")
        (checked,) = MeshConfig(peers=[url]).peers
        self._members.dial(checked)

    def set_capabilities(self, capabilities: Iterable[str]) -> None:
        """Says anew which tasks this node takes; the others hear of it at once."""
        self.registry.set_capabilities(capabilities)
        self._members.directory.announce()

    # -- addresses --------------------------------------------------------------------------------------------------

    def _addresses(self) -> list[str]:
        if self.config.addresses:
            return list(self.config.addresses)
        memory = self._doors.memory_urls
        return memory if self.config.host in WILDCARDS else [*memory, *self._addresses_at(self.config.host)]

    def _addresses_at(self, host: str) -> list[str]:
        host = f"[{host}]" if ":" in host else host
        grpc = "grpcs" if self.config.grpc_tls_certificate else "grpc"
        also = [] if self.grpc_port is None else [f"{grpc}://{host}:{self.grpc_port}"]
        return [f"ws://{host}:{self.port}", *also] if self.config.enable_websocket else also

    def _seen_at(self, host: str) -> None:
        """A peer sees this node at an address: where it listens on all of them, this one reaches it."""
        if self.config.host in WILDCARDS and not self.registry.table.own.addresses:
            self.registry.table.declare(now_ms(), addresses=tuple(self._addresses_at(host)))
            self._members.directory.announce()

    def _other_endpoints(self) -> list[Endpoint]:
        through_redis = self._redis.endpoints if self._redis is not None else []
        return [*self._doors.endpoints, *through_redis, *self._members.endpoints]

    def _tell_tick(self, tick: int) -> None:
        """Publishes `bio_sync`, unless nobody would hear it."""
        if self.pipeline.core.router.listeners(str(EventType.BIO_SYNC)):
            with contextlib.suppress(DeniedError):  # counted and recorded
                self.publish(EventType.BIO_SYNC, self.phase.event(tick, wall_ms()))
