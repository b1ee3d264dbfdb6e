"""What a gateway says to its clients: the reserved types, receipts, and when it has had enough."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from lexmesh._codec import StreamEvent
from lexmesh._pipeline import Core
from lexmesh._router import Endpoint, check_pattern
from lexmesh.errors import DeniedError, TransportError
from lexmesh.events import RESERVED_PREFIX
from lexmesh.pipeline import StreamPipeline
from lexmesh.queue_groups import QueueGroups, check_group
from lexmesh.transports.peer import Peer

WELCOME = RESERVED_PREFIX + "welcome"
SUBSCRIBE = RESERVED_PREFIX + "subscribe"
SUBSCRIBED = RESERVED_PREFIX + "subscribed"
UNSUBSCRIBE = RESERVED_PREFIX + "unsubscribe"
UNSUBSCRIBED = RESERVED_PREFIX + "unsubscribed"
FLUSH = RESERVED_PREFIX + "flush"
ACK = RESERVED_PREFIX + "ack"
ERROR = RESERVED_PREFIX + "error"

MAX_SUBSCRIPTIONS = 1024
"""Subjects that one connection may subscribe to."""

MAX_DENIED_IN_A_ROW = 1000
"""A connection whose messages are all refused by the policy is closed with 1008 after so many."""

MAX_MALFORMED_IN_A_ROW = 10
"""A connection that sends nothing but rubbish is closed with 1007 after so many."""

ERRORS_A_SECOND = 100
"""Refusals that are told one by one; the rest is in the receipts."""


class PerSecond:
    """Lets so many refusals be told in each second."""

    __slots__ = ("second", "told")

    def __init__(self) -> None:
        self.second = 0  # the second that `told` counts
        self.told = 0

    def may_tell(self, now: int) -> bool:
        """Whether one more refusal may be told this second; `now` in milliseconds."""
        if now // 1000 != self.second:
            self.second, self.told = now // 1000, 0
        self.told += 1
        return self.told <= ERRORS_A_SECOND


class _Told(PerSecond):
    """What a gateway remembers of one connection."""

    __slots__ = ("denied_by_rule", "passed", "strikes")

    def __init__(self) -> None:
        super().__init__()
        self.denied_by_rule: dict[str, int] = {}
        self.strikes: dict[str, int] = {}  # refusals by outcome since a message last passed
        self.passed = 0

    def strike(self, outcome: str, passed: int) -> int:
        """Counts a refusal; returns how many of its kind there were since a message passed."""
        if passed != self.passed:
            self.strikes.clear()
            self.passed = passed
        self.strikes[outcome] = self.strikes.get(outcome, 0) + 1
        return self.strikes[outcome]


class NodeProtocol(Protocol):
    """What a node of a mesh understands beyond what any gateway does."""

    def control(self, session: Peer, event: StreamEvent) -> bool:
        """Takes a reserved message; whether it was one of a mesh's."""
        ...

    def closed(self, session: Peer) -> None:
        """A connection is gone, of a node or not."""
        ...


