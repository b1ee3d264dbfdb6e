"""What was lost to a concurrent write: kept for a while, so that a person can look and undo it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from lexmesh.mesh.state.register import Write

__all__ = ["MOST_CONFLICTS", "Conflict", "ConflictJournal"]

MOST_CONFLICTS = 1_000


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two nodes wrote the same key, neither knowing of the other.

    Args:
        number: counts up from 1 on this node.
        category, key: what they wrote.
        kept: the write that stands.
        lost: the write that does not.
        noticed: milliseconds since 1970-01-01 UTC.
    """

    number: int
    category: str
    key: str
    kept: Write
    lost: Write
    noticed: int


class ConflictJournal:
    """The latest conflicts that this node saw.

    Args:
        most: how many; older ones are forgotten.

    Attributes:
        total: conflicts ever seen.
    """

    def __init__(self, most: int = MOST_CONFLICTS) -> None:
        self._most = most
        self._numbers = count(1)
        self._conflicts: OrderedDict[int, Conflict] = OrderedDict()
        self.total = 0

    def note(self, category: str, key: str, kept: Write, lost: Write, now: int) -> None:
        """Adds a conflict, unless both wrote the same value."""
        if kept.value == lost.value:
            return
        self.total += 1
        number = next(self._numbers)
        self._conflicts[number] = Conflict(number, category, key, kept, lost, now)
        if len(self._conflicts) > self._most:
            self._conflicts.popitem(last=False)

    def all(self) -> list[Conflict]:
        """What is kept, oldest first."""
        return list(self._conflicts.values())

    def take(self, number: int) -> Conflict | None:
        """Removes a conflict, for it is going to be undone; None if it is not there any more."""
        return self._conflicts.pop(number, None)
