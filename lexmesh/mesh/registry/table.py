"""All nodes that this one knows of."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lexmesh.mesh.registry.node import MOST_NUMBER, Node, NodeEntry, NodeEntryError, NodeStatus, entry_from
from lexmesh.mesh.registry.pool import Pool
from lexmesh.mesh.registry.suspicion import DEAD_PHI, SUSPECT_PHI, Suspicion

__all__ = ["MOST_NODES", "NodeTable", "Notice"]

logger = logging.getLogger("lexmesh.mesh")

MOST_NODES = 10_000

MOST_MOVES = 16
"""How often a node outranks what others know under its name: once after a restart with its clock set back. More often
somebody else bears the name, and both would go on for ever."""

Notice = Callable[[str, NodeStatus, NodeStatus | None], None]
"""callable(node_id, status, status before or None for a new node)"""


class NodeTable:
    """Entries of nodes, their heartbeats, and what follows from both.

    Args:
        own: this node's entry.
        interval: milliseconds between heartbeats.
        now: milliseconds since 1970-01-01 UTC.
        pick: where chance comes from.

    Attributes:
        own: this node's entry; changed by `declare`.
        notices: told of every change of a status.
        refused: entries that were not taken, by reason.
        most_pause: milliseconds between two looks at most, by whoever looks again and again; more means that this node
            did not run meanwhile, and could not hear the others.
    """

    def __init__(self, own: NodeEntry, interval: float, now: int, pick: random.Random) -> None:
        self.notices: list[Notice] = []
        self.refused = {"malformed": 0, "full": 0, "own": 0}
        self.pick = pick
        self.most_pause = math.inf
        self._looked: float = now
        self._moves = 0
        self._interval = interval
        self._nodes: dict[str, Node] = {}
        self._able: dict[str, Pool] = {}
        self.own = own
        self._put(own, now)
        self._set_status(self._nodes[own.node_id], NodeStatus.ACTIVE)

    # -- reading ----------------------------------------------------------------------------------------------------

    def get(self, node_id: str) -> Node | None:
        """A node; None if it is not known."""
        return self._nodes.get(node_id)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def able(self, capability: str) -> Pool:
        """Names of the active nodes with a capability."""
        return self._able.get(capability) or Pool()

    def phi(self, node: Node, now: float) -> float:
        """How much a node is suspected; this one never is, and no other before its heartbeat is due."""
        self._running(now)
        if now - node.suspicion.last <= self._interval or node.entry.node_id == self.own.node_id:
            return 0.0
        return node.suspicion.phi(now)

    # -- entries ----------------------------------------------------------------------------------------------------

    def declare(self, now: int, **fields: Any) -> NodeEntry:
        """Changes this node's own entry; returns it, for the others."""
        self._put(self.own.changed(**fields), now)
        self.own = self._nodes[self.own.node_id].entry
        return self.own

    def digest(self) -> dict[str, list[int]]:
        """Which version of each entry is here, for another node to compare."""
        return {name: list(node.entry.rank) for name, node in self._nodes.items()}

    def newer_than(self, digest: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Entries that another node does not have, by its digest."""
        return [
            node.entry.data()
            for name, node in self._nodes.items()
            if not isinstance(known := digest.get(name), list) or _rank(known) < node.entry.rank
        ]

    def merge(self, entries: Iterable[Any], now: int) -> list[str]:
        """Takes in entries that another node sent.

        Args:
            entries: as `newer_than` returns them; anything.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Names of the nodes about which there is something new to tell others: this one, if they know more of it than
            it has said.
        """
        changed = []
        for data in entries:
            try:
                entry = entry_from(data)
            except NodeEntryError:
                self.refused["malformed"] += 1
                continue
            if self.take(entry, now):
                changed.append(entry.node_id)
        return changed

    def take(self, entry: NodeEntry, now: int) -> bool:
        """Takes in an entry if it is newer than what is known; whether there is news for others."""
        known = self._nodes.get(entry.node_id)
        if entry.node_id == self.own.node_id:
            return self._outrank(entry, now)
        if known is not None and known.entry.rank >= entry.rank:
            return False
        if known is None and len(self._nodes) >= MOST_NODES and not self._forget_one():
            self.refused["full"] += 1
            return False
        self._put(entry, now)
        return True

    def _outrank(self, entry: NodeEntry, now: int) -> bool:
        """Others know an entry of this node's name that it has not made: it moves on past it, or none would hear it.

        Mostly it is of an earlier life, whose clock was ahead of this one's.
        """
        if entry.rank < self.own.rank or entry == self.own:
            return False
        self.refused["own"] += 1
        if self._moves >= MOST_MOVES or max(entry.rank) + 1 >= MOST_NUMBER:
            return False
        self._moves += 1
        is_later = entry.epoch > self.own.epoch
        epoch = max(entry.epoch + 1, now) if is_later else self.own.epoch
        self.own = replace(self.own, epoch=epoch, version=0 if is_later else entry.version + 1)
        self._put(self.own, now)
        return True

    def forget(self, node_id: str) -> bool:
        """Removes a node; whether it was known. This node stays."""
        node = self._nodes.get(node_id)
        if node is None or node_id == self.own.node_id:
            return False
        self._set_status(node, NodeStatus.DISCONNECTED)
        del self._nodes[node_id]
        return True

    # -- heartbeats -------------------------------------------------------------------------------------------------

    def heartbeat(self, node_id: str, epoch: int, load: Mapping[str, Any], now: int) -> bool:
        """A node's heartbeat has come.

        Args:
            node_id, epoch: whose, and of which start of it.
            load: fields of Load.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Whether it counts: one of an unknown node or of an earlier life does not.
        """
        self._running(now)
        node = self._nodes.get(node_id)
        if node is None or epoch != node.entry.epoch or node.entry.leaving:
            return False
        if node.status not in (
            NodeStatus.ACTIVE,
            NodeStatus.SUSPECT,
        ):  # new or back; the pause tells nothing of its ways
            node.suspicion = Suspicion(self._interval, now)
        else:
            node.suspicion.heartbeat(now)
        node.load.update(load)
        self._set_status(node, NodeStatus.ACTIVE)
        return True

    def sweep(self, now: int) -> None:
        """Looks which nodes have been silent for too long; time in which this one did not run does not count."""
        self._running(now)
        for node in list(self._nodes.values()):
            self._look_at(node, now)

    def _look_at(self, node: Node, now: int) -> None:
        if node.entry.leaving or node.entry.node_id == self.own.node_id:
            return
        phi = node.suspicion.phi(now)
        if phi >= DEAD_PHI:
            self._set_status(node, NodeStatus.DORMANT)
        elif phi >= SUSPECT_PHI and node.status is NodeStatus.ACTIVE:
            self._set_status(node, NodeStatus.SUSPECT)

    def _running(self, now: float) -> None:
        """This node runs: what it did not hear while it was held up, or skipped with its clock, blames nobody."""
        passed = now - self._looked
        is_set_back = passed < -self._interval / 4
        if passed < 0 and not is_set_back:
            return  # two that were asked for the time in one order, and come in another
        self._looked = now
        held_up = passed if is_set_back else passed - self.most_pause
        if is_set_back or held_up > 0:
            for node in self._nodes.values():
                node.suspicion.excuse(held_up, now)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _put(self, entry: NodeEntry, now: int) -> None:
        node = self._nodes.get(entry.node_id)
        if node is None or (node.entry.epoch != entry.epoch and entry.node_id != self.own.node_id):
            first_seen = now if node is None else node.first_seen
            if node is not None:
                self._leave_pools(node)
            fresh = Node(entry, first_seen, Suspicion(self._interval, now))
            before = None if node is None else node.status
            self._nodes[entry.node_id] = fresh
            self._tell(entry.node_id, NodeStatus.INITIALIZING, before)
            node = fresh
        else:
            self._leave_pools(node)
            node.entry = entry
            if node.status is NodeStatus.ACTIVE:
                self._enter_pools(node)
        if entry.leaving:
            self._set_status(node, NodeStatus.DISCONNECTED)

    def _set_status(self, node: Node, status: NodeStatus) -> None:
        before = node.status
        if status is before:
            return
        node.status = status
        if status is NodeStatus.ACTIVE:
            self._enter_pools(node)
        else:
            self._leave_pools(node)
        self._tell(node.entry.node_id, status, before)

    def _enter_pools(self, node: Node) -> None:
        for capability in node.entry.capabilities:
            self._able.setdefault(capability, Pool()).add(node.entry.node_id)

    def _leave_pools(self, node: Node) -> None:
        for capability in node.entry.capabilities:
            pool = self._able.get(capability)
            if pool is not None:
                pool.discard(node.entry.node_id)
                if not len(pool):
                    del self._able[capability]

    def _forget_one(self) -> bool:
        """Makes room by forgetting a node that is gone; False if all are there."""
        gone = (
            name for name, node in self._nodes.items() if node.status in (NodeStatus.DISCONNECTED, NodeStatus.DORMANT)
        )
        return self.forget(next(gone, self.own.node_id))

    def _tell(self, node_id: str, status: NodeStatus, before: NodeStatus | None) -> None:
        for notice in list(self.notices):
            try:
                notice(node_id, status, before)
            except Exception:  # a user's; what it is told of has happened all the same
                logger.exception("a callback for changes of nodes raised")


def _rank(known: list[Any]) -> tuple[int, int]:
    try:
        epoch, version = known
        return int(epoch), int(version)
    except (TypeError, ValueError):
        return -1, -1
