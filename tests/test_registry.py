"""The directory of a mesh, on virtual time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh.mesh.mesh_registry import MOST_COMPARED, MeshRegistry
from lexmesh.mesh.registry.entropy import entropy_level
from lexmesh.mesh.registry.node import MOST_NUMBER, NodeStatus
from lexmesh.mesh.registry.suspicion import DEAD_PHI, MOST_PHI, SUSPECT_PHI, Suspicion
from lexmesh.mesh.registry.table import MOST_MOVES, MOST_NODES

START = 1_763_791_200_000
SECOND = 1_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def registry(clock: Clock, name: str = "me", **options: Any) -> MeshRegistry:
    return MeshRegistry(name, heartbeat_interval=1.0, now=clock, pick=random.Random(1), **options)


def beat(one: MeshRegistry, name: str, clock: Clock, **load: Any) -> bool:
    node = one.table.get(name)
    assert node is not None
    return one.table.heartbeat(name, node.entry.epoch, load, clock.now)


# -- suspicion --------------------------------------------------------------------------------------------------------


def test_a_killed_node_is_dead_within_three_heartbeats() -> None:
    for jitter in (0, 50, 200):
        pick = random.Random(jitter)
        one = Suspicion(SECOND, START)
        now = START
        for _ in range(100):
            now += SECOND + pick.randint(-jitter, jitter)
            assert one.phi(now) < SUSPECT_PHI
            one.heartbeat(now)
        assert one.phi(now + 3 * SECOND) >= DEAD_PHI
        assert one.phi(now + 1.2 * SECOND) < SUSPECT_PHI


def test_a_node_that_was_busy_before_is_given_more_time() -> None:
    one = Suspicion(SECOND, START)
    now = START
    for number in range(20):
        now += SECOND if number % 5 else 4 * SECOND
        one.heartbeat(now)
    assert one.phi(now + 4 * SECOND) < DEAD_PHI


def test_phi_grows_with_silence_and_has_an_end() -> None:
    one = Suspicion(SECOND, START)
    values = [one.phi(START + passed) for passed in range(0, 600 * SECOND, 250)]
    assert values == sorted(values)
    assert values[0] < 0.1
    assert values[-1] == MOST_PHI


def test_a_heartbeat_out_of_order_does_no_harm() -> None:
    one = Suspicion(SECOND, START)
    one.heartbeat(START + 5 * SECOND)
    one.heartbeat(START + 2 * SECOND)
    assert one.last == START + 5 * SECOND
    assert one.phi(START + 5 * SECOND) < SUSPECT_PHI


def watched(clock: Clock) -> MeshRegistry:
    """A registry that is looked at each quarter of a second, and has heard another node's heartbeats."""
    one = registry(clock)
    one.table.most_pause = 500
    one.register_node("other", ["task"])
    for _ in range(10):
        for _ in range(4):
            clock.now += 250
            one.table.sweep(clock.now)
        assert beat(one, "other", clock)
    return one


def dormant_after(one: MeshRegistry, clock: Clock) -> int:
    """Milliseconds until a node that is silent from now on is taken for dead."""
    begun = clock.now
    while one.get_node("other")["status"] != "dormant":
        clock.now += 250
        one.table.sweep(clock.now)
    return clock.now - begun


@pytest.mark.parametrize("passed", [2 * SECOND, 10 * SECOND, 3_600 * SECOND])
@pytest.mark.parametrize("heard_first", [False, True])
def test_time_in_which_this_node_did_not_run_blames_nobody(passed: int, heard_first: bool) -> None:
    clock = Clock()
    one = watched(clock)
    heard: list[Any] = []
    one.on_change(lambda *change: heard.append(change))
    clock.now += 500 + passed
    if heard_first:
        assert beat(one, "other", clock)
    assert one.find_best_node_for_task("task") == "other"
    one.table.sweep(clock.now)
    assert beat(one, "other", clock)
    assert heard == []
    assert 2 * SECOND < dormant_after(one, clock) <= 3 * SECOND, "nor does the pause make it patient"


