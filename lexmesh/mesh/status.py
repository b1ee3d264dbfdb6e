"""How a mesh stands, as one of its nodes sees it."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.registry.node import NodeStatus
from lexmesh.transports.wall_clock import now_ms

__all__ = ["mesh_status"]


def mesh_status(
    registry: MeshRegistry,
    *,
    status: NodeStatus,
    mesh_name: str,
    uptime: float,
    links: list[str],
    faults: dict[str, str],
    redis: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Describes a mesh.

    Args:
        registry: the node's.
        status: of the node.
        mesh_name: the mesh.
        uptime: seconds.
        links: names of the nodes that it is linked to.
        faults: by URL, why there is no link to a peer.
        redis: how the node's part of the mesh on Redis stands; None where it has none.

    Returns:
        `node_id`, `status`, `mesh_name`; `connected_nodes`, how many other nodes are active, linked directly or not;
        `uptime` (s); `average_entropy` (0 to 1) and `total_recursion_depth` over the active nodes; `nodes`, each with
        its entry, metrics and `heartbeat_age` (s); `links`, `faults` and `redis`.
    """
    nodes = [{**node, **(registry.get_node_metrics(node["node_id"]) or {})} for node in registry.get_all_nodes()]
    now = now_ms()
    for node in nodes:
        node["heartbeat_age"] = max(0, now - node["last_heartbeat"]) / 1000
    active = [node for node in nodes if node["status"] == NodeStatus.ACTIVE]
    return {
        "node_id": registry.node_id,
        "status": str(status),
        "mesh_name": mesh_name,
        "connected_nodes": sum(node["node_id"] != registry.node_id for node in active),
        "uptime": uptime,
        "average_entropy": fmean(node["entropy_level"] for node in active) if active else 0.0,
        "total_recursion_depth": sum(node["recursion_depth"] for node in active),
        "nodes": nodes,
        "links": links,
        "faults": faults,
        "redis": redis,
    }
