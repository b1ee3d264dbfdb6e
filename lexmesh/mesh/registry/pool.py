"""Nodes that can be chosen, by capability: any of thousands is found, added or drawn in the same time."""

from __future__ import annotations

import random

__all__ = ["Pool"]


class Pool:
    """A set of names from which some can be drawn at random."""

    __slots__ = ("_names", "_places")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, name: str) -> None:
        """Adds a name; nothing if it is there."""
        if name not in self._places:
            self._places[name] = len(self._names)
            self._names.append(name)

    def discard(self, name: str) -> None:
        """Removes a name; the last one takes its place."""
        place = self._places.pop(name, None)
        if place is None:
            return
        last = self._names.pop()
        if last != name:
            self._names[place] = last
            self._places[last] = place

    def names(self) -> list[str]:
        """All names."""
        return list(self._names)

    def draw(self, most: int, pick: random.Random) -> list[str]:
        """All names, or what so many draws of them at random gave; a few may have given the same."""
        count = len(self._names)
        if count <= most:
            return self._names[:]
        return list({self._names[int(pick.random() * count)]: None for _ in range(most)})
