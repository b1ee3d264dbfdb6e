"""Shared state: the laws that make replicas agree, and what users see of it. Time is virtual throughout."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmesh.mesh.state.register import Register, by_time, by_version, join
from lexmesh.mesh.state.replica import Replica
from lexmesh.mesh.state.stamp import MOST_AHEAD_MS, AheadError, HybridClock, Stamp
from lexmesh.mesh.synchronizer import StateSynchronizer

START = 1_763_791_200_000
NODES = ("a", "b", "c")
KEYS = ("x", "y")
FEW = 500
MANY = pytest.param(10_000, marks=pytest.mark.soak)


def union(a: list[int], b: list[int]) -> list[int]:
    return sorted({*a, *b})


STRATEGIES: dict[str, Any] = {"latest": "latest_wins", "highest": "highest_version", "both": union}
RANKS = {"latest": by_time, "highest": by_version, "both": None}

# what one node does: write, delete, or take in what another one knows of a key at that moment
ACTIONS = st.lists(
    st.tuples(st.sampled_from("wwdm"), st.integers(0, 2), st.integers(0, 2), st.sampled_from(KEYS), st.integers(0, 5)),
    max_size=14,
)
SKEWS = st.tuples(*[st.integers(-30_000, 30_000)] * 3)
Law = Callable[["History", random.Random], None]


def hold(law: Law, category: str, examples: int) -> None:
    """Runs a law on so many histories of three replicas."""

    @settings(max_examples=examples, deadline=None, database=None)
    @given(actions=ACTIONS, skews=SKEWS, seed=st.integers(0, 1 << 32))
    def on_all(actions: list[Any], skews: tuple[int, ...], seed: int) -> None:
        history = History(category, skews)
        history.run(actions)
        law(history, random.Random(seed))

    on_all()


class History:
    """Three replicas whose clocks differ; every register that any of them ever had of each key."""

    def __init__(self, category: str, skews: tuple[int, ...]) -> None:
        self.category = category
        self.replicas = [Replica(node, STRATEGIES) for node in NODES]
        self.skews = skews
        self.now = START
        self.registers: dict[str, list[Register]] = {key: [] for key in KEYS}
        self.sent: list[tuple[str, Register]] = []

    def time(self, at: int) -> int:
        return self.now + self.skews[at]

    def run(self, actions: list[tuple[str, int, int, str, int]]) -> None:
        for action, at, other, key, number in actions:
            self.now += number * 700
            replica = self.replicas[at]
            if action == "w":
                replica.write(self.category, key, [number], self.time(at))
            elif action == "d":
                replica.delete(self.category, key, self.time(at))
            else:
                self.deliver(at, key, self.replicas[other].register(self.category, key))
            register = replica.register(self.category, key)
            self.registers[key].append(register)
            self.sent.append((key, register))

    def deliver(self, at: int, key: str, register: Register) -> None:
        self.replicas[at].merge(self.category, key, register, self.time(at))

    def values(self) -> list[dict[str, Any]]:
        return [{key: one.value(self.category, key) for key in KEYS} for one in self.replicas]


@pytest.mark.parametrize("category", STRATEGIES)
@pytest.mark.parametrize("examples", [FEW, MANY])
def test_joining_is_associative_commutative_and_idempotent(category: str, examples: int) -> None:
    rank = RANKS[category]

    def law(history: History, pick: random.Random) -> None:
        for registers in filter(None, history.registers.values()):
            a, b, c = (pick.choice(registers) for _ in range(3))
            ab, bc = join(a, b, rank)[0], join(b, c, rank)[0]
            assert same(ab, join(b, a, rank)[0])
            assert same(join(ab, c, rank)[0], join(a, bc, rank)[0])
            assert same(join(a, a, rank)[0], a)
            assert same(join(ab, b, rank)[0], ab)

    hold(law, category, examples)


def same(a: Register, b: Register) -> bool:
    return a.writes == b.writes and dict(a.seen or {}) == dict(b.seen or {})


@pytest.mark.parametrize("category", STRATEGIES)
@pytest.mark.parametrize("examples", [FEW, MANY])
def test_replicas_agree_after_whatever_way_messages_take(category: str, examples: int) -> None:
    def law(history: History, pick: random.Random) -> None:
        for key, register in pick.choices(history.sent, k=len(history.sent)) if history.sent else ():
            history.deliver(pick.randrange(3), key, register)  # some are lost, some come twice, in any order
        history.run(
            [(pick.choice("wwdm"), pick.randrange(3), pick.randrange(3), pick.choice(KEYS), 1) for _ in range(4)]
        )
        everything = history.sent * 2
        pick.shuffle(everything)
        for key, register in everything:
            for at in range(3):
                history.deliver(at, key, register)
        assert history.values()[0] == history.values()[1] == history.values()[2]
        for one in history.replicas:
            alive, known = len(list(one.keys(category))), len(list(one.all_keys(category)))
            assert one.counts(category) == (alive, known - alive)
        assert len({one.digest(category).root() for one in history.replicas}) == 1
        assert all(one.refused == {"ahead": 0, "full": 0} for one in history.replicas)

    hold(law, category, examples)


@pytest.mark.parametrize("category", STRATEGIES)
@pytest.mark.parametrize("examples", [FEW, MANY])
def test_what_was_deleted_by_who_knew_all_of_it_never_comes_back(category: str, examples: int) -> None:
    def law(history: History, pick: random.Random) -> None:
        old = list(history.sent)
        for key, register in old:
            history.deliver(0, key, register)
        for key in KEYS:
            history.replicas[0].delete(category, key, history.time(0))
            history.sent.append((key, history.replicas[0].register(category, key)))
        late = [(key, register) for key, register in history.sent[-2:] + old * 2 if register.writes]
        pick.shuffle(late)
        for key, register in late:
            for at in range(3):
                history.deliver(at, key, register)
        assert history.values() == [dict.fromkeys(KEYS)] * 3

    hold(law, category, examples)


def test_a_write_that_knows_of_another_wins_whatever_its_clock_says() -> None:
    fast, slow = Replica("fast"), Replica("slow")
    slow.merge("c", "k", fast.write("c", "k", "early", START + 30_000), START)
    fast.merge("c", "k", slow.write("c", "k", "late", START + 1), START + 30_001)
    assert fast.value("c", "k") == slow.value("c", "k") == "late"
    assert fast.journal.all() == slow.journal.all() == []


def test_stamps_grow_and_those_far_ahead_are_refused() -> None:
    clock = HybridClock()
    stamps = [clock.next(now) for now in (START, START, START - 5_000, START + 1)]
    assert stamps == sorted(set(stamps))
    clock.see(Stamp(START + MOST_AHEAD_MS, 7), START)
    assert clock.next(START) == (START + MOST_AHEAD_MS, 8)
    with pytest.raises(AheadError, match="60001 ms ahead"):
        clock.see(Stamp(START + MOST_AHEAD_MS + 1, 0), START)


# -- what users see ---------------------------------------------------------------------------------------------------


class Wire:
    """Synchronizers that reach each other at once, and all that they said."""

    def __init__(self, **options: Any) -> None:
        self.now = START
        self.options = options
        self.nodes: dict[str, StateSynchronizer] = {}
        self.cut: set[str] = set()
        self.waiting: list[tuple[str, str, str, Any]] = []
        self.bytes = 0

    def add(self, name: str, **options: Any) -> StateSynchronizer:
        one = StateSynchronizer(name, now=lambda: self.now, **self.options, **options)
        one.send_with(self.sender(name))
        self.nodes[name] = one
        return one

    def sender(self, source: str) -> Callable[[str, str, Any], None]:
        def send(target: str, kind: str, data: Any) -> None:
            for name in [target] if target else self.nodes:
                if name != source and not self.cut & {name, source}:
                    self.waiting.append((source, name, kind, data))

        return send

    def settle(self) -> None:
        for one in self.nodes.values():
            one.flush()
        while self.waiting:
            source, target, kind, data = self.waiting.pop(0)
            self.bytes += len(str(data))
            self.nodes[target].receive(source, kind, data)


def test_a_write_reaches_all_other_nodes_once() -> None:
    wire = Wire()
    a, b, c = (wire.add(name) for name in NODES)
    heard: list[Any] = []
    c.watch("agents", handler=heard.append)
    assert a.update_local_state("agents", "fibonacci_agent", {"status": "idle"}) == 1
    assert a.update_local_state("agents", "fibonacci_agent", {"status": "active", "recursion_depth": 13}) == 2
    wire.settle()
    assert b.get_local_state("agents", "fibonacci_agent") == {"status": "active", "recursion_depth": 13}
    assert [(change.key, change.value["status"], change.version, change.node) for change in heard] == [
        ("fibonacci_agent", "active", 2, "a")
    ]
    assert b.delete_local_state("agents", "fibonacci_agent")
    assert not b.delete_local_state("agents", "fibonacci_agent")
    wire.settle()
    assert a.get_local_state("agents", "fibonacci_agent", "gone") == "gone"
    assert [change.is_deleted for change in heard] == [False, True]


def test_values_are_copies() -> None:
    one = StateSynchronizer("n")
    value = {"list": [1]}
    one.update_local_state("c", "k", value)
    value["list"].append(2)
    got = one.get_local_state("c", "k")
    got["list"].append(3)
    one.get_local_state("c")["k"]["list"].append(4)
    assert one.get_local_state("c") == {"k": {"list": [1]}}


def test_what_was_missed_comes_with_the_next_round_and_a_quiet_round_costs_the_same_for_any_number_of_keys() -> None:
    costs = []
    for count in (10, 2_000):
        wire = Wire()
        a, b = wire.add("a"), wire.add("b")
        wire.cut = {"b"}
        for number in range(count):
            a.update_local_state("c", f"key {number}", {"value": number})
        b.update_local_state("c", "other", 1)
        wire.settle()
        wire.cut = set()
        b.begin_round("a")
        wire.settle()
        assert a.get_local_state("c") == b.get_local_state("c")
        assert len(a.get_local_state("c")) == count + 1
        wire.bytes = 0
        a.begin_round("b")
        b.begin_round("a")
        wire.settle()
        costs.append(wire.bytes)
    assert costs[0] == costs[1] < 200


def test_a_node_that_has_all_asks_for_nothing_back() -> None:
    wire = Wire()
    a, b = wire.add("a"), wire.add("b")
    wire.cut = {"b"}
    for number in range(2_000):
        a.update_local_state("c", f"key {number}", {"value": number})
    wire.settle()
    wire.cut = set()
    a.begin_round("b")
    wire.settle()
    assert len(b.get_local_state("c")) == 2_000
    assert wire.bytes < 1.3 * len(str(a.snapshot()))


def test_only_shared_categories_leave_and_arrive() -> None:
    wire = Wire()
    a, b = wire.add("a"), wire.add("b", categories=["shared"])
    for one in (a, b):
        one.update_local_state("shared", one.node_id, 1)
        one.update_local_state("private", one.node_id, 1)
    wire.settle()
    for one in (a, b):
        one.begin_round("a" if one is b else "b")
    wire.settle()
    assert a.get_local_state("shared") == b.get_local_state("shared") == {"a": 1, "b": 1}
    assert a.get_local_state("private") == {"a": 1}
    assert b.get_local_state("private") == {"b": 1}


def test_what_a_concurrent_write_overwrote_is_kept_and_can_be_put_back() -> None:
    wire = Wire()
    a, b = wire.add("a"), wire.add("b")
    a.update_local_state("c", "k", "of a")
    b.update_local_state("c", "k", "of b")
    wire.settle()
    assert a.get_local_state("c", "k") == b.get_local_state("c", "k") == "of b"
    (conflict,) = a.conflicts()
    assert (conflict.key, conflict.kept.node, conflict.lost.node) == ("k", "b", "a")
    assert a.undo_conflict(conflict.number)
    assert not a.undo_conflict(conflict.number)
    wire.settle()
    assert a.get_local_state("c", "k") == b.get_local_state("c", "k") == "of a"


def test_a_callable_combines_concurrent_values_and_a_write_replaces_what_it_knew() -> None:
    wire = Wire(strategies={"sets": union})
    a, b = wire.add("a"), wire.add("b")
    a.update_local_state("sets", "k", [1, 2])
    b.update_local_state("sets", "k", [2, 3])
    wire.settle()
    assert a.get_local_state("sets", "k") == b.get_local_state("sets", "k") == [1, 2, 3]
    b.update_local_state("sets", "k", [9])
    wire.settle()
    assert a.get_local_state("sets", "k") == [9]
    assert a.conflicts() == []


def test_compare_and_set_writes_only_what_is_expected() -> None:
    one = StateSynchronizer("n")
    assert one.compare_and_set("c", "k", None, 1)
    assert not one.compare_and_set("c", "k", None, 2)
    assert one.compare_and_set("c", "k", 1, 2)
    assert one.get_local_state("c", "k") == 2


def test_a_snapshot_holds_deletions_and_restores_only_what_is_newer() -> None:
    a, b = StateSynchronizer("a"), StateSynchronizer("b")
    a.update_local_state("c", "kept", [1])
    a.update_local_state("c", "gone", 1)
    before = a.snapshot()
    a.delete_local_state("c", "gone")
    assert b.restore(a.snapshot("c")) == 2
    assert b.restore(before) == 0
    assert b.get_local_state("c") == {"kept": [1]}
    for rubbish in ({}, {"entries": 3}, {"entries": [{"category": "c"}]}):
        with pytest.raises(ValueError, match="not a snapshot"):
            b.restore(rubbish)


def test_watching_without_a_handler_is_iterating() -> None:
    async def run() -> list[Any]:
        one = StateSynchronizer("n")
        watch = one.watch("c", "k")
        reading = asyncio.create_task(collect(watch))
        await asyncio.sleep(0)
        one.update_local_state("c", "k", 1)
        one.update_local_state("c", "other", 1)
        one.delete_local_state("c", "k")
        await one.stop()
        return await reading

    async def collect(watch: Any) -> list[Any]:
        return [change.value async for change in watch]

    assert asyncio.run(run()) == [1, None]


def entry(key: Any, **fields: Any) -> dict[str, Any]:
    write = {"stamp": [1, 2], "node": "a", "version": 1}
    return {"entries": [{"category": "c", "key": key, "writes": [write], "seen": {"a": [1, 2]}, **fields}]}


RUBBISH: list[Any] = [
    None, 3, [], {}, {"entries": 1}, {"entries": [None]}, {"roots": 1}, {"roots": {"c": []}},
    {"category": "c", "buckets": ["0"]}, {"entries": [], "wanted": {"category": "c", "buckets": {"900": ""}}},
    entry("k", writes=[]), entry("k", seen={}), entry("k", seen={"a": [1]}), entry("k", seen={"a": [1, -2]}),
    entry("k", seen={"a": [1, True]}), entry("k", seen={"": [1, 2]}), entry("k", category=""), entry(3),
]  # fmt: skip


def test_rubbish_from_another_node_changes_nothing() -> None:
    one = StateSynchronizer("n", now=lambda: START)
    one.send_with(lambda *_: None)
    one.update_local_state("c", "k", 1)
    before = one.snapshot()
    for kind in ("roots", "buckets", "entries", "delta", "unheard-of"):
        for data in RUBBISH:
            one.receive("m", f"_lexmesh.state.{kind}", data)
    assert one.snapshot() == before
    assert one.get_sync_status()["refused"]["malformed"] > 20


def test_a_stamp_of_the_future_is_refused_and_counted() -> None:
    now = {"a": START + MOST_AHEAD_MS + 1, "b": START}
    a = StateSynchronizer("a", now=lambda: now["a"])
    b = StateSynchronizer("b", now=lambda: now["b"])
    a.update_local_state("c", "k", 1)
    assert b.restore(a.snapshot()) == 0
    assert b.get_sync_status()["refused"]["ahead"] == 1
    now["b"] += 1
    assert b.restore(a.snapshot()) == 1


@pytest.mark.parametrize(
    ("category", "key", "value", "error", "text"),
    [
        ("", "k", 1, ValueError, "1 to 255 bytes"),
        ("c", "k" * 256, 1, ValueError, "1 to 255 bytes"),
        ("c", "k", "x" * 300_000, ValueError, "at most 262144 fit"),
        ("c", "k", {1, 2}, TypeError, "the value of c/k is not what JSON can say"),
    ],
)
def test_what_cannot_be_written_says_why(category: str, key: str, value: Any, error: type, text: str) -> None:
    one = StateSynchronizer("n")
    with pytest.raises(error, match=text):
        one.update_local_state(category, key, value)
    assert one.snapshot()["entries"] == []


def test_the_number_of_keys_is_bounded() -> None:
    replica = Replica("n", most_keys=2)
    replica.write("c", "1", 1, START)
    replica.write("c", "2", 1, START)
    with pytest.raises(ValueError, match="there are 2 keys already"):
        replica.write("c", "3", 1, START)
    replica.write("c", "2", 5, START)
    assert not replica.merge("c", "3", Replica("m").write("c", "3", 1, START), START)
    assert replica.refused["full"] == 1


def test_a_small_value_takes_little_memory() -> None:
    full, new = StateSynchronizer("full"), StateSynchronizer("new")
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    for number in range(20_000):
        full.update_local_state("c", f"key {number}", {"status": "active"})
    new.restore(full.snapshot())
    gc.collect()
    assert (process.memory_info().rss - before) / 40_000 < 2_000, "bytes a key, of two replicas and a snapshot"


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="strategy of 'c' is latest_wins, highest_version or a callable, not 'newest'"):
        StateSynchronizer("n", strategies={"c": "newest"})
