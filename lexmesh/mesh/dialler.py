"""Keeps this node linked to one other, by whichever of its addresses works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from lexmesh._codec import StreamEvent
from lexmesh._pipeline import Core
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.errors import TransportError
from lexmesh.mesh.node_links import NodeLinks
from lexmesh.transports.backoff import Backoff
from lexmesh.transports.connector import FINAL_CODES, Connector
from lexmesh.transports.handshake import SUBPROTOCOL_PROTO
from lexmesh.transports.memory import MemoryConnector
from lexmesh.transports.memory_network import SCHEME
from lexmesh.transports.peer import Peer, PeerOwner
from lexmesh.transports.session import Session
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.ws_connector import WebSocketConnector

__all__ = ["PeerDialler"]

ATTEMPT_SECONDS = 2.5
LONGEST_PAUSE = 2.0
"""Seconds between two attempts at most: what parted two nodes is over, and they are linked within five."""

REFUSED_PAUSE = 30.0
"""Seconds until one that has refused is asked again; somebody may have set it right."""

logger = logging.getLogger("lexmesh.mesh")


class Node(PeerOwner, Protocol):
    """The gateway that outgoing links belong to as well."""


class PeerDialler:
    """Dials, and dials again, for as long as the other node is not linked in any way.

    Args:
        gateway: the node's.
        links: the node's.
        urls: of the other node, tried in turn; ws://, wss://, grpc://, grpcs:// or memory://.
        node: its name, empty while it is not known.

    Attributes:
        fault: why there is no link, as one line; empty where there is nothing to say.
    """

    def __init__(self, gateway: Node, links: NodeLinks, urls: Sequence[str], node: str = "") -> None:
        self.core: Core = gateway.core
        self.config: MeshConfig = gateway.config
        self.flusher: TurnFlusher = gateway.flusher
        self.urls = list(urls)
        self.node = node
        self.fault = ""
        self._gateway = gateway
        self._links = links
        self._backoff = Backoff(cap=LONGEST_PAUSE)
        self._is_self = False
        self._turn = 0
        self._news = asyncio.Event()
        self._connector: Connector[Any] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def endpoint(self) -> Endpoint | None:
        """What the ledger asks for messages in flight, where the gateway does not see to it."""
        session = self._connector.session if self._connector is not None else None
        return session.outbox if session is not None and not isinstance(session, Session) else None

    def look_again(self) -> None:
        """The other node may have gone, or come by another way."""
        self._news.set()

    def look_after(self) -> None:
        """Ends a link whose peer takes nothing, where the gateway does not see to it."""
        session = self._connector.session if self._connector is not None else None
        if session is not None and not isinstance(session, Session):
            session.look_after()

    def stop(self) -> None:
        """Dials no more; the link that there is stays."""
        self._task.cancel()

    async def close(self) -> None:
        """Dials no more, and closes the link."""
        self.stop()
        if self._connector is not None:
            await self._connector.stop()

    # -- dialling ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._is_self:
            self._news.clear()
            if self._links.get(self.node) is not None:
                await self._news.wait()
                continue
            pause = await self._attempt(self.urls[self._turn % len(self.urls)])
            self._turn += 1
            if self._links.get(self.node) is None:
                await asyncio.sleep(pause)

    async def _attempt(self, url: str) -> float:
        """Links once, for as long as that lasts; returns the seconds to wait before the next time."""
        connector = self._connector = self._connector_to(url)
        try:
            await connector.connect(ATTEMPT_SECONDS)
        except TransportError as error:
            self._note(str(error))
            return self._backoff.next_delay()
        session: Peer | None = connector.session
        if session is not None:
            await session.ended.wait()
            if session.close_code in FINAL_CODES:
                if session.close_reason not in self.fault:
                    self._note(f"refused ({session.close_code}): {session.close_reason}")
                return REFUSED_PAUSE
        return self._backoff.next_delay()

    def _connector_to(self, url: str) -> Connector[Any]:
        if url.lower().startswith(("grpc://", "grpcs://")):
            from lexmesh.transports.grpc_link_connector import GrpcLinkConnector  # noqa: PLC0415 - grpc loads where it is wanted

            return GrpcLinkConnector(self, url, False)
        if url.startswith(SCHEME):
            return MemoryConnector(self, url, False)
        return WebSocketConnector(self, url, SUBPROTOCOL_PROTO, False)

    def _note(self, fault: str) -> None:
        """Tells of a failure once."""
        if fault != self.fault and not self._is_self:
            logger.warning("no link to %s: %s", self.node or self.urls[0].rpartition("@")[2], fault)
        self.fault = fault

    # -- what the links tell ----------------------------------------------------------------------------------------

    def established(self, node: str) -> None:
        """The other side is a node of the mesh."""
        self.node = node
        self.fault = ""
        self._backoff.reset()

    def refused(self, reason: str, *, is_self: bool) -> None:
        """There is no link to what is there; whoever dials itself need not do so again."""
        self._is_self = is_self
        self._note(reason)

    # -- what the session and the connector tell --------------------------------------------------------------------

    def session_opened(self, session: Peer) -> None:
        """A connection stands: say hello."""
        if isinstance(session, Session):
            self._gateway.session_opened(session)
        self._links.greet(session, self)

    def session_closed(self, session: Peer) -> None:
        """A connection is gone."""
        self._gateway.session_closed(session)
        if self._connector is not None:
            self._connector.lost(session)

    def session_control(self, session: Peer, event: StreamEvent) -> None:
        """The peer sent a reserved message."""
        self._gateway.session_control(session, event)

    def session_refused(self, session: Peer, outcome: str, reason: str, path: str, id: str | None) -> None:
        """A message from the peer was not routed."""
        self._gateway.session_refused(session, outcome, reason, path, id)

    def session_congested(self, session: Peer, congested: bool) -> None:
        """The queue towards the peer passed its soft limit."""
        self._gateway.session_congested(session, congested)

    def session_changed(self, session: Peer | None) -> None:
        """The connector has another session, or none; the links tell what matters."""

    def session_broken(self, session: Peer) -> None:
        """A stream is gone; no other follows on this link."""

    def state_changed(self, state: str, detail: str) -> None:
        """The connector's word; the links tell what matters."""
