"""What a node's heartbeats say of its work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lexmesh._pipeline import Core
from lexmesh.mesh.registry.entropy import entropy_level
from lexmesh.transports.wall_clock import cpu_seconds

__all__ = ["LoadMeter"]


class LoadMeter:
    """Reads the load of one node; each reading is of the time since the one before.

    Args:
        core: the node's pipeline.
        ledger: makes the node's ledger.
        links: the names of linked nodes.
    """

    def __init__(self, core: Core, ledger: Callable[[], dict[str, Any]], links: Callable[[], list[str]]) -> None:
        self._core = core
        self._ledger = ledger
        self._links = links
        self.begin()

    def begin(self) -> None:
        """The next reading is of the time from now on."""
        self._cpu = cpu_seconds()
        self._wall = time.monotonic()

    def read(self) -> dict[str, Any]:
        """The fields of Load."""
        ledger = self._ledger()
        by_type = (sum(counts["ingress"].values()) for counts in ledger["subjects"].values())
        deepest, self._core.deepest = self._core.deepest, 0
        cpu, wall = self._cpu, self._wall
        self.begin()
        return {
            "queue_depth": ledger["egress"]["in_flight"] + ledger["undecided"],
            "cpu": min(1.0, max(0.0, (self._cpu - cpu) / max(self._wall - wall, 1e-6))),
            "recursion_depth": deepest,
            "entropy_level": entropy_level(by_type),
            "total_messages": ledger["taken"],
            "links": self._links(),
        }
