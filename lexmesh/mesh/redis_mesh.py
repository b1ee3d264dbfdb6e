"""Nodes that hear each other through Redis: who they are, and what is said to them there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.directory import NODES
from lexmesh.mesh.durable_subscriptions import DurableSubscriptions
from lexmesh.mesh.heartbeats import BEAT
from lexmesh.mesh.membership import Membership
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.node_links import ON_MEDIUM
from lexmesh.mesh.registry.node import NodeStatus
from lexmesh.mesh.wildcards import GONE, Wildcards
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.work import DurableWork
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis import RedisTransport
from lexmesh.transports.redis_outlet import RedisOutlet
from lexmesh.transports.wall_clock import now_ms

__all__ = ["RedisMesh"]

DURABLE = "_lexmesh.mesh.durable"
"""There is another durable group."""

WORK_SHARE = 0.6
"""Of a stop's time, what durable work may take."""

FIRST_ROUNDS = 2
"""Nodes that are compared with when the medium has come up."""


class RedisMesh:
    """A node's part of the mesh on Redis.

    Args:
        gateway, pipeline: the node's.
        members: told of what comes, and asked what is linked.
        registry: tells who is gone.
        durable: the node's handlers in durable groups.
    """

    def __init__(
        self,
        gateway: PeerOwner,
        pipeline: StreamPipeline,
        members: Membership,
        registry: MeshRegistry,
        durable: DurableSubscriptions,
    ) -> None:
        self._members = members
        self._registry = registry
        self._links = members.links
        self._router = gateway.core.router
        self._present: dict[str, Correspondent] = {}
        self._claims: set[str] = set()  # linked nodes that say that they are on Redis
        self._rounds = 0
        self._stop_watching: Callable[[], None] = lambda: None
        epoch = registry.table.own.epoch
        self.transport = RedisTransport(gateway, self, registry.node_id, epoch)
        tell = partial(self.tell, DURABLE, {})
        keys = DurableKeys(self.transport.names.mesh)
        self._work = DurableWork(gateway, pipeline, keys, epoch, self.transport.kept_losses, self._is_gone, tell)
        self.transport.work = self._work
        self._durable = durable
        self._wildcards = Wildcards(registry, members, self.transport.publish_to)

    async def start(self, *, required: bool) -> None:
        """Begins to connect; see RedisTransport.start."""
        self._links.medium = self
        self._stop_watching = self._registry.on_change(self._status_changed)
        self._durable.begin(self._work)
        self._wildcards.start()
        await self.transport.start(required=required)

    async def stop(self, seconds: float) -> None:
        """Lets durable work end, publishes what waits, and disconnects."""
        self._links.medium = None
        self._stop_watching()
        self._durable.end()
        self._wildcards.stop()
        begun = asyncio.get_running_loop().time()
        await self._work.stop(WORK_SHARE * seconds)
        await self.transport.stop(max(0.0, seconds - (asyncio.get_running_loop().time() - begun)))
        self._work.close()

    async def stored(self) -> None:
        """Waits until Redis has what was published for durable groups; see DurableWork."""
        await self._work.stored()

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [*self.transport.endpoints, *self._work.endpoints]

    def status(self) -> dict[str, Any]:
        """How it stands, for people."""
        return {
            "url": self.transport.address.shown,
            "up": self.transport.is_up,
            "fault": self.transport.fault,
            "nodes": sorted(self._present),
            "publications": self.transport.taken,
            "durable": self._work.status(),
            **self.transport.losses(),
        }

    # -- as a medium ------------------------------------------------------------------------------------------------

    def tell(self, kind: str, data: Any) -> None:
        """Sends a reserved message to all nodes on it."""
        if self.transport.is_up:
            self.transport.send(kind, data)

    def has(self, name: str) -> bool:
        """Whether a node is on it."""
        return name in self._present

    def peer(self, name: str) -> Correspondent | None:
        """A node on it; None if it is not there."""
        return self._present.get(name)

    def peers(self) -> list[Correspondent]:
        """All nodes on it."""
        return list(self._present.values())

    # -- what the links tell ----------------------------------------------------------------------------------------

    def linked(self, link: Correspondent) -> None:
        """A node is linked directly."""
        if self.transport.is_up:
            link.send(ON_MEDIUM, {"on": True})

    def unlinked(self, name: str) -> None:
        """A node is linked no more: what is for it goes through Redis."""
        self._claims.discard(name)
        if name in self._present:
            self._stand_in(self.transport.node_outlet(name), name)

    def claimed(self, link: Correspondent, data: Any) -> None:
        """A linked node says whether it is on Redis."""
        if isinstance(data, dict) and data.get("on") is True:
            self._claims.add(link.name)
        else:
            self._claims.discard(link.name)
        self._mark(link.name)

    def _mark(self, name: str) -> None:
        """Notes whether what a linked node brings has been on Redis."""
        link = self._links.get(name)
        if link is None:
            return
        is_on = name in self._present and name in self._claims
        if link.session.outbox.on_medium != is_on:
            link.session.outbox.on_medium = is_on
            self.transport.listen_anew()

    # -- what the transport tells -----------------------------------------------------------------------------------

    def medium_up(self) -> None:
        """The server is there: say who this is."""
        self._rounds = 0
        self._members.directory.announce()
        self._members.heartbeats.beat(now_ms())
        self._links.tell(ON_MEDIUM, {"on": True})

    def medium_down(self) -> None:
        """Nobody is heard through Redis any more."""
        present, self._present = self._present, {}
        for name in present:
            self._leave(name)
        self._links.tell(ON_MEDIUM, {"on": False})

    def medium_ignores(self) -> frozenset[str]:
        """Linked nodes that listen themselves."""
        return frozenset(link.name for link in self._links if link.session.outbox.on_medium)

    def medium_nodes(self) -> frozenset[str]:
        """The nodes on it."""
        return frozenset(self._present)

    def medium_listens(self, wildcards: set[str]) -> None:
        """These patterns are listened to here, where who publishes has to know them."""
        self._wildcards.listen(wildcards)

    def medium_heard(self, name: str) -> None:
        """Something has come that says it is of a node."""
        if name not in self._present and self._is_there(name):
            self._arrive(name)

    def medium_control(self, name: str, event: StreamEvent) -> None:
        """A node has said something reserved.

        Who is unknown can only introduce itself: the registry bounds how many may.
        """
        if event.event_type == DURABLE:
            self._work.look()
            return
        peer = self._present.get(name)
        if peer is None and event.event_type in (NODES, BEAT):
            peer = Correspondent(self.transport.node_outlet(name), name)
        if peer is None:
            return
        self._members.heard(peer, event.event_type, event.data)
        self.medium_heard(name)

    def _is_there(self, name: str) -> bool:
        node = self._registry.table.get(name)
        return node is not None and node.status not in GONE

    def _is_gone(self, name: str) -> bool:
        node = self._registry.table.get(name)
        return node is not None and node.status in GONE

    def _arrive(self, name: str) -> None:
        outlet = self.transport.node_outlet(name)
        peer = self._present[name] = Correspondent(outlet, name)
        self._stand_in(outlet, name)
        self._mark(name)
        self._members.directory.introduce(peer)
        self._members.heartbeats.present(peer)
        if self._rounds < FIRST_ROUNDS:
            self._rounds += 1
            self._members.directory.compare(peer)
            self._members.shared.compare(peer)

    def _stand_in(self, outlet: RedisOutlet, name: str) -> None:
        """Lets what is for a node go to its own channel, while no link brings it there."""
        if outlet is not self.transport.outlets.everyone:
            self._router.stand_in(outlet.outbox, name)

    def _leave(self, name: str) -> None:
        self.transport.outlets.drop_node(name)
        self._mark(name)

    def _status_changed(self, name: str, status: NodeStatus, _before: NodeStatus | None) -> None:
        if status in GONE and self._present.pop(name, None) is not None:
            self._leave(name)
