"""The events that a bus has seen last, bounded in number and in bytes."""

from __future__ import annotations

from collections import Counter, OrderedDict

from lexmesh._codec import StreamEvent

__all__ = ["RecentEvents"]

MOST_RECENT = 1_000
MOST_BYTES = 16 * 1024 * 1024


class RecentEvents:
    """Keeps the latest events by id, each once."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, tuple[StreamEvent, int]] = OrderedDict()  # with its bytes as a message
        self._bytes = 0

    def __contains__(self, id: str) -> bool:
        return id in self._events

    def add(self, id: str, event: StreamEvent) -> None:
        """Keeps an event, and lets the oldest ones go that there is no room for."""
        size = len(event.to_proto())
        self._bytes += size - self._events.get(id, (event, 0))[1]
        self._events[id] = event, size
        while len(self._events) > MOST_RECENT or self._bytes > MOST_BYTES:
            self._bytes -= self._events.popitem(last=False)[1][1]

    def latest(self, limit: int, event_type: str | None) -> list[StreamEvent]:
        """The latest ones, newest last.

        Args:
            limit: how many at most.
            event_type: only those of this type; None for all.
        """
        wanted = [event for event, _ in self._events.values() if event_type in (None, event.event_type)]
        return wanted[-limit:] if limit > 0 else []

    def counts(self) -> dict[str, int]:
        """How many there are of each type."""
        return dict(Counter(event.event_type for event, _ in self._events.values()))
