"""The accepting side of Link: nodes and clients that have dialled over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

from lexmesh._asker import Asker
from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.gateway_protocol import protocol_of
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.link_session import BYE, LinkSession
from lexmesh.transports.link_status import CLOSE_KEY, RESUMED_KEY, TOKEN_KEY, status_of
from lexmesh.transports.session import all_ended
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.wall_clock import now_ms

TOKEN_CHARACTERS = 32

DRAIN_SHARE = 0.75
"""Of a stop's time, what waits may take to leave; what is left is for the ends of the streams."""


class LinkService:
    """Serves Link for one node.

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

    async def serve(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Serves one call of Link: a stream_stream handler of raw bytes, with neither serializer nor deserializer."""
        refusal = Asker(self.core, None, 0).refusal_of(context.invocation_metadata())
        if refusal is not None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(DeniedError(*refusal)))
        token = _token_of(context)
        session = await self._session_of(token, context)
        try:
            await context.send_initial_metadata(((RESUMED_KEY, "1" if session.resumed else "0"),))
            await session.carry(context.read, context.write, _address_of(context))
        except asyncio.CancelledError:
            self._ended(session, token)
            raise
        except Exception as error:  # what grpc raises for a call whose peer has gone is of no declared type
            session.log.debug("a link broke: %r", error)
        if session.closing:
            session.end()
            await self._say_why(session, context)
        self._ended(session, token)

    async def _session_of(self, token: str, context: grpc.aio.ServicerContext[bytes, bytes]) -> LinkSession:
        """The link that a call goes on with, or a new one."""
        session = self._by_token.get(token)
        if session is not None and not session.closing:
            self._unpark(session)
            session.resumed = True
            return session
        if self._stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "going away", ((CLOSE_KEY, "1001"),))
        if len(self._links) >= self.config.max_connections and self._parked:
            next(iter(self._parked)).end()
        if len(self._links) >= self.config.max_connections:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "too many connections")
        session = LinkSession(self, epoch=self._pipeline.next_epoch(now_ms()), dials=False)
        session.welcomed = True
        self._links[session] = token
        if token:
            self._by_token[token] = session
        return session

    async def _say_why(self, session: LinkSession, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        status = status_of(session.close_code)
        if status != grpc.StatusCode.OK:
            await context.abort(status, session.close_reason, ((CLOSE_KEY, str(session.close_code)),))

    def _ended(self, session: LinkSession, token: str) -> None:
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


def _token_of(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    """The secret name that a peer gives its link; empty where it gives none that can be one."""
    for key, value in context.invocation_metadata() or ():
        if key == TOKEN_KEY and isinstance(value, str) and len(value) == TOKEN_CHARACTERS:
            return value
    return ""


def _address_of(context: Any) -> str:
    """grpc's `ipv4:127.0.0.1:54321` as host:port."""
    return str(context.peer()).partition(":")[2]
