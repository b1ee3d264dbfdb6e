"""The accepting side of links: those there are, those that wait for their peer to come back, and what they tell."""

from __future__ import annotations

import asyncio

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.gateway_protocol import protocol_of
from lexmesh.transports.link_session import BYE, LinkSession
from lexmesh.transports.session import all_ended
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.wall_clock import now_ms

__all__ = ["TOKEN_CHARACTERS", "LinkAcceptor", "LinkRefusedError"]

TOKEN_CHARACTERS = 32

DRAIN_SHARE = 0.75
"""Of a stop's time, what waits may take to leave; what is left is for the ends of the streams."""


class LinkRefusedError(Exception):
    """There is no link for who dials, now.

    Attributes:
        code: close code for the peer; 0 for none.
        reason: for the peer.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class LinkAcceptor:
    """The links that others have dialled to one node over one transport.

    A link whose stream broke is kept for `overflow_seconds`, with what waits and its subscriptions: a peer that comes
    back and knows the link's secret name goes on where it was.

    Args:
        pipeline: the node's.
        config: limits and overflow policy.
    """

    def __init__(self, pipeline: StreamPipeline, config: MeshConfig) -> None:
        self.core = pipeline.core
        self.config = config
        self.flusher: TurnFlusher
        self._pipeline = pipeline
        self._protocol = protocol_of(pipeline)
        self._links: dict[LinkSession, str] = {}  # the token of each, empty where it gave none
        self._by_token: dict[str, LinkSession] = {}
        self._parked: dict[LinkSession, asyncio.TimerHandle] = {}
        self._stopping = False

    def start(self) -> None:
        """Binds to the running loop; to be called before the first stream is served."""
        self._stopping = False
        self.flusher = TurnFlusher(asyncio.get_running_loop())

    async def stop(self, seconds: float) -> None:
        """Lets what waits leave, then ends all links with 1001.

        Args:
            seconds: how long that may take.
        """
        self._stopping = True
        links = list(self._links)
        for session in links:
            session.pause()
        self.flusher.flush()
        now = asyncio.get_running_loop().time
        end = now() + seconds
        await asyncio.gather(*(session.drained(DRAIN_SHARE * seconds) for session in links))
        for session in links:
            session.close(1001, "going away")
        await all_ended(links, max(0.0, end - now()))

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [session.outbox for session in self._links]

    def __len__(self) -> int:
        """How many links have a stream."""
        return sum(session.carried for session in self._links)

    def look_after(self) -> None:
        """Ends links whose peers take nothing, and takes memory back; to be called now and then."""
        for session in list(self._links):
            session.look_after()

    def answer_denied(self, source: Endpoint, request: StreamEvent, error: DeniedError) -> None:
        """Tells a peer that its request was handled, but that the answer may not leave."""
        self._protocol.answer_denied(source, request, error)

    # -- one stream -----------------------------------------------------------------------------------------------

    def session_of(self, token: str) -> LinkSession:
        """The link that a stream goes on with, or a new one.

        Args:
            token: the link's secret name; empty where the peer gives none.

        Raises:
            LinkRefusedError: if there can be no more links.
        """
        session = self._by_token.get(token)
        if session is not None and not session.closing:
            self._unpark(session)
            session.resumed = True
            return session
        if self._stopping:
            raise LinkRefusedError(1001, "going away")
        if len(self._links) >= self.config.max_connections and self._parked:
            next(iter(self._parked)).end()
        if len(self._links) >= self.config.max_connections:
            raise LinkRefusedError(0, "too many connections")
        session = LinkSession(self, epoch=self._pipeline.next_epoch(now_ms()), dials=False)
        session.welcomed = True
        self._links[session] = token
        if token:
            self._by_token[token] = session
        return session

    def stream_ended(self, session: LinkSession, token: str) -> None:
        """A stream is over: its link waits for another, or ends."""
        if session not in self._links or session.carried:
            return
        session.broken()
        if not token or session.leaves or session.closing or self._stopping:
            session.end()
            return
        later = asyncio.get_running_loop().call_later
        self._parked[session] = later(self.config.overflow_seconds, session.end)

    def _unpark(self, session: LinkSession) -> None:
        """The link waits for its peer no longer."""
        timer = self._parked.pop(session, None)
        if timer is not None:
            timer.cancel()

    # -- what links tell ------------------------------------------------------------------------------------------

    def session_opened(self, session: LinkSession) -> None:
        """A stream stands."""
        self._protocol.opened(session)

    def session_closed(self, session: LinkSession) -> None:
        """A link is over."""
        self._unpark(session)
        token = self._links.pop(session, "")
        if self._by_token.get(token) is session:
            del self._by_token[token]
        self.core.router.forget(session.outbox)
        self._protocol.closed(session)

    def session_control(self, session: LinkSession, event: StreamEvent) -> None:
        """A peer sent a reserved message."""
        if event.event_type == BYE:
            session.leaves = True
        else:
            self._protocol.control(session, event)

    def session_refused(self, session: LinkSession, outcome: str, reason: str, path: str, id: str | None) -> None:
        """A peer's message was not routed."""
        self._protocol.refused(session, outcome, reason, path, id, now_ms())

    def session_congested(self, session: LinkSession, congested: bool) -> None:
        """A queue passed its soft limit."""
        if self.config.overflow in ("disconnect", "block"):  # where messages are dropped, nobody waits for room
            self._protocol.congested(session, congested)