def test_a_clock_that_is_set_back_does_not_hide_who_is_gone() -> None:
    clock = Clock()
    one = watched(clock)
    clock.now -= 3_600 * SECOND
    assert dormant_after(one, clock) <= 3 * SECOND


# -- statuses ---------------------------------------------------------------------------------------------------------


def test_a_node_goes_from_initializing_to_active_to_suspect_to_dormant_and_back() -> None:
    clock = Clock()
    here, there = registry(clock), registry(clock, "there", capabilities=["ritual_processing"])
    heard: list[Any] = []
    here.on_change(lambda name, status, before: heard.append((name, str(status), before and str(before))))
    assert here.table.merge(there.table.newer_than(here.table.digest()), clock.now) == ["there"]
    assert here.get_nodes_by_capability("ritual_processing") == []
    for _ in range(10):
        clock.now += SECOND
        assert beat(here, "there", clock)
    assert here.get_nodes_by_capability("ritual_processing") == ["there"]
    assert here.find_best_node_for_task("ritual_processing") == "there"
    clock.now += 1_900
    assert here.get_nodes_by_status("suspect") == [here.get_node("there")]
    assert here.find_best_node_for_task("ritual_processing") is None
    clock.now += 1_100
    assert [node["node_id"] for node in here.get_nodes_by_status("dormant")] == ["there"]
    assert beat(here, "there", clock)
    assert here.find_best_node_for_task("ritual_processing") == "there"
    there.table.declare(clock.now, leaving=True)
    here.table.merge(there.table.newer_than(here.table.digest()), clock.now)
    assert not beat(here, "there", clock)
    assert heard == [
        ("there", "initializing", None),
        ("there", "active", "initializing"),
        ("there", "suspect", "active"),
        ("there", "dormant", "suspect"),
        ("there", "active", "dormant"),
        ("there", "disconnected", "active"),
    ]


def test_a_suspect_is_never_chosen_even_before_anybody_looked() -> None:
    clock = Clock()
    one = registry(clock)
    one.register_node("other", ["task"])
    assert one.find_best_node_for_task("task") == "other"
    clock.now += 1_900
    assert one.find_best_node_for_task("task") is None
    assert one.find_best_node_for_task("task", explain=True)["excluded"] == ["other"]


def test_a_restarted_node_begins_anew_and_its_old_heartbeats_count_no_more() -> None:
    clock = Clock()
    here, there = registry(clock), registry(clock, "there", capabilities=["old"])
    here.table.merge(there.table.newer_than({}), clock.now)
    old_epoch = clock.now
    assert beat(here, "there", clock, total_messages=7)
    clock.now += 5
    again = registry(clock, "there", capabilities=["new"])
    here.table.merge(again.table.newer_than({}), clock.now)
    assert not here.table.heartbeat("there", old_epoch, {}, clock.now)
    assert here.get_nodes_by_capability("old") == []
    assert beat(here, "there", clock)
    assert here.get_nodes_by_capability("new") == ["there"]
    here.table.merge(there.table.newer_than({}), clock.now)
    assert here.get_nodes_by_capability("new") == ["there"]


def test_only_a_node_itself_changes_its_entry() -> None:
    clock = Clock()
    here, liar = registry(clock, capabilities=["mine"]), registry(clock, "liar")
    forged = {**here.table.own.data(), "version": 99, "capabilities": ["forged"]}
    assert here.table.merge([forged], clock.now) == ["me"], "it moves on past what was forged"
    assert here.table.own.version == 100
    assert here.get_nodes_by_capability("mine") == ["me"]
    assert here.table.refused["own"] == 1
    here.set_capabilities(["changed"])
    liar.table.merge(here.table.newer_than(liar.table.digest()), clock.now)
    node = liar.get_node("me")
    assert node is not None
    assert node["capabilities"] == ["changed"]


def exchange(one: MeshRegistry, other: MeshRegistry, clock: Clock) -> None:
    """Brings two directories to the same, as links do when they begin."""
    for here, there in ((one, other), (other, one), (one, other)):
        there.table.merge(here.table.newer_than(there.table.digest()), clock.now)


