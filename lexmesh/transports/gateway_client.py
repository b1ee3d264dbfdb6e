"""A client of a gateway, whatever carries its messages: publishes, gets what it subscribes to, comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint, check_pattern
from lexmesh._sender import Sender
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError, DisconnectedError, NotConnectedError
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.nsr.configured import configured_policy
from lexmesh.pipeline import StreamPipeline, check_handler
from lexmesh.queue_groups import check_group
from lexmesh.transports import gateway_protocol as protocol
from lexmesh.transports.answers import Answers
from lexmesh.transports.connector import Connector
from lexmesh.transports.handshake import largest_relayed
from lexmesh.transports.peer import Peer
from lexmesh.transports.publishing import Publishing
from lexmesh.transports.runner import HandlerRunner
from lexmesh.transports.task_answer import ANSWER_SECONDS, SUBMIT, result_of
from lexmesh.transports.turn import TurnFlusher
from lexmesh.transports.wall_clock import now_ms

logger = logging.getLogger("lexmesh.client")


class GatewayClient(Publishing):
    """A node that speaks to a gateway; what it speaks over is for a subclass.

    Args:
        node_id: this node's name, to which answers and receipts are addressed.
        connector: makes what keeps this client connected.
        proto: whether messages leave as protobuf rather than JSON.
        on_state, on_refused, on_denied, config, policy: as for WebSocketClient.

    Attributes:
        sent, reconnects: events published; times the connection was made again.
        unconfirmed: events that no receipt covered when a connection broke; they may be lost.
        receipt: the gateway's last receipt over this connection; a gateway that closes for policy sends one before.
        accounts: times that the gateway has begun to count anew; receipts of one count are cumulative.
    """

    def __init__(
        self,
        node_id: str,
        connector: Callable[[Self], Connector[Any]],
        *,
        proto: bool,
        on_state: Callable[[str, str], None] | None,
        on_refused: Callable[[str, Exception], None] | None,
        on_denied: Callable[[DeniedError], None] | None,
        config: MeshConfig | None,
        policy: NsrPolicy | None,
    ) -> None:
        self.node_id = check_node_id(node_id)
        self.config = config or MeshConfig()
        if policy is None:
            policy = configured_policy(self.config)
        self.reconnects = 0
        self.accounts = 0
        self.unconfirmed = 0
        self.receipt: dict[str, Any] = {}
        self.flusher: TurnFlusher
        self._confirmed = 0
        self._on_state = on_state or (lambda _state, _detail: None)
        self._on_refused = on_refused or (lambda _id, _error: None)
        self._on_denied = on_denied or _log_denied
        self._denials = protocol.PerSecond()
        self.pipeline = StreamPipeline(
            node_id,
            policy=policy,
            epoch=now_ms(),
            max_recursion_depth=self.config.max_recursion_depth,
            max_message_size=largest_relayed(self.config.max_message_size),
            now=now_ms,
            audit_ring=self.config.audit_ring,
        )
        self.core = self.pipeline.core
        self.core.max_published = self.config.max_message_size
        self.core.trusts_links = True
        self._runner = HandlerRunner(self.config.handler_concurrency)
        self._connector = connector(self)
        self._unconnected = Sender(self.core, proto)
        self.publish_through(self._unconnected)
        self._subjects: dict[str, dict[str, None]] = {"": {}}  # by queue group; subjects in the order they came
        self._echo = False
        self._writable = asyncio.Event()
        self._answers = Answers(self.core)

    # -- life -----------------------------------------------------------------------------------------------------

    async def connect(self, timeout: float = 10.0) -> None:
        """Connects; from then on a broken connection is replaced if `reconnect` is set.

        Args:
            timeout: seconds.

        Raises:
            ConnectError: if nothing answers there.
            HandshakeError: if what answers is no WebSocket gateway.
        """
        if self._session is not None:
            return
        self.core.thread = threading.get_ident()
        self.flusher = TurnFlusher(asyncio.get_running_loop())
        self.pipeline.run_coroutines_with(self._runner.spawn, self._runner.defer)
        await self._connector.connect(timeout)

    async def disconnect(self) -> None:
        """Sends what waits, closes, and stays closed."""
        await self._connector.stop()
        await self._runner.finish(self.config.drain_seconds)
        self._answers.fail_all(DisconnectedError(1000, "this side disconnected"))

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._session is not None and self._session.is_open

    @property
    def _session(self) -> Peer | None:
        return self._connector.session

    # -- waiting for the gateway ----------------------------------------------------------------------------------

    async def writable(self) -> None:
        """Lets the loop send, and waits while the queue towards the gateway is over its soft limit."""
        await asyncio.sleep(0)
        while (session := self._session) is not None and session.outbox.congested:
            self._writable.clear()
            await self._writable.wait()

    async def flush(self, timeout: float | None = None) -> dict[str, Any]:
        """Waits until the gateway has taken in everything sent so far and its links can take more.

        Args:
            timeout: seconds; None for as long as the connection lasts.

        Returns:
            The receipt: how many messages of this connection were taken in, by outcome, and denied ones by rule; and
            `dropped`, how many for this client the gateway has dropped because it read too slowly.

        Raises:
            DisconnectedError: if the connection breaks first.
            RequestTimeoutError: if the gateway takes longer.
        """
        sent = self.sent
        id = self._open().outbox.send(protocol.FLUSH)
        await self._answers.to(id, "flush", timeout)
        self._confirmed = max(self._confirmed, sent)
        return dict(self.receipt)

    async def request(self, event_type: str, data: Any = None, *, timeout: float = 10.0, **fields: Any) -> StreamEvent:
        """Publishes an event and waits for the reply to it.

        Args:
            event_type, data, **fields: as for publish.
            timeout: seconds.

        Returns:
            The reply.

        Raises:
            DeniedError: if this node's policy or the gateway's refuses the request.
            DisconnectedError: if the connection breaks first.
            RequestTimeoutError: if no reply comes.
        """
        id = self.publish(event_type, data, **fields)
        return await self._answers.to(id, str(event_type), timeout)

    async def ask(self, event_type: str, data: Any = None, *, timeout: float = 10.0) -> Any:
        """Asks the gateway itself.

        Args:
            event_type: a reserved type that it answers.
            data: what JSON can say.
            timeout: seconds.

        Returns:
            The answer's data.

        Raises:
            DisconnectedError: if the connection breaks first.
            RequestTimeoutError: if no answer comes.
            TransportError: if it does not know the type.
        """
        id = self._open().outbox.send(event_type, data)
        return (await self._answers.to(id, event_type, timeout)).data

    async def submit(
        self, capability: str, data: Any = None, timeout: float = 30.0, *, attempt_timeout: float | None = None
    ) -> Any:
        """Has a task done by the best node of the mesh that the gateway is a node of; see MeshCore.submit.

        Args:
            capability, data, timeout, attempt_timeout: as there. If the connection breaks, the task is given up.

        Returns:
            What the handler returned.

        Raises:
            TaskError, DeniedError: as there.
            DisconnectedError: if the connection breaks first.
            TransportError: if the gateway is no node of a mesh, or this client has 1,024 tasks under way.
        """
        asked = {"capability": capability, "data": data, "timeout": timeout, "attempt_timeout": attempt_timeout}
        return result_of(await self.ask(SUBMIT, asked, timeout=timeout + ANSWER_SECONDS))

    # -- receiving ------------------------------------------------------------------------------------------------

    def register_handler(self, subject: str, handler: Callable[[StreamEvent], Any]) -> None:
        """Calls a handler with every event that arrives on a subject; does not subscribe at the gateway.

        Args:
            subject: an event type; `*` stands for one token, `>` at the end for the rest.
            handler: callable(event), sync or async. A dict it returns is sent back.
        """
        self.pipeline.register_handler(subject, handler)

    async def subscribe(
        self,
        *subjects: str,
        handler: Callable[[StreamEvent], Any] | None = None,
        echo: bool = False,
        group: str = "",
        timeout: float = 10.0,
    ) -> None:
        """Subscribes at the gateway, now and after every reconnect.

        Args:
            *subjects: event types; `*` stands for one token, `>` at the end for the rest.
            handler: called with every event on them.
            echo: whether events that this client publishes come back to it.
            group: a queue group: of all its members on a subject, at any node of a mesh, one gets each event, even if
                it has published it; see MeshCore.subscribe.
            timeout: seconds to wait for the gateway's word.

        Raises:
            SubjectError: if a subject is not a pattern.
            ValueError: if the group's name is none.
            TransportError: if the gateway has too many subscriptions.
            DisconnectedError, RequestTimeoutError: if the gateway does not answer.
        """
        for subject in subjects:
            check_pattern(str(subject))
        if group:
            check_group(group)
        if handler is not None:
            check_handler(handler)
        for subject in subjects:
            if handler is not None:
                self.register_handler(subject, handler)
            self._subjects.setdefault(group, {})[str(subject)] = None
        self._echo = self._echo or echo
        await self._answers.to(self._send_subscriptions(self._open(), group), "subscribe", timeout)

    async def unsubscribe(self, *subjects: str, timeout: float = 10.0) -> None:
        """Ends subscriptions at the gateway, those of queue groups too; handlers stay."""
        for subject in subjects:
            for grouped in self._subjects.values():
                grouped.pop(str(subject), None)
        data = {"subjects": [str(subject) for subject in subjects]}
        id = self._open().outbox.send(protocol.UNSUBSCRIBE, data)
        await self._answers.to(id, "unsubscribe", timeout)

    @property
    def received(self) -> int:
        """Events that arrived, passed the policy and were handed to a handler or a waiting request."""
        own = self.core.origin.counts()["ingress"]["routed"]
        return int(self.pipeline.ledger()["ingress"]["routed"] - own)

    @property
    def denied(self) -> int:
        """Events that arrived and that this end's policy denied."""
        own = self.core.origin.counts()["ingress"]["denied"]
        return int(self.pipeline.ledger()["ingress"]["denied"] - own)

    @property
    def missing(self) -> int:
        """Numbered events that never came, between the first and the last seen of each source.

        A source numbers all its events, so these are not only lost ones, but also those that were denied, on subjects
        not subscribed to, or for other nodes. While a connection lasts, `dropped` of a receipt tells what was lost.
        """
        return self.core.missing

    def ledger(self) -> dict[str, Any]:
        """What came in and went out, by outcome."""
        links: list[Endpoint] = [self._session.outbox] if self._session is not None else []
        return {"node_id": self.node_id, "sent": self.sent, **self.pipeline.ledger(links)}

    # -- what the session and the connector tell ------------------------------------------------------------------

    def session_changed(self, session: Peer | None) -> None:
        """The connector has another session, or none."""
        self.publish_through(session.outbox if session is not None else self._unconnected)

    def session_opened(self, session: Peer) -> None:
        """A connection stands: subscribe again, and see what the one before it may have lost."""
        if not session.resumed:
            self.receipt = {}
            self.accounts += 1
            self._give_up_unconfirmed(session.outbox.counts()["egress"]["in_flight"])
        for group, subjects in self._subjects.items():
            if subjects:
                self._send_subscriptions(session, group)

    def session_broken(self, session: Peer) -> None:
        """The connection is gone, the session waits for another; nobody knows which answers were on their way."""
        self._writable.set()
        self._answers.fail_all(DisconnectedError(session.close_code, session.close_reason or "connection lost"))

    def session_closed(self, session: Peer) -> None:
        """The connection is gone: what no receipt covers may be lost."""
        self._give_up_unconfirmed(0)
        self.session_broken(session)
        self._connector.lost(session)

    def _give_up_unconfirmed(self, queued: int) -> None:
        """Counts what no receipt has covered, but for so many events that are still to leave."""
        self.unconfirmed += max(0, self.sent - queued - self._confirmed)
        self._confirmed = max(self._confirmed, self.sent - queued)

    def session_control(self, session: Peer, event: StreamEvent) -> None:
        """The gateway sent a reserved message."""
        if event.event_type == protocol.ACK and isinstance(event.data, dict) and "denied_by_rule" in event.data:
            self.receipt = {**event.data, "denied_by_rule": dict(event.data["denied_by_rule"])}
        if event.event_type != protocol.ERROR:
            self._answers.resolve(event)
            return
        error = protocol.error_from(event.data)
        if not self._answers.fail(event.reply_to, error):
            logger.debug("gateway: %s", event.data)
            self._on_refused(event.reply_to, error)

    def session_refused(self, session: Peer, outcome: str, reason: str, path: str, id: str | None) -> None:
        """A message from the gateway was not routed here."""
        if outcome == "denied" and self._denials.may_tell(now_ms()):
            self._on_denied(DeniedError(reason, path))

    def session_congested(self, session: Peer, congested: bool) -> None:
        """The queue towards the gateway passed its soft limit."""
        if not congested:
            self._writable.set()

    def state_changed(self, state: str, detail: str) -> None:
        """The connector's word."""
        if state == "connected" and self._connector.connections > 1:
            self.reconnects += 1
        self._on_state(state, detail)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _open(self) -> Peer:
        session = self._session
        if session is None or session.outbox.closed:
            raise NotConnectedError
        return session

    def _send_subscriptions(self, session: Peer, group: str) -> str:
        data = {"subjects": list(self._subjects[group]), "echo": self._echo, **({"group": group} if group else {})}
        return session.outbox.send(protocol.SUBSCRIBE, data)


def _log_denied(error: DeniedError) -> None:
    logger.warning("denied a message of the gateway: %s at %s", error.rule, error.path)
