"""Queue groups over a mesh: each node tells how many members it has, and all reckon alike whose turn it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from lexmesh.mesh.membership import Membership
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.registry.node import Node, NodeStatus
from lexmesh.queue_groups import Key, QueueGroups
from lexmesh.transports.wall_clock import now_ms

__all__ = ["GroupShares"]

PAUSE_SECONDS = 0.05
"""Between two times that the others are told: a client that joins and leaves would make the whole mesh talk."""

AGAIN_SECONDS = 0.5
"""How often it is looked whether a node whose link was lost is there all the same."""


class GroupShares:
    """The queue groups of one node among those of the others.

    Args:
        groups: the node's own.
        registry: has the entries of all nodes.
        members: tells of news, and of links that are lost.
    """

    def __init__(self, groups: QueueGroups, registry: MeshRegistry, members: Membership) -> None:
        self._groups = groups
        self._table = registry.table
        self._members = members
        self._lost: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_due = False
        self._will_declare = False
        self._not_before = 0.0
        groups.on_change.append(self._soon)
        members.directory.on_news.append(self._soon)
        members.on_lost.append(self._on_lost)
        registry.on_change(lambda *_: self._soon())

    def start(self) -> None:
        """Tells the others, and reckons from now on."""
        self._loop = asyncio.get_running_loop()
        self._will_declare = False
        self._not_before = 0.0
        self._reckon()

    def _soon(self) -> None:
        """At the end of this loop turn: many may join in it."""
        if self._loop is not None and not self._loop.is_closed() and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._reckon)

    def _on_lost(self, node: str) -> None:
        """A node that is gone is missed at once, not only when its heartbeats are."""
        self._lost[node] = now_ms()
        self._soon()

    def _reckon(self) -> None:
        self._is_due = False
        self._declare()
        if not len(self._groups):
            self._lost.clear()
            return
        for name in list(self._lost):
            if (node := self._table.get(name)) is None or self._takes(node):
                self._lost.pop(name, None)
        shares: dict[Key, list[tuple[str, int]]] = defaultdict(list)
        own = self._groups.counts()
        for node in self._table:
            if node.entry.groups and self._takes(node):
                for pattern, name, members in node.entry.groups:
                    if (pattern, name) in own:
                        shares[pattern, name].append((node.entry.node_id, members))
        for key in own:
            self._groups.arrange(key, shares[key])
        if any(self._is_active(name) for name in self._lost) and self._loop is not None:
            self._loop.call_later(AGAIN_SECONDS, self._soon)

    def _declare(self) -> None:
        groups = tuple(sorted((*key, members) for key, members in self._groups.counts().items()))
        if groups == self._table.own.groups or self._loop is None:
            return
        now = self._loop.time()
        if now >= self._not_before:
            self._not_before = now + PAUSE_SECONDS
            self._table.declare(now_ms(), groups=groups)
            self._members.directory.announce()
        elif not self._will_declare:
            self._will_declare = True
            self._loop.call_later(self._not_before - now, self._declare_late)

    def _declare_late(self) -> None:
        self._will_declare = False
        self._soon()

    def _is_active(self, name: str) -> bool:
        node = self._table.get(name)
        return node is not None and node.status is NodeStatus.ACTIVE

    def _takes(self, node: Node) -> bool:
        """Whether a node takes what it is elected for, as far as is known."""
        name = node.entry.node_id
        if node.status is not NodeStatus.ACTIVE:
            return False
        lost = self._lost.get(name)
        return lost is None or self._members.links.get(name) is not None or node.suspicion.last > lost
