"""The WebSocket gateway: clients in, policed messages out."""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener, ws_create_server

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh._link import MAX_FRAME_MARGIN
from lexmesh._reader import READ_BUFFER
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError, PortInUseError, TransportError
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.nsr.configured import configured_policy
from lexmesh.pipeline import Outcome, StreamPipeline, check_handler
from lexmesh.store.configured_audit import audit_file_of, start_audit
from lexmesh.transports import handshake
from lexmesh.transports.gateway_protocol import protocol_of
from lexmesh.transports.loop import foreign_transports, run_until_signal
from lexmesh.transports.policy_reload import PolicyReloader
from lexmesh.transports.runner import HandlerRunner
from lexmesh.transports.session import Session, all_ended
from lexmesh.transports.sweep import sweep
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.wall_clock import now_ms

HANDSHAKE_SECONDS = 5.0

DRAIN_SHARE = 0.75
"""Of a stop's time, what handlers and queues may take."""

CLOSING_SHARE = 0.15
"""Of a stop's time, what close handshakes may take; the rest is for the process to end in."""

LEAST_CLOSING_SECONDS = 0.25
"""A close frame that has left deserves to arrive, however short the stop."""

logger = logging.getLogger("lexmesh.websocket")


class WebSocketServer:
    """A gateway that takes in messages over WebSocket, polices them and passes them on.

    Args:
        node_id: this node's name; the configuration's when None or empty.
        host: address to listen on; the configuration's when None (127.0.0.1 unless configured).
        port: TCP port, 0 for any free one; the configuration's when None.
        config: limits and overflow policy; from the environment when None.
        policy: the consent policy; the configured file, which can be reloaded, or the default policy when None.

    Attributes:
        listens: whether `start` is to listen; without, it carries what other transports and outgoing links bring.

    Raises:
        ValueError: if the name is none, see `node_names`.
        PolicyError: if the configured policy cannot be loaded.
    """

    session_type = Session

    def __init__(
        self,
        node_id: str | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        config: MeshConfig | None = None,
        policy: NsrPolicy | None = None,
    ) -> None:
        self.config = config or MeshConfig()
        self.node_id = check_node_id(node_id or self.config.node_id)
        self.host = self.config.host if host is None else host
        self.port = self.config.websocket_port if port is None else port
        policy_file = self.config.policy_file if policy is None else None
        if policy is None:
            policy = configured_policy(self.config)
        self._started_ms = now_ms()
        self.pipeline = StreamPipeline(
            self.node_id,
            policy=policy,
            epoch=self._started_ms,
            max_recursion_depth=self.config.max_recursion_depth,
            max_message_size=self.config.max_message_size,
            now=now_ms,
            audit_ring=self.config.audit_ring,
        )
        self.core = self.pipeline.core
        self._reloader = PolicyReloader(self.pipeline, policy_file)
        self._audit_file = audit_file_of(self.config, self.pipeline.audit)
        self.flusher: TurnFlusher
        self._protocol = protocol_of(self.pipeline)
        self.pipeline.on_answer_denied = self._protocol.answer_denied
        self._pages: dict[str, handshake.Page] = {}
        self._sessions: set[Session] = set()
        self._other_links: Callable[[], list[Endpoint]] = list
        self._handshakes = 0
        self._stopping = False
        self.listens = True
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._runner = HandlerRunner(self.config.handler_concurrency)

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens.

        Raises:
            ConfigError: if the audit file cannot be written.
            PortInUseError: if another process has the port.
            TransportError: if the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._stopping = False
        self.core.thread = threading.get_ident()
        self.flusher = TurnFlusher(loop)
        self.pipeline.run_coroutines_with(self._runner.spawn, self._runner.defer)
        await start_audit(self._audit_file, self.config)
        try:
            if self.listens:
                self._server = await self._listen()
                self.port = self._server.sockets[0].getsockname()[1]
        except BaseException:
            if self._audit_file is not None:
                await self._audit_file.stop(0)
            raise
        self._sweeper = loop.create_task(sweep(self.core, self._sessions, self.config.frame_timeout))

    async def _listen(self) -> asyncio.Server:
        try:
            return await ws_create_server(
                self._accept,
                self.host,
                self.port,
                max_frame_size=self.config.max_message_size + MAX_FRAME_MARGIN,
                websocket_handshake_timeout=HANDSHAKE_SECONDS,
                read_buffer_init_size=READ_BUFFER,
                enable_auto_pong=False,
                logger_name=logging.getLogger("lexmesh.frames"),
                use_aiofastnet=foreign_transports(),
                backlog=1024,
            )
        except OverflowError:
            raise TransportError(f"cannot listen on port {self.port}: it must be 0 to 65535") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(self.host, self.port) from None
            # The loop names no errno for an address of another machine, and lists what it has tried.
            reason = error.strerror or "no address of this machine; 127.0.0.1 is one, 0.0.0.0 is all of them"
            raise TransportError(f"cannot listen on {self.host}:{self.port}: {reason}") from None

    async def stop(self, seconds: float | None = None) -> None:
        """Drains and closes: nothing new comes in, what was taken in goes out, clients are told 1001.

        Args:
            seconds: how long it may take; the configured drain time when None. Handlers and slow clients have three
                quarters of it; then what is left of them is dropped and counted.
        """
        if self._sweeper is None:
            return
        sweeper, self._sweeper = self._sweeper, None
        server, self._server = self._server, None
        self._stopping = True
        if server is not None:
            server.close()
        sweeper.cancel()
        seconds = self.config.drain_seconds if seconds is None else seconds
        patience = DRAIN_SHARE * seconds
        now = asyncio.get_running_loop().time
        deadline = now() + patience
        sessions = list(self._sessions)
        for session in sessions:
            session.link.stop_reading()
            session.pause()
        await self._runner.finish(patience)
        self.flusher.flush()
        await asyncio.gather(*(session.drained(max(0.0, deadline - now())) for session in sessions))
        for session in sessions:
            session.resume()
            session.close(1001, "going away")
        await all_ended(sessions, max(LEAST_CLOSING_SECONDS, CLOSING_SHARE * seconds))
        if self._audit_file is not None:
            await self._audit_file.stop(seconds)

    async def reload_policy(self) -> bool:
        """Puts the configured policy file in force as it is now; on any failure the policy in force stays.

        Returns:
            Whether what is in the file is in force now; what happened is logged either way.
        """
        return await self._reloader.reload()

    async def serve_forever(self) -> None:
        """Starts, and serves until cancelled."""
        async with self:
            await asyncio.Event().wait()

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM, then drains; SIGHUP reloads the policy. For plain scripts."""
        run_until_signal(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- what users register and send -----------------------------------------------------------------------------

    def register_handler(self, subject: str, handler: Callable[..., Any]) -> None:
        """Calls a handler with the data of every event on a subject.

        Args:
            subject: an event type; `*` stands for one token, `>` at the end for the rest. `_lexmesh.denied` is what
                this node refuses, for handlers of this process only.
            handler: callable(data, websocket) or callable(data), sync or async. A dict it returns is sent back to
                where the event came from, with `reply_to` set to the event's id.

        Raises:
            SubjectError: if the subject is not a pattern.
        """
        check_handler(handler)
        if _takes_websocket(handler):
            self.pipeline.subscribe(subject, handler, lambda event, source: handler(event.data, _session_of(source)))
        else:
            self.pipeline.subscribe(subject, handler, lambda event, _source: handler(event.data))

    def subscribe(self, subject: str, handler: Callable[[StreamEvent], Any]) -> None:
        """Calls a handler with every event on a subject, as a StreamEvent."""
        self.pipeline.register_handler(subject, handler)

    def publish(
        self,
        event_type: str,
        data: Any = None,
        *,
        metadata: dict[str, str] | None = None,
        target_node: str = "",
        ttl: int | None = None,
        priority: int = 0,
        reply_to: str = "",
    ) -> str:
        """Publishes an event of this node to handlers and subscribed clients, without waiting.

        Args:
            event_type, data, metadata, target_node, ttl, priority, reply_to: as in StreamEvent.

        Returns:
            The event's id.

        Raises:
            DeniedError: if the policy refuses it, as it came or after a sync transformer.
            MalformedError: if the fields do not make a message.
            TypeError: if a field has the wrong type.
        """
        now = now_ms()
        depth = cause_depth.get()
        outcome, id = self.core.publish(event_type, data, metadata, target_node, ttl, priority, reply_to, now, depth)
        if outcome == "denied" and (refusal := self.core.last_refusal):
            raise DeniedError(*refusal)
        return id

    async def broadcast(self, event_type: str, data: Any = None, **fields: Any) -> Outcome:
        """Publishes an event and lets it leave before returning.

        Args:
            event_type, data, **fields: as for publish.

        Returns:
            What became of it; a denied event is told here, and raises nothing.
        """
        depth = cause_depth.get()
        status, _ = self.core.publish(
            event_type,
            data,
            fields.pop("metadata", None),
            fields.pop("target_node", ""),
            fields.pop("ttl", None),
            fields.pop("priority", 0),
            fields.pop("reply_to", ""),
            now_ms(),
            depth,
            **fields,
        )
        refusal = self.core.last_refusal if status == "denied" else None
        await asyncio.sleep(0)
        return Outcome(status or "filtered", *(refusal or ()))

    def add_page(self, path: str, make: handshake.Page) -> None:
        """Answers plain HTTP GETs on a path.

        Args:
            path: the path, such as /health.
            make: callable() -> (status, content type, body).
        """
        self._pages[path] = make

    def add_links(self, links: Callable[[], list[Endpoint]]) -> None:
        """Counts the links of another transport of this node in the ledger.

        Args:
            links: callable() -> the endpoints of those that are open.
        """
        self._other_links = links

    def ledger(self) -> dict[str, Any]:
        """What came in and went out, by outcome, with this node's name, uptime and links."""
        endpoints = [*(session.outbox for session in self._sessions), *self._other_links()]
        return {
            "node_id": self.node_id,
            "uptime": (now_ms() - self._started_ms) / 1000,
            "connections": len(endpoints),
            **self.pipeline.ledger(endpoints),
            "links": [endpoint.counts() for endpoint in endpoints],
        }

    # -- what sessions tell ---------------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """A handshake is done."""
        self._sessions.add(session)
        self._protocol.opened(session)

    def session_closed(self, session: Session) -> None:
        """A connection is gone."""
        self._sessions.discard(session)
        self.core.router.forget(session.outbox)
        self._protocol.closed(session)

    def session_control(self, session: Session, event: StreamEvent) -> None:
        """A client sent a reserved message."""
        self._protocol.control(session, event)

    def session_refused(self, session: Session, outcome: str, reason: str, path: str, id: str | None) -> None:
        """A client's message was not routed."""
        self._protocol.refused(session, outcome, reason, path, id, now_ms())

    def session_congested(self, session: Session, congested: bool) -> None:
        """A queue passed its soft limit."""
        if self.config.overflow in ("disconnect", "block"):  # where messages are dropped, nobody waits for room
            self._protocol.congested(session, congested)

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        if not handshake.wants_upgrade(request):
            return self._page(handshake.path_of(request))
        fault = handshake.fault_of(request, self.config)
        if fault is not None:
            return fault
        if self._stopping or len(self._sessions) >= self.config.max_connections:
            reason = "going away" if self._stopping else "too many connections"
            return handshake.refused(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        handshake.normalise_connection(request)
        subprotocol = handshake.choose_subprotocol(request)
        proto = subprotocol == handshake.SUBPROTOCOL_PROTO
        session = self.session_type(self, proto=proto, masked=False, epoch=self.pipeline.next_epoch(now_ms()))
        session.welcomed = subprotocol is not None
        return handshake.accepted(session.link, subprotocol)

    def _page(self, path: str) -> WSUpgradeResponseWithListener:
        make = self._pages.get(path)
        if make is not None:
            return handshake.page(*make())
        if path == self.config.websocket_path:
            return handshake.upgrade_required("this is a WebSocket gateway")
        return handshake.refused(HTTPStatus.NOT_FOUND, "no such page")


def _takes_websocket(handler: Callable[..., Any]) -> bool:
    """Whether a handler can be called with (data, websocket)."""
    try:
        inspect.signature(handler).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _session_of(source: Endpoint) -> Session | None:
    """The connection an event came from; None for this node's own."""
    owner = getattr(source, "owner", None)
    return owner if isinstance(owner, Session) else None
