"""A node among others: what their links bring that is not for users, and what is said to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.clock import FrequencySync
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.dialler import Node, PeerDialler
from lexmesh.mesh.directory import DIGEST, NODES, Directory
from lexmesh.mesh.heartbeats import BEAT, Heartbeats
from lexmesh.mesh.hello import HELLO, Hello
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.neighbours import neighbours
from lexmesh.mesh.node_link import NodeLink
from lexmesh.mesh.node_links import ON_MEDIUM, RETIRED, NodeLinks
from lexmesh.mesh.probe import ANSWER, PROBE, Probes
from lexmesh.mesh.shared_state import SharedState
from lexmesh.mesh.synchronizer import StateSynchronizer
from lexmesh.transports.chance import chance
from lexmesh.transports.gateway_protocol import ERROR
from lexmesh.transports.peer import Peer
from lexmesh.transports.wall_clock import now_ms

__all__ = ["STATUS", "Membership"]

STATUS = RESERVED_PREFIX + "mesh.status"
"""A client asks how the mesh stands, and is answered in kind."""

STATE = RESERVED_PREFIX + "state."

PATIENCE_ROUNDS = 2
"""Of two nodes that want each other the one with the lesser name dials; the other one does after so many rounds."""

NEWS_SECONDS = 0.02
"""How long after some news of other nodes it is looked whom to link to."""

logger = logging.getLogger("lexmesh.mesh")


class Membership:
    """Links, directory, heartbeats and shared state of one node; the owner says when it is time for each.

    Args:
        gateway: the node's; links belong to it too.
        config: the node's.
        registry, state, phase: the node's parts.
        load: makes the fields of Load.
        status: makes the answer to STATUS.
        seen_at: callable(address), told under which address a peer sees this node.

    Attributes:
        on_lost: each a callable(name), told of a node that is linked no more.
        on_closed: each a callable(session), told of a connection that is gone, of a node or not.
        questions: by reserved type, a callable(session, event) that answers a client.
    """

    def __init__(
        self,
        gateway: Node,
        config: MeshConfig,
        registry: MeshRegistry,
        state: StateSynchronizer,
        phase: FrequencySync,
        *,
        load: Callable[[], dict[str, Any]],
        status: Callable[[], dict[str, Any]],
        seen_at: Callable[[str], None],
    ) -> None:
        self._gateway = gateway
        self._config = config
        self._registry = registry
        self._status = status
        self._seen_at = seen_at
        self.links = NodeLinks(gateway.core, self._own_hello, self._up, self._down)
        self.heartbeats = Heartbeats(registry, self.links, load, config.heartbeat_interval * 1000)
        self.directory = Directory(registry.table, self.links)
        self.directory.on_news.append(lambda: self.heartbeats.catch_up(now_ms()))
        self.probes = Probes(self.links, registry.table, phase)
        self.shared = SharedState(state, self.links)
        self.on_lost: list[Callable[[str], None]] = []
        self.on_closed: list[Callable[[Peer], None]] = []
        self.questions: dict[str, Callable[[Peer, StreamEvent], None]] = {}
        self._configured: list[PeerDialler] = []
        self._learned: dict[str, PeerDialler] = {}
        self._missed: dict[str, int] = {}
        self._is_looking = False
        self._will_look: asyncio.TimerHandle | None = None
        registry.on_change(lambda *_: self._look_soon())

    def _own_hello(self) -> Hello:
        return Hello(self._config.mesh_name, self._registry.table.own)

    # -- dialling ---------------------------------------------------------------------------------------------------

    def dial(self, url: str) -> None:
        """Links to a node, again and again."""
        self._configured.append(PeerDialler(self._gateway, self.links, [url]))

    def begin(self) -> None:
        """Begins to link to the configured peers."""
        self._is_looking = True
        for url in self._config.peers:
            self.dial(url)

    @property
    def faults(self) -> dict[str, str]:
        """Why there is no link to a peer that is wanted, by URL."""
        diallers = (*self._configured, *self._learned.values())
        return {dialler.urls[0].rpartition("@")[2]: dialler.fault for dialler in diallers if dialler.fault}

    @property
    def endpoints(self) -> list[Endpoint]:
        """Of outgoing links that the gateway does not count itself."""
        found = (dialler.endpoint for dialler in (*self._configured, *self._learned.values()))
        return [endpoint for endpoint in found if endpoint is not None]

    def stop_dialling(self) -> None:
        """Makes no new links."""
        self._is_looking = False
        for dialler in (*self._configured, *self._learned.values()):
            dialler.stop()

    async def close(self) -> None:
        """Closes the links that the gateway does not."""
        diallers = [one for one in (*self._configured, *self._learned.values()) if one.endpoint is not None]
        await asyncio.gather(*(dialler.close() for dialler in diallers))
        self._configured, self._learned = [], {}

    def look_around(self) -> None:
        """Links to the nodes that this one is to be linked to, and no more to others that it has dialled by itself."""
        if not self._is_looking:
            return
        wanted = neighbours(self._registry.node_id, self._registry.table, self._config.learned_links)
        for name in [name for name in self._learned if name not in wanted]:
            self._learned.pop(name).stop()
            self.links.let_go(name)
        self._missed = {name: self._missed.get(name, 0) + 1 for name in wanted if self.links.get(name) is None}
        for name, missed in self._missed.items():
            is_first = self._registry.node_id < name or missed > PATIENCE_ROUNDS
            if is_first and name not in self._learned:
                self._learned[name] = PeerDialler(self._gateway, self.links, wanted[name], name)

    def _look_soon(self) -> None:
        """Looks around once for all the news of a moment: many nodes may come at a time."""
        if self._is_looking and self._will_look is None:
            self._will_look = asyncio.get_running_loop().call_later(NEWS_SECONDS, self._look)

    def _look(self) -> None:
        self._will_look = None
        self.look_around()

    # -- links ------------------------------------------------------------------------------------------------------

    def _up(self, link: NodeLink) -> None:
        logger.info("linked to %s", link.name)
        self.directory.compare(link)
        self.heartbeats.greet(link, now_ms())
        self.probes.ask(link)
        if self.links.medium is not None:
            self.links.medium.linked(link)
        if link.dialled:
            self.shared.compare(link)

    def _down(self, name: str) -> None:
        logger.info("no longer linked to %s", name)
        self.probes.forget(name)
        if self.links.medium is not None:
            self.links.medium.unlinked(name)
        for dialler in (*self._configured, *self._learned.values()):
            dialler.look_again()
        for told in self.on_lost:
            told(name)

    def closed(self, session: Peer) -> None:
        """A connection is gone, of a node or not."""
        self.links.closed(session)
        for told in self.on_closed:
            told(session)

    def control(self, session: Peer, event: StreamEvent) -> bool:
        """Takes a reserved message; whether it was one of a mesh's."""
        kind = event.event_type
        if kind == HELLO:
            self._hello(session, event)
        elif kind == STATUS:
            session.send(STATUS, self._status(), reply_to=event.id)
        elif (answer := self.questions.get(kind)) is not None:
            answer(session, event)
        elif kind == ERROR:
            return self.links.no_node(session)
        elif (link := self.links.of(session)) is not None:
            link.unanswered = 0
            return self.heard(link, kind, event.data)
        else:
            return False
        return True

    def _hello(self, session: Peer, event: StreamEvent) -> None:
        hello = self.links.hello(session, event)
        link = self.links.of(session)
        if hello is not None and link is not None:
            self.directory.learn(link, hello.entry, now_ms())
            if hello.seen_at:
                self._seen_at(hello.seen_at)

    def heard(self, link: Correspondent, kind: str, data: Any) -> bool:
        """Takes what another node says to this one, by whichever way; whether it was something of a mesh's."""
        if kind == BEAT:
            if not self.heartbeats.receive(link, data, now_ms()):
                self.directory.compare(link)
        elif kind in (NODES, DIGEST):
            self._learn(link, kind, data, now_ms())
        elif kind.startswith(STATE):
            self.shared.receive(link, kind, data)
        elif isinstance(link, NodeLink):
            return self._heard_on_link(link, kind, data)
        else:
            return False
        return True

    def _heard_on_link(self, link: NodeLink, kind: str, data: Any) -> bool:
        """Takes what is about the very link that it came by."""
        if kind in (PROBE, ANSWER):
            self.probes.receive(link, kind, data)
        elif kind == RETIRED:
            self.links.retired(link)
        elif kind == ON_MEDIUM:
            if self.links.medium is not None:
                self.links.medium.claimed(link, data)
        else:
            return False
        return True

    def _learn(self, link: Correspondent, kind: str, data: Any, now: int) -> None:
        if self.directory.receive(link, kind, data, now):
            self.heartbeats.beat(now)
        if isinstance(data, dict) and isinstance(versions := data.get("versions"), dict):
            self.heartbeats.introduce(link, versions, now)

    # -- when it is time --------------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Asks each linked node whether it is there, cuts links to those that are silent, makes those that miss."""
        for dialler in (*self._configured, *self._learned.values()):
            dialler.look_after()
        self.probes.ask_all()
        self.look_around()

    def compare(self) -> None:
        """Compares with one node, drawn at random of those linked or on a medium, what both know."""
        others: list[Correspondent] = list(self.links)
        if self.links.medium is not None:
            others += self.links.medium.peers()
        if others:
            link = chance().choice(others)
            self.directory.compare(link)
            self.shared.compare(link)
