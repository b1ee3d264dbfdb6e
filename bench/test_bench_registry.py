"""Looking up and choosing among ten thousand nodes that can all do the task."""

import random

import pytest

from lexmesh.mesh.mesh_registry import MeshRegistry

NODES = 9_999
MOST_SECONDS = 50e-6


@pytest.fixture(scope="module")
def registry() -> MeshRegistry:
    pick = random.Random(1)
    one = MeshRegistry("me", pick=pick)
    for number in range(NODES):
        one.register_node(f"node-{number}", ["task"], cpu=pick.random(), queue_depth=pick.randrange(1000))
    return one


@pytest.mark.benchmark(group="10,000 nodes")
def test_best_node(benchmark, registry: MeshRegistry) -> None:  # type: ignore[no-untyped-def]
    assert benchmark(registry.find_best_node_for_task, "task").startswith("node-")
    assert benchmark.disabled or benchmark.stats.stats.median <= MOST_SECONDS


@pytest.mark.benchmark(group="10,000 nodes")
def test_lookup_by_capability(benchmark, registry: MeshRegistry) -> None:  # type: ignore[no-untyped-def]
    assert len(benchmark(registry.get_nodes_by_capability, "task")) == NODES
    assert benchmark.disabled or benchmark.stats.stats.median <= MOST_SECONDS
