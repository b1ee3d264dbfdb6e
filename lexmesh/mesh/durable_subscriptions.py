"""Which handlers of a node are in durable groups, whether or not Redis is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lexmesh._codec import StreamEvent
from lexmesh._router import check_pattern
from lexmesh.pipeline import check_handler
from lexmesh.queue_groups import check_group

__all__ = ["DurableSubscriptions"]

MOST_GROUPS = 64
"""Durable groups in which one node may have members; each reads on a connection of its own."""

Key = tuple[str, str]
"""Subject pattern and name of a group."""


class Worker(Protocol):
    """What has handlers do the work."""

    def subscribe(self, key: Key, handler: Callable[[StreamEvent], Any]) -> None: ...
    def unsubscribe(self, key: Key, handler: object) -> None: ...


class DurableSubscriptions:
    """The handlers, by group."""

    def __init__(self) -> None:
        self._handlers: dict[Key, list[Callable[[StreamEvent], Any]]] = {}
        self._worker: Worker | None = None

    def add(self, pattern: str, group: str, handler: Callable[[StreamEvent], Any]) -> None:
        """Adds a handler; nothing if it is there.

        Raises:
            SubjectError: if the subject is not a pattern.
            TypeError: if the handler cannot be one.
            ValueError: if the name is none, or there are too many groups.
        """
        check_handler(handler)
        check_pattern(pattern)
        key = pattern, check_group(group)
        if key not in self._handlers and len(self._handlers) >= MOST_GROUPS:
            raise ValueError(f"a node is in at most {MOST_GROUPS} durable groups; this would be one more")
        handlers = self._handlers.setdefault(key, [])
        if handler not in handlers:
            handlers.append(handler)
            if self._worker is not None:
                self._worker.subscribe(key, handler)

    def remove(self, pattern: str, handler: object) -> bool:
        """Takes a handler from the groups on a subject; whether it was in one."""
        found = [key for key, handlers in self._handlers.items() if key[0] == pattern and handler in handlers]
        for key in found:
            self._handlers[key] = [one for one in self._handlers[key] if one != handler]
            if not self._handlers[key]:
                del self._handlers[key]
            if self._worker is not None:
                self._worker.unsubscribe(key, handler)
        return bool(found)

    def begin(self, worker: Worker) -> None:
        """Has the work done from now on."""
        self._worker = worker
        for key, handlers in self._handlers.items():
            for handler in handlers:
                worker.subscribe(key, handler)

    def end(self) -> None:
        """Has it done no more."""
        self._worker = None
