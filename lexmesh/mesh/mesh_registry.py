"""The directory of a mesh: who is there, what each can do, how each fares."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lexmesh.mesh.registry.choice import NONE, Requirements, cost, total_cost
from lexmesh.mesh.registry.node import Node, NodeEntry, NodeStatus, check_capability
from lexmesh.mesh.registry.suspicion import MOST_PHI, SUSPECT_PHI
from lexmesh.mesh.registry.table import NodeTable, Notice
from lexmesh.node_names import check_node_id
from lexmesh.transports.chance import chance
from lexmesh.transports.wall_clock import now_ms

__all__ = ["MeshRegistry"]

MOST_COMPARED = 16
"""Of thousands that could do a task so many are drawn and compared: that costs the same for any number, and keeps all
from choosing the same one (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001)."""


class MeshRegistry:
    """What one node knows of the nodes of its mesh; alone, a directory of what is registered with it.

    Args:
        node_id: this node's name; it is registered from the start.
        capabilities: tasks that it takes.
        addresses: URLs under which others can link to it.
        heartbeat_interval: seconds between heartbeats.
        now: reads the time in milliseconds since 1970-01-01 UTC.
        pick: where chance comes from; the running context's when None.

    Attributes:
        table: entries, heartbeats and statuses; what a mesh exchanges with others.

    Raises:
        ValueError: if a name is none.
    """

    def __init__(
        self,
        node_id: str,
        *,
        capabilities: Iterable[str] = (),
        addresses: Iterable[str] = (),
        heartbeat_interval: float = 30.0,
        now: Callable[[], int] = now_ms,
        pick: random.Random | None = None,
    ) -> None:
        self.node_id = check_node_id(node_id)
        self._now = now
        own = NodeEntry(node_id, now(), 0, _capabilities(capabilities), tuple(addresses))
        self.table = NodeTable(own, heartbeat_interval * 1000, now(), pick or chance())

    # -- registering ------------------------------------------------------------------------------------------------

    def register_node(
        self, node_id: str, capabilities: Iterable[str] = (), *, addresses: Iterable[str] = (), **load: Any
    ) -> None:
        """Registers a node, or says anew what is known of it; counts as a heartbeat.

        In a mesh nodes register themselves: what they say of themselves replaces what was registered here.

        Args:
            node_id: its name.
            capabilities: tasks that it takes.
            addresses: URLs under which it can be linked to.
            **load: fields of Load, such as queue_depth or cpu.

        Raises:
            ValueError: if a name is none, or there are too many nodes.
        """
        now = self._now()
        fields = {"capabilities": _capabilities(capabilities), "addresses": tuple(addresses), "leaving": False}
        if node_id == self.node_id:
            self.table.declare(now, **fields)
            return
        known = self.table.get(check_node_id(node_id))
        entry = NodeEntry(node_id, 0) if known is None else known.entry
        if not self.table.take(entry.changed(**fields), now):
            raise ValueError(f"cannot register {node_id!r}: there are {len(self.table)} nodes already")
        self.table.heartbeat(node_id, entry.epoch, load, now)

    def unregister_node(self, node_id: str) -> bool:
        """Forgets a node; whether it was known. This node cannot be forgotten."""
        return self.table.forget(node_id)

    def set_capabilities(self, capabilities: Iterable[str]) -> None:
        """Says anew which tasks this node takes."""
        self.table.declare(self._now(), capabilities=_capabilities(capabilities))

    def on_change(self, notice: Notice) -> Callable[[], None]:
        """Tells of nodes that come, go or change their status.

        Args:
            notice: callable(node_id, status, status before or None for a new node).

        Returns:
            A function that ends it.

        Raises:
            TypeError: if it cannot be called.
        """
        if not callable(notice):
            raise TypeError(f"a callback must be callable, {type(notice).__name__} is not")
        self.table.notices.append(notice)
        return lambda: self.table.notices.remove(notice) if notice in self.table.notices else None

    # -- looking up -------------------------------------------------------------------------------------------------

    def get_node(self, node_id: str) -> dict[str, Any] | None:
        """What is known of a node; None if nothing is."""
        node = self.table.get(node_id)
        return None if node is None else self._described(node)

    def get_all_nodes(self) -> list[dict[str, Any]]:
        """All nodes, this one too."""
        self.table.sweep(self._now())
        return [self._described(node) for node in self.table]

    def get_active_nodes(self) -> list[dict[str, Any]]:
        """Nodes whose heartbeats come."""
        return self.get_nodes_by_status(NodeStatus.ACTIVE)

    def get_nodes_by_status(self, status: str) -> list[dict[str, Any]]:
        """Nodes of a status.

        Args:
            status: initializing, active, suspect, dormant or disconnected.

        Raises:
            ValueError: if it is another one.
        """
        wanted = NodeStatus(status)
        return [node for node in self.get_all_nodes() if node["status"] == wanted]

    def get_nodes_by_capability(self, capability: str) -> list[str]:
        """Names of the active nodes that take a task."""
        return self.table.able(capability).names()

    def find_best_node_for_task(
        self, task: str, requirements: Mapping[str, Any] | None = None, explain: bool = False
    ) -> Any:
        """Chooses who should do a task: the active node with the least work, round trip and suspicion.

        Args:
            task: the capability that it takes.
            requirements: see Requirements: capabilities, exclude, max_queue_depth, max_rtt, max_cpu.
            explain: whether to say why.

        Returns:
            The node's name, None if there is none. With `explain` a dict: `node`; `candidates` with each node's `cost`
            and its parts, best first; `able`, how many nodes have the capability; `excluded` those that were looked at
            and do not meet the requirements.

        Raises:
            ValueError: if there is no such requirement.
        """
        wanted = Requirements.of(requirements)
        now = self._now()
        pool = self.table.able(task)
        compared: list[tuple[float, float, str]] = []
        excluded = []
        for name in pool.draw(MOST_COMPARED, self.table.pick):
            node = self.table.get(name)
            phi = MOST_PHI if node is None else self.table.phi(node, now)
            if node is None or phi >= SUSPECT_PHI or not (wanted is NONE or wanted.allow(node)):
                excluded.append(name)
            else:
                compared.append((total_cost(node, phi), self.table.pick.random(), name))
        best = min(compared)[2] if compared else None
        if not explain:
            return best
        candidates = [self._explained(name, total, now) for total, _, name in sorted(compared)]
        return {"task": task, "node": best, "able": len(pool), "candidates": candidates, "excluded": excluded}

    def _explained(self, name: str, total: float, now: int) -> dict[str, Any]:
        node = self.table.get(name)
        return {"node": name, "cost": total, **(cost(node, self.table.phi(node, now)) if node else {})}

    def get_mesh_topology(self) -> dict[str, Any]:
        """The mesh as this node sees it.

        Returns:
            `active_nodes`, `total_nodes`; `network_health`, the share of active ones among those that have not said
            goodbye, 0 to 1; `node_statuses` by name; `capabilities`, by name the active nodes; `links`, pairs of names.
        """
        nodes = self.get_all_nodes()
        active = [node for node in nodes if node["status"] == NodeStatus.ACTIVE]
        staying = [node for node in nodes if node["status"] != NodeStatus.DISCONNECTED]
        capabilities = {name: sorted(self.table.able(name).names()) for node in active for name in node["capabilities"]}
        links = {tuple(sorted((node["node_id"], link))) for node in active for link in node["links"]}
        return {
            "active_nodes": len(active),
            "total_nodes": len(nodes),
            "network_health": len(active) / len(staying),
            "node_statuses": {node["node_id"]: str(node["status"]) for node in nodes},
            "capabilities": dict(sorted(capabilities.items())),
            "links": [list(link) for link in sorted(links)],
        }

    def get_node_metrics(self, node_id: str) -> dict[str, Any] | None:
        """How a node fares; None if it is not known.

        Returns:
            `first_seen`, `last_heartbeat` (ms since 1970-01-01 UTC), `total_messages`, `uptime` (s), `current_status`,
            `recursion_depth`, `entropy_level`, `is_active`, `rtt` (ms or None), `queue_depth`, `cpu` (0 to 1),
            `suspicion` (phi).
        """
        now = self._now()
        self.table.sweep(now)
        node = self.table.get(node_id)
        if node is None:
            return None
        started = node.entry.epoch or node.first_seen
        return {
            "first_seen": node.first_seen,
            "last_heartbeat": now if node_id == self.node_id else int(node.suspicion.last),
            "total_messages": node.load.total_messages,
            "uptime": max(0, now - started) / 1000,
            "current_status": str(node.status),
            "recursion_depth": node.load.recursion_depth,
            "entropy_level": node.load.entropy_level,
            "is_active": node.status is NodeStatus.ACTIVE,
            "rtt": node.rtt,
            "queue_depth": node.load.queue_depth,
            "cpu": node.load.cpu,
            "suspicion": self.table.phi(node, now),
        }

    def _described(self, node: Node) -> dict[str, Any]:
        return {
            "node_id": node.entry.node_id,
            "status": str(node.status),
            "capabilities": sorted(node.entry.capabilities),
            "addresses": list(node.entry.addresses),
            "links": list(node.load.links),
            "epoch": node.entry.epoch,
            "version": node.entry.version,
        }


def _capabilities(names: Iterable[str]) -> frozenset[str]:
    return frozenset(check_capability(name) for name in names)
