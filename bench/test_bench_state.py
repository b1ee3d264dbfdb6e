"""A hundred thousand keys: writing them, and bringing a new node in step."""

import orjson
import pytest

from lexmesh.mesh.synchronizer import StateSynchronizer

KEYS = 100_000
VALUE = {"status": "active", "recursion_depth": 13, "last_result": 233}


def written(name: str) -> StateSynchronizer:
    one = StateSynchronizer(name)
    for number in range(KEYS):
        one.update_local_state("agents", f"agent-{number}", VALUE)
    return one


def bring_in_step(full: StateSynchronizer, new: StateSynchronizer) -> int:
    """Lets the two talk until they have no more to say; the bytes that would cross a network."""
    nodes = {one.node_id: one for one in (full, new)}
    waiting: list[tuple[str, str, str, bytes]] = []
    for one in nodes.values():
        one.send_with(
            lambda target, kind, data, source=one.node_id: waiting.append((source, target, kind, orjson.dumps(data)))
        )
    new.begin_round(full.node_id)
    size = 0
    while waiting:
        source, target, kind, raw = waiting.pop(0)
        size += len(raw)
        nodes[target].receive(source, kind, orjson.loads(raw))
    return size


@pytest.mark.benchmark(group="100,000 keys")
def test_write(benchmark) -> None:  # type: ignore[no-untyped-def]
    one = benchmark.pedantic(written, ("full",), rounds=1)
    assert len(one.get_local_state("agents")) == KEYS


@pytest.mark.benchmark(group="100,000 keys")
def test_a_new_node_comes_into_step(benchmark) -> None:  # type: ignore[no-untyped-def]
    full = written("full")
    new = StateSynchronizer("new")
    benchmark.extra_info["bytes"] = benchmark.pedantic(bring_in_step, (full, new), rounds=1)
    assert new.get_local_state("agents", "agent-99999") == VALUE
    assert new.get_sync_status()["categories"]["agents"] == full.get_sync_status()["categories"]["agents"]
    benchmark.extra_info["bytes_of_an_idle_round"] = bring_in_step(full, new)
