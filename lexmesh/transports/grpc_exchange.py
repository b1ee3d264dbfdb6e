"""What a gRPC client says and what it is answered: policed, encoded and counted, whatever carries it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Mapping
from typing import Any

from lexmesh._asker import Asker
from lexmesh._caller import Caller
from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.nsr.configured import configured_policy
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.arguments import check_text
from lexmesh.transports.grpc_answers import EventResponse, StreamReceipt
from lexmesh.transports.wall_clock import now_ms

Headers = Mapping[str, str | bytes]

EVENT_FIELDS = frozenset({"target_node", "metadata", "timestamp", "ttl", "priority", "reply_to", "depth"})
"""What an event given as a dict may have besides its type and its data."""


class Requests:
    """A client's own messages: each is policed before it leaves, with or without a connection. For any thread.

    Args:
        node_id: this node's name.
        config: limits.
        policy: the consent policy; the configured file or the default policy when None.
        headers: metadata of every call; policed like any metadata.

    Raises:
        DeniedError: if the policy refuses the headers.
        PolicyError: if the configured policy cannot be loaded.
        ValueError: if the name is none, see `node_names`.
    """

    def __init__(self, node_id: str, config: MeshConfig, policy: NsrPolicy | None, headers: Headers | None) -> None:
        self.pipeline = StreamPipeline(
            check_node_id(node_id),
            policy=configured_policy(config) if policy is None else policy,
            epoch=now_ms(),
            max_recursion_depth=config.max_recursion_depth,
            max_message_size=config.max_message_size,
            now=now_ms,
            audit_ring=config.audit_ring,
        )
        self.headers = tuple((key.lower(), value) for key, value in (headers or {}).items())
        refusal = Asker(self.pipeline.core, None, 0).refusal_of(self.headers)
        if refusal is not None:
            raise DeniedError(*refusal)
        self._caller = Caller(self.pipeline.core)
        self._lock = threading.Lock()

    def open(self) -> None:
        """There is a connection from now on."""
        self._caller.open()

    def close(self) -> None:
        """There is none any more."""
        self._caller.close()

    def datum(self, data_type: str, data: bytes, metadata: Mapping[str, str] | None, target_node: str) -> bytes:
        """One DataMessage; see Caller.datum."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes, {type(data).__name__} is not; encode it first")
        check_text("data_type", data_type)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"metadata must be a dict, {type(metadata).__name__} is not")
        with self._lock:
            pairs = None if metadata is None else dict(metadata)
            return self._caller.datum(data_type, bytes(data), pairs, target_node, now_ms())

    def event(self, item: StreamEvent | Mapping[str, Any]) -> tuple[bytes, str]:
        """One EventMessage, and its type."""
        event = item if isinstance(item, StreamEvent) else event_of(item)
        depth = max(event.depth, cause_depth.get())
        with self._lock:
            message = self._caller.event(
                event.event_type,
                event.data,
                event.metadata,
                event.target_node,
                event.timestamp,
                event.ttl,
                event.priority,
                event.reply_to,
                depth,
            )
        return message, event.event_type

    def settle(self, event_type: str, *, answered: bool) -> None:
        """Says what became of a message that left."""
        with self._lock:
            self._caller.settle(str(event_type), answered)

    def ledger(self) -> dict[str, Any]:
        """What was sent, by outcome."""
        with self._lock:
            return {"node_id": self.pipeline.node_id, **self.pipeline.ledger([self._caller])}


def event_of(item: Mapping[str, Any]) -> StreamEvent:
    """An event given as a dict, with the names of a JSON message or of EventMessage.

    Raises:
        TypeError: if it is no mapping, or has no type or an unknown name.
    """
    if not isinstance(item, Mapping):
        raise TypeError(f"an event must be a StreamEvent or a dict, {type(item).__name__} is not")
    fields = dict(item)
    event_type = fields.pop("event_type", None) or fields.pop("type", None)
    data = fields.pop("data", None) if "data" in fields else fields.pop("payload", None)
    fields.pop("type", None)
    if event_type is None:
        raise TypeError("an event needs an event_type")
    if unknown := fields.keys() - EVENT_FIELDS:
        raise TypeError(f"an event has no {min(unknown)!r}; it may have {', '.join(sorted(EVENT_FIELDS))}")
    return StreamEvent(event_type, data, **fields)


class Exchange:
    """One call of StreamEvents: what was said, and what still has to be answered, in that order.

    Args:
        requests: makes the messages.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        # The type of each event that left; the answer in its stead for one that this end has refused.
        self._expected: deque[str | EventResponse] = deque()
        self._answers: deque[EventResponse] = deque()  # that nobody has been told yet
        self._ordering = threading.Lock()  # of these two
        self._telling = threading.Lock()
        self._sent = self._accepted = self._refused = self._denied = 0

    def say(self, item: StreamEvent | Mapping[str, Any]) -> bytes | None:
        """The message of an event; None if this end's policy refuses it, and the stream goes on without it."""
        try:
            message, event_type = self._requests.event(item)
        except DeniedError as error:
            self._denied += 1
            self._expected.append(EventResponse(False, str(error), now_ms()))
            return None
        self._expected.append(event_type)
        self._sent += 1
        return message

    def answered(self, message: bytes) -> None:
        """Takes the gateway's next answer, for `answers`."""
        response = EventResponse.from_proto(message)
        with self._ordering:
            self._take_refusals()
            if self._expected:
                event_type = self._expected.popleft()
                assert isinstance(event_type, str)
                self._requests.settle(event_type, answered=True)
            self._answers.append(response)
        if response.success:
            self._accepted += 1
        else:
            self._refused += 1

    def answers(self) -> Generator[EventResponse, None, None]:
        """What is to be told by now, in the order of the events; nothing while another thread or task is telling it.

        Whoever reads the gateway's answers asks for it, and whoever reads the events too, once one has been refused
        here: no answer of the gateway may come before the next event does.
        """
        while self._next() and self._telling.acquire(blocking=False):
            try:
                while self._next():
                    yield self._answers.popleft()
            finally:
                self._telling.release()

    def _next(self) -> bool:
        with self._ordering:
            self._take_refusals()
        return bool(self._answers)

    def _take_refusals(self) -> None:
        """Refusals of this end are answers once all before them have been answered."""
        while self._expected and isinstance(self._expected[0], EventResponse):
            refusal = self._expected.popleft()
            assert isinstance(refusal, EventResponse)
            self._answers.append(refusal)

    def end(self) -> StreamReceipt:
        """The call is over: what was not answered is counted as dropped."""
        while self._expected:
            event_type = self._expected.popleft()
            if isinstance(event_type, str):
                self._requests.settle(event_type, answered=False)
        return StreamReceipt(self._sent, self._accepted, self._refused, self._denied)

    @property
    def unanswered(self) -> int:
        """Events that left and have no answer."""
        return self._sent - self._accepted - self._refused
