"""State that all nodes of a mesh share: written anywhere, read everywhere, the same in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from lexmesh.mesh.state.anti_entropy import AntiEntropy, deltas
from lexmesh.mesh.state.journal import Conflict
from lexmesh.mesh.state.replica import Change, Replica, Strategy
from lexmesh.mesh.state.wire import EntryError, entry_from, entry_of
from lexmesh.mesh.watch import Watch
from lexmesh.node_names import check_node_id
from lexmesh.transports.wall_clock import now_ms

__all__ = ["StateSynchronizer"]

MOST_HEARD = 10_000
"""Nodes of which is known when they were heard last."""

Send = Callable[[str, str, dict[str, Any]], None]


class StateSynchronizer:
    """One node's part of the shared state; alone, it is a store of that node.

    Args:
        node_id: this node's name.
        categories: those that this node shares; None for all. Others stay on this node.
        strategies: by category what decides between concurrent writes: `latest_wins` (the default), `highest_version`,
            or a callable(a, b) that makes one value of two.
        now: reads the time in milliseconds since 1970-01-01 UTC.

    Raises:
        ValueError: if the name is none or a strategy is unknown.
    """

    def __init__(
        self,
        node_id: str,
        *,
        categories: Iterable[str] | None = None,
        strategies: Mapping[str, Strategy] | None = None,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self.node_id = check_node_id(node_id)
        self._shared = None if categories is None else frozenset(categories)
        self._replica = Replica(node_id, strategies)
        self._anti_entropy = AntiEntropy(self._replica, self.shares, self._notify)
        self._now = now
        self._send: Send | None = None
        self._police: Callable[[str, str, Any], None] | None = None
        self._on_unsent: Callable[[], object] | None = None
        self._unsent: dict[tuple[str, str], None] = {}
        self._watches: set[Watch] = set()
        self._heard: dict[str, int] = {}

    async def start(self) -> None:
        """Nothing to start here; for symmetry with what has connections and tasks."""

    async def stop(self) -> None:
        """Ends all watches."""
        for watch in list(self._watches):
            watch.close()

    # -- reading and writing ----------------------------------------------------------------------------------------

    def update_local_state(self, category: str, key: str, value: Any) -> int:
        """Writes a value; the other nodes hear of it at once.

        Args:
            category, key: 1 to 255 bytes of UTF-8 each.
            value: what JSON can say, at most 256 KiB of it; a copy is kept.

        Returns:
            The key's version: how many changes led to this one.

        Raises:
            TypeError: if JSON cannot say the value.
            ValueError: if a name or the value is too large, or there are too many keys.
            DeniedError: if the node that carries this state has a policy that refuses the value.
        """
        self._check(category, key, value)
        register = self._replica.write(category, key, value, self._now())
        self._wrote(category, key)
        return register.version

    def get_local_state(self, category: str, key: str | None = None, default: Any = None) -> Any:
        """A copy of what this node knows.

        Args:
            category: the category.
            key: the key; None for all of the category, as a dict.
            default: what to return for a key without a value.
        """
        if key is not None:
            return self._replica.value(category, key, default)
        return {key: self._replica.value(category, key) for key in self._replica.keys(category)}

    def delete_local_state(self, category: str, key: str) -> bool:
        """Deletes a key on all nodes; whether it had a value."""
        if self._replica.delete(category, key, self._now()) is None:
            return False
        self._wrote(category, key)
        return True

    def compare_and_set(self, category: str, key: str, expected: Any, value: Any) -> bool:
        """Writes a value if the key has the expected one here; None expects none.

        Another node may write at the same time: then one of both wins later, and the other one is in `conflicts`.

        Returns:
            Whether it was written.
        """
        if self._replica.value(category, key) != expected:
            return False
        self.update_local_state(category, key, value)
        return True

    def watch(self, category: str, key: str | None = None, handler: Callable[[Change], Any] | None = None) -> Watch:
        """Tells of changes, by this node and by others.

        Args:
            category: the category.
            key: the key; None for all of the category.
            handler: callable(change), called for each; without one, iterate with `async for`.
        """
        watch = Watch(category, key, handler, self._watches.discard)
        self._watches.add(watch)
        return watch

    # -- snapshots and conflicts ------------------------------------------------------------------------------------

    def snapshot(self, category: str | None = None) -> dict[str, Any]:
        """All that this node knows, deletions too, as data that JSON can say.

        Args:
            category: only this one; None for all.
        """
        categories = self._replica.categories() if category is None else [category]
        entries = [
            entry_of(name, key, self._replica.register(name, key))
            for name in categories
            for key in self._replica.all_keys(name)
        ]
        return {"node_id": self.node_id, "taken": self._now(), "entries": entries}

    def restore(self, snapshot: Mapping[str, Any]) -> int:
        """Takes in a snapshot, as if its node had sent it: what is newer here stays.

        Args:
            snapshot: what `snapshot` returned, on any node.

        Returns:
            How many keys it changed.

        Raises:
            ValueError: if it is no snapshot; then nothing is changed.
            DeniedError: if the policy refuses a value in it; then nothing is changed.
        """
        try:
            entries = [entry_from(item) for item in snapshot["entries"]]
        except (KeyError, TypeError, EntryError) as error:
            raise ValueError(f"not a snapshot: {error}") from None
        for category, key, register in entries:
            for write in register.writes:
                if write.value is not None:
                    self._check(category, key, orjson.loads(write.value))
        changed = 0
        for category, key, register in entries:
            if self._replica.merge(category, key, register, self._now()):
                self._wrote(category, key)
                changed += 1
        return changed

    def conflicts(self) -> list[Conflict]:
        """Values that were lost to a concurrent write, oldest first; the latest thousand."""
        return self._replica.journal.all()

    def undo_conflict(self, number: int) -> bool:
        """Writes a lost value again, over the one that won.

        Args:
            number: the conflict's.

        Returns:
            Whether it was still known.
        """
        conflict = self._replica.journal.take(number)
        if conflict is None:
            return False
        self._replica.write_text(conflict.category, conflict.key, conflict.lost.value, self._now())
        self._wrote(conflict.category, conflict.key)
        return True

    def get_sync_status(self) -> dict[str, Any]:
        """Keys and digests by category, when each node was last heard, and what was not taken."""
        return {
            "node_id": self.node_id,
            "categories": {name: self._status_of(name) for name in self._replica.categories()},
            "nodes": {node: self._now() - heard for node, heard in self._heard.items()},
            "taken": self._anti_entropy.taken,
            "conflicts": self._replica.journal.total,
            "refused": {**self._replica.refused, "malformed": self._anti_entropy.malformed},
            "unsent": len(self._unsent),
        }

    # -- for the mesh -----------------------------------------------------------------------------------------------

    def send_with(self, send: Send | None, on_unsent: Callable[[], object] | None = None) -> None:
        """Lets a mesh carry what is to be told.

        Args:
            send: callable(target node or "" for all, type, data), or None to be alone again.
            on_unsent: called when there is something for `flush` to tell, and was nothing before.
        """
        self._send = send
        self._on_unsent = on_unsent

    def police_with(self, check: Callable[[str, str, Any], None]) -> None:
        """Has values of shared categories checked before they are written.

        Args:
            check: callable(category, key, value), which raises for what must not be written.
        """
        self._police = check

    def shares(self, category: str) -> bool:
        """Whether this node takes part in a category."""
        return self._shared is None or category in self._shared

    def flush(self) -> None:
        """Tells the other nodes of all keys written since the last time, each once."""
        unsent, self._unsent = self._unsent, {}
        if self._send is not None:
            entries = ((*name, self._replica.register(*name)) for name in unsent)
            for kind, data in deltas(entries):
                self._send("", kind, data)

    def begin_round(self, target: str) -> None:
        """Compares digests with a node; what differs is exchanged."""
        if self._send is not None:
            shared = filter(self.shares, self._replica.categories())
            self._send(target, *self._anti_entropy.roots(shared))

    def receive(self, source: str, kind: str, data: Any) -> bool:
        """Takes in what another node's synchronizer sent, and answers it.

        Args:
            source: that node's name.
            kind: the message's type.
            data: its data; anything.

        Returns:
            Whether it changed anything here.
        """
        now = self._now()
        taken = self._anti_entropy.taken
        self._heard.pop(source, None)
        self._heard[source] = now
        if len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]
        for answer in self._anti_entropy.receive(kind, data, now):
            if self._send is not None:
                self._send(source, *answer)
        return self._anti_entropy.taken != taken

    def forget(self, node: str) -> None:
        """A node is gone for good: its place in the status is given back."""
        self._heard.pop(node, None)

    def _check(self, category: str, key: str, value: Any) -> None:
        if self._police is not None and self.shares(category):
            self._police(category, key, value)

    def _wrote(self, category: str, key: str) -> None:
        if self._send is not None and self.shares(category):
            if not self._unsent and self._on_unsent is not None:
                self._on_unsent()
            self._unsent[category, key] = None
        self._notify(category, key)

    def _notify(self, category: str, key: str) -> None:
        if self._watches:
            change = self._replica.change(category, key)
            for watch in list(self._watches):
                watch.tell(change)

    def _status_of(self, category: str) -> dict[str, Any]:
        alive, deleted = self._replica.counts(category)
        return {
            "keys": alive,
            "deleted": deleted,
            "digest": self._replica.digest(category).root(),
            "shared": self.shares(category),
        }