def test_a_node_whose_clock_was_set_back_over_a_restart_moves_on_past_its_earlier_life() -> None:
    clock = Clock()
    here, there = registry(clock), registry(clock, "there", capabilities=["old"])
    exchange(here, there, clock)
    assert beat(here, "there", clock)
    there.table.declare(clock.now, leaving=True)
    exchange(here, there, clock)
    clock.now -= 3_600 * SECOND
    again = registry(clock, "there", capabilities=["new"])
    exchange(here, again, clock)
    assert again.table.own.epoch > there.table.own.epoch
    assert beat(again, "there", clock) and beat(here, "there", clock)
    assert [str(one.get_node("there")["status"]) for one in (here, again)] == ["active", "active"]
    assert here.get_nodes_by_capability("new") == ["there"] and here.get_nodes_by_capability("old") == []
    epoch = again.table.own.epoch
    exchange(here, again, clock)
    assert again.table.own.epoch == epoch


def test_two_nodes_of_a_name_do_not_outrank_each_other_for_ever() -> None:
    clock = Clock()
    one = registry(clock)
    clock.now += 1
    other = registry(clock, capabilities=["other"])
    for _ in range(10 * MOST_MOVES):
        clock.now += 1
        exchange(one, other, clock)
    epochs = one.table.own.epoch, other.table.own.epoch
    exchange(one, other, clock)
    assert (one.table.own.epoch, other.table.own.epoch) == epochs
    assert one.table.refused["own"] >= MOST_MOVES
    forged = {**one.table.own.data(), "epoch": MOST_NUMBER - 1}
    fresh = registry(clock)
    assert fresh.table.merge([forged], clock.now) == []
    assert fresh.table.own.epoch < MOST_NUMBER - 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.booleans()), max_size=30), st.integers(0, 99)
)
def test_directories_agree_whatever_reaches_them_in_which_order(steps: list[Any], seed: int) -> None:
    clock = Clock()
    ones = {name: registry(clock, name) for name in "abc"}
    sent: list[dict[str, Any]] = []
    for name, other, changes in steps:
        clock.now += 1
        if changes:
            ones[name].set_capabilities([f"task{clock.now}"])
        news = ones[name].table.newer_than(ones[other].table.digest())
        sent += news
        ones[other].table.merge(news, clock.now)
    sent += [ones[name].table.own.data() for name in "abc"]
    random.Random(seed).shuffle(sent)
    for one in ones.values():
        one.table.merge(sent * 2, clock.now)
    assert ones["a"].table.digest() == ones["b"].table.digest() == ones["c"].table.digest()
    assert all(one.table.newer_than(ones["a"].table.digest()) == [] for one in ones.values())


RUBBISH: list[Any] = [
    None, 3, "x", [], {}, {"node_id": "n"},
    {"node_id": "", "epoch": 1, "version": 1, "capabilities": [], "addresses": [], "leaving": False},
    {"node_id": "n", "epoch": -1, "version": 1, "capabilities": [], "addresses": [], "leaving": False},
    {"node_id": "n", "epoch": 1, "version": True, "capabilities": [], "addresses": [], "leaving": False},
    {"node_id": "n", "epoch": 1, "version": 1, "capabilities": ["a b"], "addresses": [], "leaving": False},
    {"node_id": "n", "epoch": 1, "version": 1, "capabilities": ["c"] * 257, "addresses": [], "leaving": False},
    {"node_id": "n", "epoch": 1, "version": 1, "capabilities": [], "addresses": ["x" * 2_000], "leaving": False},
]  # fmt: skip


def test_rubbish_is_counted_and_changes_nothing() -> None:
    clock = Clock()
    one = registry(clock)
    assert one.table.merge(RUBBISH, clock.now) == []
    assert one.table.refused["malformed"] == len(RUBBISH)
    assert len(one.get_all_nodes()) == 1
    one.register_node("n")
    assert beat(one, "n", clock, cpu=7, queue_depth=-1, entropy_level="x", links="abc", recursion_depth=1 << 40)
    metrics = one.get_node_metrics("n")
    assert metrics is not None
    assert (metrics["cpu"], metrics["queue_depth"], metrics["entropy_level"]) == (0, 0, 0)


