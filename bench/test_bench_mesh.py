"""Shared state over real links, each node a process: a change at ten nodes, a new node, and a quiet mesh."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import pytest
from driven_nodes import DrivenNode, all_known

NODES = 10
KEYS = 100_000
VALUE = {"status": "active", "recursion_depth": 13, "last_result": 233}
MOST_SPREAD_SECONDS = 0.1
MOST_CATCH_UP_SECONDS = 5.0
QUIET_SECONDS = 5.0
QUIET = {"heartbeat_interval": 3_600.0, "sync_interval": 0.1}
"""Little but comparisons of state."""


def node(name: str, *peers: DrivenNode, **options: object) -> DrivenNode:
    urls = [f"ws://127.0.0.1:{peer.port}" for peer in peers]
    return DrivenNode({"node_id": name, "websocket_port": 0, "peers": urls, "drain_seconds": 1.0, **options})


@contextmanager
def in_step(keys: int) -> Iterator[list[DrivenNode]]:
    """Two nodes that both have so many keys."""
    with node("full", **QUIET) as full:
        full.ask("fill", keys, VALUE)
        with node("new", full, **QUIET) as new:
            new.ask("expect_digest", full.ask("digest"))
            yield [full, new]


@pytest.mark.benchmark(group="shared state over links")
def test_a_change_reaches_ten_nodes(benchmark) -> None:  # type: ignore[no-untyped-def]
    numbers = count()
    with ExitStack() as stack:
        nodes = [stack.enter_context(node("n0"))]
        for number in range(1, NODES):
            nodes.append(stack.enter_context(node(f"n{number}", nodes[-1])))
        all_known(nodes)

        def expect() -> tuple[tuple[str], dict[str, object]]:
            key = f"change {next(numbers)}"
            for one in nodes[1:]:
                one.begin("expect", key)
            return (key,), {}

        def change(key: str) -> None:
            nodes[0].ask("write", key, VALUE)
            assert [one.answer() for one in nodes[1:]] == [VALUE] * (NODES - 1)

        benchmark.pedantic(change, setup=expect, rounds=50, warmup_rounds=2)
    assert benchmark.disabled or benchmark.stats.stats.max <= MOST_SPREAD_SECONDS


@pytest.mark.benchmark(group="shared state over links")
def test_a_new_node_comes_into_step(benchmark) -> None:  # type: ignore[no-untyped-def]
    with node("full") as full, node("new") as new:
        full.ask("fill", KEYS, VALUE)
        digest = full.ask("digest")

        def link() -> None:
            new.ask("link", f"ws://127.0.0.1:{full.port}")
            new.ask("expect_digest", digest)

        benchmark.pedantic(link, rounds=1)
        assert new.ask("expect", f"key {KEYS - 1}") == VALUE
    assert benchmark.disabled or benchmark.stats.stats.max <= MOST_CATCH_UP_SECONDS


@pytest.mark.benchmark(group="shared state over links")
def test_a_quiet_mesh_costs_the_same_for_any_number_of_keys(benchmark) -> None:  # type: ignore[no-untyped-def]
    received = {}

    def compare() -> None:
        for keys in (10, KEYS):
            with in_step(keys) as nodes:
                before = [one.ask("received") for one in nodes]
                threading.Event().wait(QUIET_SECONDS)
                received[keys] = sum(one.ask("received") for one in nodes) - sum(before)

    benchmark.pedantic(compare, rounds=1)
    benchmark.extra_info["bytes in five seconds with 10 keys"] = received[10]
    benchmark.extra_info["bytes in five seconds with 100,000 keys"] = received[KEYS]
    assert 0 < received[KEYS] < 1.2 * received[10]