class GatewayProtocol:
    """Answers control messages and tells clients what was refused.

    Args:
        core: the node's pipeline.
        node_id: the node's name.

    Attributes:
        groups: the queue groups in which this node's handlers and clients are.
        nodes: hears what nodes of the mesh say; None on a gateway that is in none.
    """

    def __init__(self, core: Core, node_id: str) -> None:
        self._core = core
        self._node_id = node_id
        self._peers: dict[Peer, _Told] = {}  # those that had something refused
        self._congested: set[Peer] = set()
        self._waiting: list[tuple[Peer, str]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self.groups = QueueGroups(core)
        self.nodes: NodeProtocol | None = None
        self._answers = {SUBSCRIBE: self._subscribe, UNSUBSCRIBE: self._unsubscribe, FLUSH: self._flush}

    def opened(self, session: Peer) -> None:
        """Greets a client that offered a subprotocol, and notes where answers to what it leaves unnamed go."""
        self._core.router.connections[session.epoch] = session.outbox
        if session.welcomed:
            session.send(WELCOME, {"node_id": self._node_id, "max_message_size": self._core.max_message_size})

    def closed(self, session: Peer) -> None:
        """Forgets a client; acks that waited for its queue may go."""
        if self._core.router.connections.get(session.epoch) is session.outbox:
            del self._core.router.connections[session.epoch]
        self._peers.pop(session, None)
        self.groups.leave(session.outbox)
        if self.nodes is not None:
            self.nodes.closed(session)
        self._waiting = [(waiter, id) for waiter, id in self._waiting if waiter is not session]
        self.congested(session, False)

    def control(self, session: Peer, event: StreamEvent) -> None:
        """Answers a reserved message."""
        if self.nodes is not None and self.nodes.control(session, event):
            return
        answer = self._answers.get(event.event_type)
        if answer is not None:
            answer(session, event)
        elif event.event_type not in (ERROR, WELCOME, ACK, SUBSCRIBED, UNSUBSCRIBED):
            self._error(session, event.id, f"{event.event_type} is reserved and means nothing to a gateway")

    def congested(self, session: Peer, congested: bool) -> None:
        """Notes a queue that passed its soft limit; when none is over it, acks go out."""
        if congested:
            self._congested.add(session)
            return
        self._congested.discard(session)
        if not self._congested:
            waiting, self._waiting = self._waiting, []
            for waiter, id in waiting:
                self._ack(waiter, id)
            flushing, self._flushing = self._flushing, []
            for future in flushing:
                if not future.done():
                    future.set_result(None)

    async def uncongested(self) -> None:
        """Waits until no queue is over its soft limit."""
        while self._congested:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flushing.append(future)
            await future

    def refused(self, session: Peer, outcome: str, reason: str, path: str, id: str | None, now: int) -> None:
        """Tells a client why a message was not routed, and closes on one that sends nothing else.

        A node passes on what others said: it is counted here, and nobody is told.
        """
        if outcome not in ("denied", "malformed") or not session.is_open or session.outbox.is_node:
            return
        peer = self._peers.get(session)
        if peer is None:
            peer = self._peers[session] = _Told()
        strikes = peer.strike(outcome, session.outbox.passed)
        if outcome == "denied":
            peer.denied_by_rule[reason] = peer.denied_by_rule.get(reason, 0) + 1
        if outcome == "malformed" and strikes > MAX_MALFORMED_IN_A_ROW:
            self._ack(session, "")
            session.close(1007, f"nothing but malformed messages: {reason}")
        elif outcome == "denied" and strikes > MAX_DENIED_IN_A_ROW:
            self._ack(session, "")
            session.close(1008, f"nothing but denied messages: {reason} at {path}")
        elif peer.may_tell(now):
            session.send(ERROR, _error_data(outcome, reason, path), reply_to=id or "")

    def answer_denied(self, source: Endpoint, request: StreamEvent, error: DeniedError) -> None:
        """Tells a client that its request was handled, but that the answer may not leave."""
        session = getattr(source, "owner", None)
        if isinstance(session, Peer):
            self._error(session, request.id, f"the answer was {error}")

    def _subscribe(self, session: Peer, event: StreamEvent) -> None:
        options = event.data if isinstance(event.data, dict) else {}
        subjects = _subjects_in(options)
        if subjects is None:
            self._error(session, event.id, 'subscribe needs data {"subjects": [text, …]}')
            return
        group = options.get("group")
        if fault := self._fault_of(session, subjects, group):
            self._error(session, event.id, fault)
            return
        name = event.source_node or session.name
        session.outbox.identify("" if name == self._node_id else name, bool(options.get("echo", session.outbox.echo)))
        try:
            for subject in subjects:
                if group:
                    self.groups.join(subject, group, session.outbox)
                else:
                    self._core.router.subscribe(subject, session.outbox)
        except ValueError as error:  # too many groups
            self._error(session, event.id, str(error))
            return
        session.send(SUBSCRIBED, {"subjects": sorted(set(subjects))}, reply_to=event.id)

    def _fault_of(self, session: Peer, subjects: list[str], group: Any) -> str:
        """Why a client cannot have a subscription; empty if it can."""
        outbox = session.outbox
        subscribed = {*((subject, "") for subject in outbox.patterns), *self.groups.of(outbox)}
        if not isinstance(group, str | None):
            return "the name of a group is a text"
        try:
            for subject in subjects:
                check_pattern(subject)
            if group:
                check_group(group)
        except ValueError as error:
            return str(error)
        if len(subscribed | {(subject, group or "") for subject in subjects}) > MAX_SUBSCRIPTIONS:
            return f"at most {MAX_SUBSCRIPTIONS} subjects a connection"
        return ""

    def _unsubscribe(self, session: Peer, event: StreamEvent) -> None:
        subjects = _subjects_in(event.data if isinstance(event.data, dict) else {})
        if subjects is None:
            self._error(session, event.id, 'unsubscribe needs data {"subjects": [text, …]}')
            return
        for subject in subjects:
            self._core.router.unsubscribe(subject, session.outbox)
        self.groups.leave(session.outbox, subjects)
        session.send(UNSUBSCRIBED, {"subjects": sorted(set(subjects))}, reply_to=event.id)

    def _flush(self, session: Peer, event: StreamEvent) -> None:
        """Acks once every queue can take more, or has overflowed as configured."""
        if self._congested and len(self._waiting) < MAX_SUBSCRIPTIONS:
            self._waiting.append((session, event.id))
        else:
            self._ack(session, event.id)

    def _ack(self, session: Peer, id: str) -> None:
        session.send(ACK, self.receipt(session), reply_to=id)

    def receipt(self, session: Peer) -> dict[str, Any]:
        """What became of all messages of a connection so far, by outcome, and of denied ones by rule.

        `dropped` is the other way: messages for the peer that it has not got because it read too slowly. Rules are
        listed as values: as keys, a name such as `consent-override` would itself break the rule.
        """
        counts = session.outbox.counts()
        ingress, dropped = counts["ingress"], sum(counts["egress"]["dropped"].values())
        peer = self._peers.get(session)
        denied = [[rule, count] for rule, count in peer.denied_by_rule.items()] if peer is not None else []
        return {"taken": sum(ingress.values()), **ingress, "dropped": dropped, "denied_by_rule": denied}

    def _error(self, session: Peer, id: str, reason: str) -> None:
        session.send(ERROR, {"outcome": "refused", "reason": reason}, reply_to=id)


def protocol_of(pipeline: StreamPipeline) -> GatewayProtocol:
    """The one that all transports of a node share: a flush over one waits for the queues of all."""
    if pipeline.gateway is None:
        pipeline.gateway = GatewayProtocol(pipeline.core, pipeline.node_id)
    protocol: GatewayProtocol = pipeline.gateway
    return protocol


def _error_data(outcome: str, reason: str, path: str) -> dict[str, str]:
    if outcome == "denied":
        return {"outcome": outcome, "rule": reason, "path": path, "reason": f"denied: {reason} at {path}"}
    return {"outcome": outcome, "reason": reason}


def _subjects_in(options: dict[str, Any]) -> list[str] | None:
    subjects = options.get("subjects")
    if not isinstance(subjects, list) or len(subjects) > MAX_SUBSCRIPTIONS:
        return None
    if not all(isinstance(subject, str) for subject in subjects):
        return None
    return subjects


def error_from(data: Any) -> Exception:
    """The exception that a gateway's `_lexmesh.error` stands for, on the client's side."""
    told = data if isinstance(data, dict) else {}
    if told.get("outcome") == "denied":
        return DeniedError(str(told.get("rule", "")), str(told.get("path", "")))
    return TransportError(f"the gateway refused: {told.get('reason', 'no reason given')}")
