"""A bus for events: within one process when alone, through the whole mesh when a node carries it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.errors import BusStoppedError, DeniedError, EventDroppedError
from lexmesh.events import EventType
from lexmesh.mesh.event_queue import EventQueue, Overflow
from lexmesh.mesh.recent_events import RecentEvents
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.pipeline import Handler, StreamPipeline, check_handler
from lexmesh.transports.runner import HandlerRunner
from lexmesh.transports.wall_clock import now_ms

__all__ = ["EventBus"]

MOST_WAITING = 10_000
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
        self._recent = RecentEvents()
        self._handlers: dict[str, list[tuple[Handler, Handler]]] = {}  # as given and as called; not all can be hashed
        self._outcomes: Counter[str] = Counter()
        self._total = 0
        self._heard = 0
        self._published = ""  # id of the event that was handed out last
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

    def subscribe(self, event_type: str, handler: Handler) -> None:
        """Calls a handler with every event on a subject.

        Args:
            event_type: the subject; `*` stands for one token, `>` at the end for the rest.
            handler: callable(event), sync or async. A dict it returns is sent back to who asked.

        Raises:
            SubjectError: if the subject is not a pattern.
        """
        check_handler(handler)
        known = self._handlers.get(str(event_type), [])
        if not any(given == handler for given, _ in known):
            call = handler if self._alone else self._hearing(handler)
            self.pipeline.register_handler(str(event_type), call)
            self._handlers[str(event_type)] = [*known, (handler, call)]

    def unsubscribe(self, event_type: str, handler: Handler) -> bool:
        """Ends a subscription; whether there was one."""
        known = self._handlers.pop(str(event_type), [])
        if kept := [pair for pair in known if pair[0] != handler]:
            self._handlers[str(event_type)] = kept
        ended = [self.pipeline.unregister_handler(str(event_type), call) for given, call in known if given == handler]
        return any(ended)

    def _hearing(self, handler: Handler) -> Handler:
        """A handler that notes what it is called with: what nobody here subscribed to costs nothing."""

        def hear(event: StreamEvent) -> Any:
            id = event.id
            if id != self._published and id not in self._recent:
                self._heard += 1
                self._recent.add(id, event)
            return handler(event)

        hear.__qualname__ = getattr(handler, "__qualname__", type(handler).__name__)  # what failures are told of
        return hear

    # -- looking --------------------------------------------------------------------------------------------------

    def get_recent_events(self, limit: int = 50, event_type: str | None = None) -> list[StreamEvent]:
        """Events published on this bus, and on a mesh those of others that a subscriber here heard, newest last.

        Args:
            limit: how many at most, of the latest thousand, or of the latest 16 MiB if that is less.
            event_type: only those of this type; None for all.
        """
        return self._recent.latest(limit, event_type)

    def get_event_stats(self) -> dict[str, Any]:
        """Figures of the bus.

        Returns:
            `total_events`, those that came to their turn and those `heard`; `heard`, those of others that reached a
            subscriber here; `queue_size`, how many wait; `subscribers`, subscriptions; `recent_event_counts`, of the
            events of `get_recent_events` by type; `running`; `outcomes` of what was published here, by name: those of
            messages, `dropped` for what the full bus dropped, `cancelled` for what its publisher gave up.
        """
        return {
            "total_events": self._total + self._heard,
            "heard": self._heard,
            "queue_size": len(self._queue),
            "subscribers": sum(map(len, self._handlers.values())),
            "recent_event_counts": self._recent.counts(),
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
        self._published = core.next_id
        outcome, id = core.publish(*waiting.fields, ttl, waiting.priority, "", now, waiting.depth)
        self._total += 1
        self._outcomes[outcome or "filtered"] += 1
        if outcome == "denied" and (refusal := core.last_refusal):
            raise DeniedError(*refusal)
        event_type, data, metadata, target_node = waiting.fields
        event = StreamEvent(
            source_node=self.node_id,
            target_node=target_node,
            event_type=event_type,
            data=data,
            metadata=metadata,
            timestamp=now,
            priority=waiting.priority,
            id=id,
        )
        self._recent.add(id, event)
        return id

    def _dropped(self, waiting: _Waiting) -> None:
        self._outcomes["dropped"] += 1
        if not waiting.done.done():
            waiting.done.set_exception(EventDroppedError())
