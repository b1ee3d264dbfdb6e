"""One node's copy of the mesh's state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any, NamedTuple

import orjson

from lexmesh.mesh.state.digest import BUCKETS, Digest, bucket_of
from lexmesh.mesh.state.journal import ConflictJournal
from lexmesh.mesh.state.register import EMPTY, Register, by_time, by_version, join, written
from lexmesh.mesh.state.stamp import AheadError, HybridClock
from lexmesh.mesh.state.text import kept_text

__all__ = ["MOST_KEYS", "MOST_NAME_BYTES", "MOST_VALUE_BYTES", "STRATEGIES", "Change", "Replica", "Strategy"]

MOST_KEYS = 1_000_000
"""Keys of all categories together, deleted ones included: they must be remembered, or they would come back."""

MOST_CATEGORIES = 1_024
MOST_NAME_BYTES = 255
MOST_VALUE_BYTES = 256 * 1024

Combine = Callable[[Any, Any], Any]
Strategy = str | Combine
STRATEGIES = {"latest_wins": by_time, "highest_version": by_version}


class Change(NamedTuple):
    """What became of a key.

    Args:
        category, key: which.
        value: now; None when deleted.
        is_deleted: whether there is no value any more.
        version: of the value.
        node: who wrote it last.
    """

    category: str
    key: str
    value: Any
    is_deleted: bool
    version: int
    node: str


class FullError(ValueError):
    """A key or value is too large, or there are too many."""


class Replica:
    """What a node knows: category by category, key by key.

    Args:
        node: this node's name.
        strategies: of each category `latest_wins` (what others have too), `highest_version`, or a callable(a, b) that
            combines two concurrent values. It sees them in the order of their stamps, so that all nodes agree; whether
            more nodes than two agree with what one expects of it is up to it being commutative and associative.
        most_keys: keys at most, deleted ones included.

    Attributes:
        clock: stamps what this node writes.
        journal: what was lost to concurrent writes.
        refused: entries of other nodes that were not taken, by reason.
    """

    def __init__(
        self, node: str, strategies: Mapping[str, Strategy] | None = None, *, most_keys: int = MOST_KEYS
    ) -> None:
        for category, strategy in (strategies or {}).items():
            if not callable(strategy) and strategy not in STRATEGIES:
                known = ", ".join(STRATEGIES)
                raise ValueError(f"strategy of {category!r} is {known} or a callable, not {strategy!r}")
        self.node = node
        self.clock = HybridClock()
        self.journal = ConflictJournal()
        self.refused = {"ahead": 0, "full": 0}
        self._strategies = dict(strategies or {})
        self._most_keys = most_keys
        self._keys = 0
        self._registers: dict[str, dict[str, Register]] = {}
        self._digests: dict[str, Digest] = {}
        self._members: dict[str, list[set[str]]] = {}
        self._deleted: dict[str, int] = {}

    # -- reading ----------------------------------------------------------------------------------------------------

    def register(self, category: str, key: str) -> Register:
        """The register of a key; an empty one if it was never written."""
        return self._registers.get(category, {}).get(key, EMPTY)

    def value(self, category: str, key: str, default: Any = None) -> Any:
        """A copy of a key's value; the default if it has none."""
        register = self.register(category, key)
        values = [write.value for write in register.writes if write.value is not None]
        if not values:
            return default
        strategy = self._strategies.get(category)
        if len(values) == 1 or not callable(strategy):
            return orjson.loads(values[-1])
        return reduce(strategy, map(orjson.loads, values))

    def change(self, category: str, key: str) -> Change:
        """The state of a key as watchers hear it."""
        register = self.register(category, key)
        last = register.writes[-1].node if register.writes else ""
        return Change(category, key, self.value(category, key), register.is_deleted, register.version, last)

    def categories(self) -> list[str]:
        """Categories in which something was ever written."""
        return list(self._registers)

    def keys(self, category: str) -> Iterator[str]:
        """Keys of a category that have a value."""
        return (key for key, register in self._registers.get(category, {}).items() if not register.is_deleted)

    def all_keys(self, category: str) -> Iterator[str]:
        """Keys of a category, deleted ones too."""
        return iter(self._registers.get(category, {}))

    def counts(self, category: str) -> tuple[int, int]:
        """How many keys of a category have a value, and how many are deleted."""
        deleted = self._deleted.get(category, 0)
        return len(self._registers.get(category, ())) - deleted, deleted

    def keys_in(self, category: str, bucket: int) -> list[str]:
        """Keys of one bucket, deleted ones too."""
        return sorted(self._members[category][bucket]) if category in self._members else []

    def digest(self, category: str) -> Digest:
        """The digests of a category; those of nothing if there is none."""
        return self._digests.get(category) or Digest()

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(self, category: str, key: str, value: Any, now: int) -> Register:
        """Writes a value.

        Args:
            category, key: 1 to 255 bytes of UTF-8 each.
            value: what JSON can say; a copy of it is kept.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            The key's register, for the other nodes.

        Raises:
            TypeError: if JSON cannot say the value.
            ValueError: if a name or the value is too large, or there are too many keys.
        """
        try:
            text = kept_text(value)
        except TypeError as error:
            raise TypeError(f"the value of {category}/{key} is not what JSON can say: {error}") from None
        return self.write_text(category, key, text, now)

    def delete(self, category: str, key: str, now: int) -> Register | None:
        """Deletes a key; None if it has no value."""
        if self.register(category, key).is_deleted:
            return None
        return self.write_text(category, key, None, now)

    def write_text(self, category: str, key: str, text: bytes | None, now: int) -> Register:
        """Writes a value that is JSON text already; None deletes."""
        self._check(category, key, text)
        before = self.register(category, key)
        after = written(before, self.clock.next(now), self.node, text)
        self._put(category, key, before, after)
        return after

    def merge(self, category: str, key: str, theirs: Register, now: int) -> bool:
        """Takes in what another node knows of a key.

        Args:
            category, key: which.
            theirs: its register.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Whether anything changed here. What is not taken is counted in `refused`.
        """
        try:
            for stamp in (theirs.seen or {}).values():
                self.clock.see(stamp, now)
            for write in theirs.writes:
                self._check(category, key, write.value)
        except AheadError:
            self.refused["ahead"] += 1
            return False
        except FullError:
            self.refused["full"] += 1
            return False
        before = self.register(category, key)
        strategy = self._strategies.get(category, "latest_wins")
        rank = None if callable(strategy) else STRATEGIES[strategy]
        after, lost = join(before, theirs, rank)
        for write in lost:
            self.journal.note(category, key, after.writes[0], write, now)
        if after.writes == before.writes:
            if before.writes:
                self._registers[category][key] = after
            return False
        self._put(category, key, before, after)
        return True

    def _check(self, category: str, key: str, text: bytes | None) -> None:
        for name in (category, key):
            if not 1 <= len(name.encode()) <= MOST_NAME_BYTES:
                raise FullError(f"a category and a key have 1 to {MOST_NAME_BYTES} bytes, not {len(name.encode())}")
        if text is not None and len(text) > MOST_VALUE_BYTES:
            raise FullError(f"the value of {category}/{key} has {len(text)} bytes; at most {MOST_VALUE_BYTES} fit")
        known = self._registers.get(category)
        if known is None and len(self._registers) >= MOST_CATEGORIES:
            raise FullError(f"there are {MOST_CATEGORIES} categories already")
        if self._keys >= self._most_keys and (known is None or key not in known):
            raise FullError(f"there are {self._most_keys} keys already")

    def _put(self, category: str, key: str, before: Register, after: Register) -> None:
        if category not in self._registers:
            self._registers[category] = {}
            self._digests[category] = Digest()
            self._members[category] = [set() for _ in range(BUCKETS)]
            self._deleted[category] = 0
        if key not in self._registers[category]:
            self._keys += 1
            self._members[category][bucket_of(key)].add(key)
            self._deleted[category] += after.is_deleted
        else:
            self._deleted[category] += after.is_deleted - before.is_deleted
        self._registers[category][key] = after
        self._digests[category].replace(key, before, after)