def test_the_number_of_nodes_is_bounded_and_the_dead_make_room() -> None:
    clock = Clock()
    one = registry(clock)
    for number in range(MOST_NODES - 1):
        one.register_node(f"n{number}")
    with pytest.raises(ValueError, match="there are 10000 nodes already"):
        one.register_node("late")
    clock.now += 60 * SECOND
    one.table.sweep(clock.now)
    one.register_node("late")
    assert len(one.table) == MOST_NODES


# -- choosing ---------------------------------------------------------------------------------------------------------


def test_the_node_with_least_work_is_chosen_and_the_choice_can_be_explained() -> None:
    clock = Clock()
    one = registry(clock)
    one.register_node("busy", ["fibonacci"], cpu=0.9)
    one.register_node("queued", ["fibonacci"], queue_depth=500)
    one.register_node("calm", ["fibonacci", "gpu"], cpu=0.1)
    one.register_node("idle", ["other"])
    assert one.find_best_node_for_task("fibonacci") == "calm"
    assert one.find_best_node_for_task("fibonacci", {"exclude": ["calm"]}) == "queued"
    assert one.find_best_node_for_task("fibonacci", {"capabilities": ["gpu"], "max_cpu": 0.05}) is None
    assert one.find_best_node_for_task("unheard-of") is None
    told = one.find_best_node_for_task("fibonacci", {"max_queue_depth": 100}, explain=True)
    assert told["node"] == "calm"
    assert [candidate["node"] for candidate in told["candidates"]] == ["calm", "busy"]
    assert told["excluded"] == ["queued"]
    assert told["candidates"][1]["cpu"] == 0.9
    with pytest.raises(ValueError, match="unknown requirement 'speed'; there are capabilities, exclude"):
        one.find_best_node_for_task("fibonacci", {"speed": 1})


def test_equal_nodes_get_equal_shares() -> None:
    clock = Clock()
    one = registry(clock)
    names = [f"n{number}" for number in range(100)]
    for name in names:
        one.register_node(name, ["task"])
    chosen = [one.find_best_node_for_task("task") for _ in range(20_000)]
    counts = [chosen.count(name) for name in names]
    assert max(counts) < 1.4 * min(counts) + 20
    assert 8 < len(one.find_best_node_for_task("task", explain=True)["candidates"]) <= MOST_COMPARED


def test_the_topology_counts_what_is_there() -> None:
    clock = Clock()
    one = registry(clock, capabilities=["serve"])
    for name in ("b", "c"):
        one.register_node(name, ["task"], links=["me"])
    clock.now += SECOND
    beat(one, "b", clock, links=["me", "c"])
    clock.now += 2_100
    beat(one, "b", clock)
    topology = one.get_mesh_topology()
    assert topology == {
        "active_nodes": 2,
        "total_nodes": 3,
        "network_health": pytest.approx(2 / 3),
        "node_statuses": {"me": "active", "b": "active", "c": "dormant"},
        "capabilities": {"serve": ["me"], "task": ["b"]},
        "links": [["b", "c"], ["b", "me"]],
    }
    metrics = one.get_node_metrics("b")
    assert metrics is not None
    assert metrics["last_heartbeat"] == clock.now
    assert metrics["is_active"]
    assert metrics["uptime"] == pytest.approx(3.1)
    assert one.get_node_metrics("nobody") is None
    assert one.unregister_node("c")
    assert not one.unregister_node("me")
    assert one.get_mesh_topology()["network_health"] == 1


def test_a_status_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="'gone' is not a valid NodeStatus"):
        registry(Clock()).get_nodes_by_status("gone")
    assert [str(status) for status in NodeStatus] == ["initializing", "active", "suspect", "dormant", "disconnected"]


@pytest.mark.parametrize(
    ("counts", "level"), [([], 0), ([5], 0), ([5, 5], 1), ([5, 0], 0), ([3, 3, 3], 1), ([1_000_000, 1], 2.1e-5)]
)
def test_entropy_is_how_evenly_messages_spread(counts: list[int], level: float) -> None:
    assert entropy_level(counts) == pytest.approx(level, rel=0.05)
