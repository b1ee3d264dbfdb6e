"""Whom a node links to by itself: bounded, and the mesh hangs together."""

import pytest

from lexmesh.mesh.neighbours import neighbours
from lexmesh.mesh.registry.node import Node, NodeEntry, NodeStatus
from lexmesh.mesh.registry.suspicion import Suspicion


def node(name: str, status: NodeStatus = NodeStatus.ACTIVE, *addresses: str) -> Node:
    entry = NodeEntry(name, 1, addresses=addresses or (f"ws://{name}:1",))
    return Node(entry, 1, Suspicion(1000, 0), status)


@pytest.mark.parametrize("count", [2, 9, 200])
@pytest.mark.parametrize("most", [1, 8])
def test_all_nodes_hang_together(count: int, most: int) -> None:
    nodes = [node(f"n{number}") for number in range(count)]
    links: dict[str, set[str]] = {one.entry.node_id: set() for one in nodes}
    for name in list(links):
        found = neighbours(name, nodes, most)
        assert len(found) == min(most, count - 1)
        assert name not in found
        for other in found:
            links[other].add(name)
            links[name].add(other)
    reached, waiting = set(), ["n0"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting.extend(links[name] - reached)
    assert len(reached) == count


def test_only_nodes_that_are_there_and_can_be_reached() -> None:
    nodes = [
        node("own"),
        node("well", NodeStatus.ACTIVE, "ws://a:1", "http://a", "grpc://a:2"),
        node("new", NodeStatus.INITIALIZING),
        node("dead", NodeStatus.DORMANT),
        node("left", NodeStatus.DISCONNECTED),
        node("odd", NodeStatus.ACTIVE, "http://odd"),
    ]
    assert neighbours("own", nodes, 8) == {"well": ("ws://a:1", "grpc://a:2"), "new": ("ws://new:1",)}
    assert neighbours("own", nodes, 0) == {}
