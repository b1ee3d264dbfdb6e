"""Whether the nodes of a simulation agree, and if not, on what."""

from __future__ import annotations

from collections.abc import Mapping

from lexmesh.mesh.core import MeshCore
from lexmesh.mesh.registry.node import NodeStatus

__all__ = ["disagreement"]


def disagreement(nodes: Mapping[str, MeshCore]) -> str:
    """What nodes that run and reach each other do not yet agree on, as one line; empty if there is nothing.

    They agree once each knows all of them as active and nobody else, links join all of them, and the state that they
    share is the same.
    """
    return _about_links(nodes) or _about_nodes(nodes) or _about_state(nodes)


def _about_nodes(nodes: Mapping[str, MeshCore]) -> str:
    for name, mesh in nodes.items():
        active = {node.entry.node_id for node in mesh.registry.table if node.status is NodeStatus.ACTIVE}
        if missing := sorted(nodes.keys() - active):
            return f"{name} does not know {missing[0]} as active ({len(missing)} of {len(nodes)} missing)"
        if gone := sorted(active - nodes.keys()):
            return f"{name} takes {gone[0]} for active, which does not run"
    return ""


def _about_links(nodes: Mapping[str, MeshCore]) -> str:
    if not nodes:
        return ""
    links = {name: set(mesh.links) for name, mesh in nodes.items()}
    reached: set[str] = set()
    waiting = [next(iter(nodes))]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [other for other in links[name] if name in links.get(other, ())]
    apart = sorted(nodes.keys() - reached)
    return f"no links lead from {next(iter(nodes))} to {apart[0]}" if apart else ""


def _about_state(nodes: Mapping[str, MeshCore]) -> str:
    digests = {
        name: {category: known["digest"] for category, known in mesh.state.get_sync_status()["categories"].items()}
        for name, mesh in nodes.items()
    }
    first = next(iter(digests), "")
    for name, categories in digests.items():
        for category in sorted(categories.keys() & digests[first].keys()):
            if categories[category] != digests[first][category]:
                return f"{name} and {first} do not have the same state in {category!r}"
        if apart := sorted(categories.keys() ^ digests[first].keys()):
            return f"{name} and {first} do not both have state in {apart[0]!r}"
    return ""
