"""A node's link to another node over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._router import check_pattern
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports import gateway_protocol as protocol
from lexmesh.transports.grpc_channel import GrpcTls
from lexmesh.transports.grpc_link_connector import GrpcLinkConnector
from lexmesh.transports.link_session import LinkSession
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.wall_clock import now_ms


class GrpcLink:
    """Links a node to a peer that it dials; what either subscribes to at the other reaches its own subscribers.

    The link is an endpoint of the node's router like any of its clients' connections: the peer subscribes over it, and
    what it sends is policed, counted and passed on. Its stream is made again when it breaks, and what waits meanwhile
    is sent then.

    Args:
        pipeline: the node's, which has a name.
        url: the peer, grpc://host:port or grpcs://host:port.
        subjects: what this node wants from the peer.
        tls: for grpcs; the system's certificates when None.
        on_state: callable(state, detail), state one of connected, disconnected, retrying, closed.
        config: limits and overflow policy; from the environment when None.

    Raises:
        SubjectError: if a subject is not a pattern.
    """

    def __init__(
        self,
        pipeline: StreamPipeline,
        url: str,
        subjects: Iterable[str] = (),
        *,
        tls: GrpcTls | None = None,
        on_state: Callable[[str, str], None] | None = None,
        config: MeshConfig | None = None,
    ) -> None:
        self.core = pipeline.core
        self.config = config or MeshConfig()
        self.flusher: TurnFlusher
        self.subjects = list(subjects)
        for subject in self.subjects:
            check_pattern(subject)
        self._protocol = protocol.protocol_of(pipeline)
        self._on_state = on_state or (lambda _state, _detail: None)
        self._connector = GrpcLinkConnector(self, url, True, tls)

    async def connect(self, timeout: float = 10.0) -> None:
        """Dials the peer; from then on a broken stream is replaced.

        Args:
            timeout: seconds.

        Raises:
            ConnectError: if nothing answers there.
            HandshakeError: if what answers is no lexmesh node.
        """
        self.flusher = TurnFlusher(asyncio.get_running_loop())
        await self._connector.connect(timeout)

    async def close(self) -> None:
        """Lets what waits leave, and ends the link."""
        await self._connector.stop()

    @property
    def session(self) -> LinkSession | None:
        """The link's state and endpoint, None before the first connection and after the end."""
        return self._connector.session

    # -- what the session and the connector tell ------------------------------------------------------------------

    def session_changed(self, session: LinkSession | None) -> None:
        """The connector has another session, or none."""

    def session_opened(self, session: LinkSession) -> None:
        """A stream stands: subscribe again."""
        if self.subjects:
            session.send(protocol.SUBSCRIBE, {"subjects": self.subjects})

    def session_broken(self, session: LinkSession) -> None:
        """The stream is gone, the link waits for another."""

    def session_closed(self, session: LinkSession) -> None:
        """The link is over."""
        self.core.router.forget(session.outbox)
        self._protocol.closed(session)
        self._connector.lost(session)

    def session_control(self, session: LinkSession, event: StreamEvent) -> None:
        """The peer sent a reserved message."""
        if event.event_type == protocol.WELCOME:
            self._learn_name(session, event.data)
        else:
            self._protocol.control(session, event)

    def session_refused(self, session: LinkSession, outcome: str, reason: str, path: str, id: str | None) -> None:
        """A message from the peer was not routed."""
        self._protocol.refused(session, outcome, reason, path, id, now_ms())

    def session_congested(self, session: LinkSession, congested: bool) -> None:
        """The queue towards the peer passed its soft limit."""
        if self.config.overflow in ("disconnect", "block"):
            self._protocol.congested(session, congested)

    def state_changed(self, state: str, detail: str) -> None:
        """The connector's word."""
        self._on_state(state, detail)

    def _learn_name(self, session: LinkSession, welcome: Any) -> None:
        """Lets messages that name the peer as their target find it."""
        name = welcome.get("node_id") if isinstance(welcome, dict) else None
        if isinstance(name, str) and name not in ("", self.core.node_id):
            session.outbox.identify(name, False)
