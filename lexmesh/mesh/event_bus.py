"""A bus for events: within one process when alone, through the whole mesh when a node carries it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.errors import BusStoppedError, DeniedError, EventDroppedError
from lexmesh.events import EventType
from lexmesh.mesh.event_queue import EventQueue, Overflow
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.runner import HandlerRunner
from lexmesh.transports.wall_clock import now_ms

__all__ = ["EventBus"]

MOST_WAITING = 10_000
MOST_RECENT = 1_000
EVENTS_A_TURN = 256
"""Events that are handed out before others get the event loop."""

STOP_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """An event that waits for its turn.

    Args:
        fields: event_type, data, metadata, target_node.
        priority, ttl: of the event; ttl in milliseconds or None.
        depth: hops of what caused it.
        since: when it began to wait, milliseconds since 1970-01-01 UTC.
        done: gets its id.
    """

    fields: tuple[str, Any, dict[str, str] | None, str]
    priority: int
    ttl: int | None
    depth: int
    since: int
    done: asyncio.Future[str]


class EventBus:
    """Hands events to whoever subscribed, the most important first.

    Args:
        node_id: this node's name.
        pipeline: a node's, which carries events to other nodes too; None for one of this bus alone.
        policy: the consent policy of a bus alone; the default policy when None.
        most_waiting: events that may wait for their turn.
        overflow: what happens when more come: `block` lets publishers wait, `drop_oldest` and `drop_newest` drop
            (counted); a publisher whose event is dropped gets EventDroppedError.

    Raises:
        ValueError: if the name is none, or there is no such overflow policy.
    """

    def __init__(
        self,
        node_id: str,
        *,
        pipeline: StreamPipeline | None = None,
        policy: NsrPolicy | None = None,
        most_waiting: int = MOST_WAITING,
        overflow: Overflow = "block",
    ) -> None:
        self.node_id = check_node_id(node_id)
        self._alone = pipeline is None
        self.pipeline = pipeline or StreamPipeline(node_id, policy=policy, epoch=now_ms(), now=now_ms)
        self._runner = HandlerRunner(256)
        self._queue: EventQueue[_Waiting] = EventQueue(most_waiting, overflow, self._dropped)
        self._recent: OrderedDict[str, StreamEvent] = OrderedDict()
        self._handlers: dict[tuple[str, Any], Callable[[StreamEvent], Any]] = {}
        self._outcomes: Counter[str] = Counter()
        self._total = 0
        self._room = asyncio.Event()
        self._due: asyncio.Handle | None = None
        self._running = False

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins to hand out events."""
        if self._running:
            return
        self._running = True
        if self._alone:
            self.pipeline.core.thread = threading.get_ident()
            self.pipeline.run_coroutines_with(self._runner.spawn, self._runner.defer)

    async def stop(self) -> None:
        """Hands out what waits, lets handlers end, and takes nothing more."""
        if not self._running:
            return
        self._running = False
        while len(self._queue):
            self._hand_out()
            await asyncio.sleep(0)
        self._room.set()
        if self._alone:
            await self._runner.finish(STOP_SECONDS)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- publishing -----------------------------------------------------------------------------------------------

    async def publish(
        self,
        event_type: str,
        data: Any = None,
        target_node: str = "",
        priority: int = 0,
        ttl: int | None = None,
        metadata: dict[str, str] | None = None,
    ) -> str:
        """Publishes an event, and waits for its turn.

        Args:
            event_type: its subject.
            data: what JSON can say, str or bytes.
            target_node: the node that it is for; empty for all.
            priority: 0 or more; of the events that wait, greater ones go first.
            ttl: milliseconds after which it is worth nothing; 0 expires at once, None never.
            metadata: texts by name.

        Returns:
            The event's id.

        Raises:
            DeniedError: if the policy refuses it.
            MalformedError: if the fields do not make a message.
            EventDroppedError: if the bus is full and drops it.
            BusStoppedError: if the bus is not running.
        """
        while self._running and self._queue.must_wait:
            self._room.clear()
            await self._room.wait()
        if not self._running:
            raise BusStoppedError
        loop = asyncio.get_running_loop()
        fields = (str(event_type), data, metadata, target_node)
        waiting = _Waiting(fields, priority, ttl, cause_depth.get(), now_ms(), loop.create_future())
        if self._queue.add(waiting, priority) and self._due is None:
            self._due = loop.call_soon(self._take_turn)
        return await waiting.done

    async def publish_agent_message(self, agent_id: str, message: Any, target_node: str = "", **options: Any) -> str:
        """Publishes an `agent_message` with `agent_id` and `message` as data.

        Args:
            agent_id: whose message it is.
            message: what JSON can say.
            target_node, **options: as for publish.

        Returns:
            The event's id.
        """
        data = {"agent_id": agent_id, "message": message}
        return await self.publish(EventType.AGENT_MESSAGE, data, target_node, **options)

    async def publish_ritual_event(
        self, ritual_type: str, ritual_data: Mapping[str, Any] | None = None, target_node: str = "", **options: Any
    ) -> str:
        """Publishes a `ritual_cycle` with the ritual's data, and with `ritual_type` and `node_id` of this call.

        Args:
            ritual_type: which ritual.
            ritual_data: further fields; they cannot replace those two.
            target_node, **options: as for publish.

        Returns:
            The event's id.
        """
        data = {**(ritual_data or {}), "ritual_type": ritual_type, "node_id": self.node_id}
        return await self.publish(EventType.RITUAL_CYCLE, data, target_node, **options)

    async def publish_system_alert(
        self, alert_type: str, message: str, severity: str = "warning", target_node: str = "", **options: Any
    ) -> str:
        """Publishes a `system_alert` with `alert_type`, `message`, `severity` and `node_id` as data.

        Args:
            alert_type, message, severity: what is wrong, in words, and how bad.
            target_node, **options: as for publish.

        Returns:
            The event's id.
        """
        data = {"alert_type": alert_type, "message": message, "severity": severity, "node_id": self.node_id}
        return await self.publish(EventType.SYSTEM_ALERT, data, target_node, **options)

    # -- subscribing ----------------------------------------------------------------------------------------------

    def subscribe(self, event_type: str, handler: Callable[[StreamEvent], Any]) -> None:
        """Calls a handler with every event on a subject.

        Args:
            event_type: the subject; `*` stands for one token, `>` at the end for the rest.
            handler: callable(event), sync or async.

        Raises:
            SubjectError: if the subject is not a pattern.
        """
        key = (str(event_type), handler)
        if key not in self._handlers:
            self.pipeline.register_handler(str(event_type), handler)
            self._handlers[key] = handler

    def unsubscribe(self, event_type: str, handler: Callable[[StreamEvent], Any]) -> bool:
        """Ends a subscription; whether there was one."""
        if self._handlers.pop((str(event_type), handler), None) is None:
            return False
        return self.pipeline.unregister_handler(str(event_type), handler)

    # -- looking --------------------------------------------------------------------------------------------------

    def get_recent_events(self, limit: int = 50, event_type: str | None = None) -> list[StreamEvent]:
        """Events published on this bus, newest last.

        Args:
            limit: how many at most, of the latest thousand.
            event_type: only those of this type; None for all.
        """
        wanted = [event for event in self._recent.values() if event_type in (None, event.event_type)]
        return wanted[-limit:] if limit > 0 else []

    def get_event_stats(self) -> dict[str, Any]:
        """Figures of the bus.

        Returns:
            `total_events` that came to their turn; `queue_size`, how many wait; `subscribers`, subscriptions;
            `recent_event_counts`, of the latest thousand by type; `running`; `outcomes`, by name: those of messages,
            `dropped` for what the full bus dropped, `cancelled` for what its publisher gave up.
        """
        return {
            "total_events": self._total,
            "queue_size": len(self._queue),
            "subscribers": len(self._handlers),
            "recent_event_counts": dict(Counter(event.event_type for event in self._recent.values())),
            "running": self._running,
            "outcomes": dict(self._outcomes),
        }

    # -- handing out ----------------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        self._due = None
        self._hand_out()
        if len(self._queue):
            self._due = asyncio.get_running_loop().call_soon(self._take_turn)

    def _hand_out(self) -> None:
        for _ in range(min(EVENTS_A_TURN, len(self._queue))):
            waiting = self._queue.take()
            if waiting.done.cancelled():  # its publisher waits no longer
                self._outcomes["cancelled"] += 1
                continue
            try:
                waiting.done.set_result(self._route(waiting))
            except Exception as error:
                waiting.done.set_exception(error)
        self._room.set()

    def _route(self, waiting: _Waiting) -> str:
        now = now_ms()
        ttl = None if waiting.ttl is None else max(0, waiting.ttl - (now - waiting.since))
        core = self.pipeline.core
        outcome, id = core.publish(*waiting.fields, ttl, waiting.priority, "", now, waiting.depth)
        self._total += 1
        self._outcomes[outcome or "filtered"] += 1
        if outcome == "denied" and (refusal := core.last_refusal):
            raise DeniedError(*refusal)
        event_type, data, metadata, target_node = waiting.fields
        self._recent[id] = StreamEvent(
            source_node=self.node_id,
            target_node=target_node,
            event_type=event_type,
            data=data,
            metadata=metadata,
            timestamp=now,
            priority=waiting.priority,
            id=id,
        )
        if len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        return id

    def _dropped(self, waiting: _Waiting) -> None:
        self._outcomes["dropped"] += 1
        if not waiting.done.done():
            waiting.done.set_exception(EventDroppedError())
