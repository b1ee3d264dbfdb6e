"""Where Redis has no patterns: each node tells which wildcards it listens to, and who publishes heeds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lexmesh.mesh.membership import Membership
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.registry.node import NodeStatus
from lexmesh.transports.wall_clock import now_ms

__all__ = ["GONE", "Wildcards"]

GONE = (NodeStatus.DORMANT, NodeStatus.DISCONNECTED)

PAUSE_SECONDS = 0.1
"""Between two times that the others are told: clients that subscribe one by one would make the whole mesh talk."""


class Wildcards:
    """The wildcards of one node in its entry, and those of the others in theirs.

    Args:
        registry: has the entries of all nodes.
        members: spreads this node's, and tells of news.
        on_others: callable(patterns), told of `others` when they have changed.

    Attributes:
        others: what the other nodes listen to.
    """

    def __init__(self, registry: MeshRegistry, members: Membership, on_others: Callable[[set[str]], None]) -> None:
        self._table = registry.table
        self._registry = registry
        self._members = members
        self._on_others = on_others
        self.others: set[str] = set()
        self._own: set[str] = set()
        self._is_due = False
        self._not_before = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._stop_watching: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Heeds what the others tell from now on."""
        self._members.directory.on_news.append(self._soon)
        self._stop_watching = self._registry.on_change(lambda *_: self._soon())
        self._soon()

    def stop(self) -> None:
        """Heeds and tells nothing more."""
        self._members.directory.on_news.remove(self._soon)
        self._stop_watching()
        if self._later is not None:
            self._later.cancel()

    # -- this node's ------------------------------------------------------------------------------------------------

    def listen(self, patterns: set[str]) -> None:
        """This node listens to these and no others."""
        self._own = patterns
        now = asyncio.get_running_loop().time()
        if self._later is None and now < self._not_before:
            self._later = asyncio.get_running_loop().call_later(self._not_before - now, self._declare)
        elif self._later is None:
            self._declare()

    def _declare(self) -> None:
        self._later = None
        wildcards = tuple(sorted(self._own))
        if wildcards != self._table.own.wildcards:
            self._not_before = asyncio.get_running_loop().time() + PAUSE_SECONDS
            self._table.declare(now_ms(), wildcards=wildcards)
            self._members.directory.announce()

    # -- those of others --------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        """At the end of this loop turn: news come many at a time."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._gather)

    def _gather(self) -> None:
        self._is_due = False
        others = [node.entry for node in self._table if node.entry.wildcards and node.status not in GONE]
        found = {pattern for entry in others if entry is not self._table.own for pattern in entry.wildcards}
        if found != self.others:
            self.others = found
            self._on_others(found)
