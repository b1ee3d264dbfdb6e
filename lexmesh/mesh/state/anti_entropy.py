"""How two replicas come to the same: digests first, then only the buckets that differ.

Each round one node sends another the root digest of each category. One that has others sends the digests of its 256
buckets; the first then sends its entries of those that differ, asking for the other's. What is the same costs 16 hex
digits a category and round, however many keys it has (Merkle trees of one level; compare Demers et al., "Epidemic
Algorithms for Replicated Database Maintenance", 1987).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lexmesh.mesh.state.digest import BUCKETS
from lexmesh.mesh.state.register import Register
from lexmesh.mesh.state.replica import Replica
from lexmesh.mesh.state.wire import Entry, EntryError, entry_from, entry_of

__all__ = ["BUCKET_DIGESTS", "DELTA", "ENTRIES", "ROOTS", "AntiEntropy", "Message", "deltas"]

ROOTS = "_lexmesh.state.roots"
BUCKET_DIGESTS = "_lexmesh.state.buckets"
ENTRIES = "_lexmesh.state.entries"
DELTA = "_lexmesh.state.delta"

MOST_BYTES = 64 * 1024
"""Of entries in one message, unless a single one is larger."""

MOST_ASKED_CATEGORIES = 1_024

Message = tuple[str, dict[str, Any]]


def deltas(entries: Iterable[Entry]) -> Iterator[Message]:
    """Messages that tell others of keys just written."""
    return ((DELTA, {"entries": batch}) for batch in _batches(entries))


def _batches(entries: Iterable[Entry]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        length = _length(*entry)
        if batch and size + length > MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry_of(*entry))
        size += length
    if batch:
        yield batch


def _length(category: str, key: str, register: Register) -> int:
    """Bytes of an entry, roughly."""
    names = len(category) + len(key) + 32 * len(register.seen or ())
    return names + sum(len(write.node) + len(write.value or b"") + 80 for write in register.writes)


class AntiEntropy:
    """What a replica says to other replicas, and makes of what they say.

    Args:
        replica: this node's.
        wants: whether this node takes part in a category.
        changed: callable(category, key), told of each key that another node changed.

    Attributes:
        malformed: messages or entries that could not be read.
        taken: entries that changed something.
    """

    def __init__(self, replica: Replica, wants: Callable[[str], bool], changed: Callable[[str, str], None]) -> None:
        self._replica = replica
        self._wants = wants
        self._changed = changed
        self.malformed = 0
        self.taken = 0

    def roots(self, categories: Iterable[str]) -> Message:
        """What begins a round: the root digest of each category."""
        return ROOTS, {"roots": {category: self._replica.digest(category).root() for category in categories}}

    def receive(self, kind: str, data: Any, now: int) -> list[Message]:
        """Takes in a message of another replica.

        Args:
            kind: its type.
            data: its data; anything.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Answers, for the same replica.
        """
        try:
            if kind == ROOTS:
                return list(self._answer_roots(data["roots"]))
            if kind == BUCKET_DIGESTS:
                return list(self._answer_buckets(data["category"], data["buckets"]))
            if kind in (ENTRIES, DELTA):
                return self._answer_entries(data, now)
        except (KeyError, TypeError, AttributeError, ValueError):
            self.malformed += 1
        return []

    def _answer_roots(self, theirs: dict[str, str]) -> Iterator[Message]:
        if len(theirs) > MOST_ASKED_CATEGORIES:
            raise EntryError("too many categories")
        ours = [category for category in self._replica.categories() if category not in theirs]
        for category in [*theirs, *ours]:
            if self._wants(category):
                digest = self._replica.digest(category)
                if digest.root() != theirs.get(category):
                    yield BUCKET_DIGESTS, {"category": category, "buckets": digest.bucket_texts()}

    def _answer_buckets(self, category: str, texts: list[str]) -> Iterator[Message]:
        if not isinstance(category, str) or len(texts) != BUCKETS:
            raise EntryError("a category and its buckets")
        if not self._wants(category):
            return
        differing = self._replica.digest(category).differing(texts)
        if not differing:
            return
        ours = self._replica.digest(category).bucket_texts()
        wanted = {"category": category, "buckets": {str(number): ours[number] for number in differing}}
        for batch in _batches(self._entries(category, differing)):
            yield ENTRIES, {"entries": batch}
        yield ENTRIES, {"entries": [], "wanted": wanted}

    def _answer_entries(self, data: dict[str, Any], now: int) -> list[Message]:
        for item in data["entries"]:
            self._take(item, now)
        if "wanted" not in data:
            return []
        category, buckets = data["wanted"]["category"], data["wanted"]["buckets"]
        if len(buckets) > BUCKETS or not all(number.isdigit() and int(number) < BUCKETS for number in buckets):
            raise EntryError("buckets that there are not")
        if not self._wants(category):
            return []
        # those that are now as they are there need no answer: all that is here came from there
        ours = self._replica.digest(category).bucket_texts()
        differing = [int(number) for number, text in buckets.items() if ours[int(number)] != text]
        return [(ENTRIES, {"entries": batch}) for batch in _batches(self._entries(category, differing))]

    def _take(self, item: Any, now: int) -> None:
        try:
            category, key, register = entry_from(item)
        except EntryError:
            self.malformed += 1
            return
        if self._wants(category) and self._replica.merge(category, key, register, now):
            self.taken += 1
            self._changed(category, key)

    def _entries(self, category: str, buckets: Iterable[int]) -> Iterator[tuple[str, str, Register]]:
        for bucket in buckets:
            for key in self._replica.keys_in(category, bucket):
                yield category, key, self._replica.register(category, key)
