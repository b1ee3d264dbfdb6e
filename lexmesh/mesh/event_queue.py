"""Events that wait for their turn: the most important first, those of one priority in order."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

__all__ = ["OVERFLOWS", "EventQueue", "Overflow"]

Overflow = Literal["block", "drop_oldest", "drop_newest"]
OVERFLOWS = ("block", "drop_oldest", "drop_newest")

Item = TypeVar("Item")


class EventQueue(Generic[Item]):
    """A bounded priority queue.

    Args:
        most: items at most.
        overflow: what to do with one that finds it full: `drop_newest` drops it, `drop_oldest` drops the one of the
            lowest priority that has waited longest, if that is not more important; `block` leaves it to the caller to
            wait for room.
        on_drop: callable(item), told of each dropped one.

    Raises:
        ValueError: if `most` is below 1 or there is no such overflow policy.
    """

    def __init__(self, most: int, overflow: Overflow, on_drop: Callable[[Item], Any]) -> None:
        if most < 1:
            raise ValueError(f"a queue has room for 1 or more, not {most}")
        if overflow not in OVERFLOWS:
            raise ValueError(f"overflow is one of {', '.join(OVERFLOWS)}, not {overflow!r}")
        self._most = most
        self._overflow = overflow
        self._on_drop = on_drop
        self._priorities: list[int] = []  # those that have items, ascending
        self._items: dict[int, deque[Item]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def must_wait(self) -> bool:
        """Whether whoever adds has to wait for room first."""
        return self._overflow == "block" and self._count >= self._most

    def add(self, item: Item, priority: int) -> bool:
        """Adds an item.

        Args:
            item: the item.
            priority: greater ones go first.

        Returns:
            Whether it waits now; otherwise it was dropped.
        """
        if self._count >= self._most and not self._make_room(priority):
            self._on_drop(item)
            return False
        if priority not in self._items:
            self._items[priority] = deque()
            insort(self._priorities, priority)
        self._items[priority].append(item)
        self._count += 1
        return True

    def take(self) -> Item:
        """Removes the next item.

        Raises:
            IndexError: if there is none.
        """
        return self._remove(self._priorities[-1])

    def _remove(self, priority: int) -> Item:
        """Removes what has waited longest of a priority."""
        items = self._items[priority]
        item = items.popleft()
        self._count -= 1
        if not items:
            del self._items[priority]
            self._priorities.remove(priority)
        return item

    def _make_room(self, priority: int) -> bool:
        if self._overflow != "drop_oldest" or self._priorities[0] > priority:
            return False
        self._on_drop(self._remove(self._priorities[0]))
        return True
