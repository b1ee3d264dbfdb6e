"""Who is best for a task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lexmesh.mesh.registry.node import Node
from lexmesh.mesh.registry.suspicion import SUSPECT_PHI

__all__ = ["Requirements", "cost", "total_cost"]

# What makes a node as bad as one whose loop has no time left at all:
FULL_QUEUE = 1_000  # messages waiting
LONG_ROUND_TRIP = 1_000.0  # milliseconds


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a node must have to be chosen.

    Args:
        capabilities: further capabilities.
        exclude: names of nodes that must not be chosen.
        max_queue_depth: messages that may wait there; None for any number.
        max_rtt: milliseconds there and back; None for any, and for nodes to which it was never measured.
        max_cpu: share of busy loop time, 0 to 1.
    """

    capabilities: Collection[str] = ()
    exclude: Collection[str] = ()
    max_queue_depth: int | None = None
    max_rtt: float | None = None
    max_cpu: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Requirements:
        """From a dict of the fields above.

        Raises:
            ValueError: if it has another key; names it.
        """
        if not given:
            return NONE
        unknown = sorted(given.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise ValueError(f"unknown requirement {unknown[0]!r}; there are {known}")
        return cls(**given)

    def allow(self, node: Node) -> bool:
        """Whether a node has all of it."""
        load = node.load
        return (
            node.entry.node_id not in self.exclude
            and node.entry.capabilities.issuperset(self.capabilities)
            and (self.max_queue_depth is None or load.queue_depth <= self.max_queue_depth)
            and (self.max_rtt is None or node.rtt is None or node.rtt <= self.max_rtt)
            and (self.max_cpu is None or load.cpu <= self.max_cpu)
        )


NONE = Requirements()


def total_cost(node: Node, phi: float) -> float:
    """What speaks against a node: the sum of the parts that `cost` tells.

    Args:
        node: the node.
        phi: its suspicion now.
    """
    load = node.load
    total = load.cpu + min(1.0, load.queue_depth / FULL_QUEUE) + min(1.0, phi / SUSPECT_PHI)
    return total if node.rtt is None else total + min(1.0, node.rtt / LONG_ROUND_TRIP)


def cost(node: Node, phi: float) -> dict[str, float]:
    """What speaks against a node, part by part, each from 0 to 1."""
    return {
        "queue": min(1.0, node.load.queue_depth / FULL_QUEUE),
        "cpu": node.load.cpu,
        "rtt": min(1.0, (node.rtt or 0.0) / LONG_ROUND_TRIP),
        "suspicion": min(1.0, phi / SUSPECT_PHI),
    }
