"""The common phase, on simulated clocks."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from lexmesh.mesh.clock import FREQUENCY, MOST_OFFSET_MS, FrequencySync

START = 1_763_791_200_000.0


def exchange(
    a: FrequencySync, b: FrequencySync, true_time: float, clocks: dict[str, float], delays: tuple[float, float]
) -> None:
    """One heartbeat of `a`, answered by `b`; `clocks` says how far each clock is off."""
    sent = true_time + clocks[a.node_id]
    answered = b.time(true_time + delays[0] + clocks[b.node_id])
    a.measure(b.node_id, sent, answered, sent + sum(delays))


def test_a_thousand_ticks_do_not_drift() -> None:
    one = FrequencySync("n")
    first = one.tick(START) + 1
    now = START
    for number in range(first, first + 1_000):
        now = one.when(number)
        ideal = number * 1000 / FREQUENCY
        assert abs(now - ideal) < 1
        assert one.tick(math.ceil(now)) == number
        assert min(one.phase(now), 1 - one.phase(now)) < 1e-6
    assert now - one.when(first) == pytest.approx(999 * 232_558.139, abs=1)


def test_clocks_five_seconds_apart_agree_once_heartbeats_have_measured() -> None:
    clocks = {"a": -2_500.0, "b": 2_500.0}
    a, b = FrequencySync("a"), FrequencySync("b")
    pick = random.Random(1)
    for number in range(6):
        now = START + number * 1_000
        exchange(a, b, now, clocks, (pick.uniform(0, 20), pick.uniform(0, 20)))
        exchange(b, a, now, clocks, (pick.uniform(0, 20), pick.uniform(0, 20)))
    true_time = START + 60_000
    times = [one.time(true_time + clocks[one.node_id]) for one in (a, b)]
    assert abs(times[0] - times[1]) < 50
    assert a.coherence() > 0.999999


@pytest.mark.parametrize("links", ["line", "ring", "full"])
def test_nodes_that_see_only_neighbours_agree_too(links: str) -> None:
    names = [f"n{number}" for number in range(7)]
    pick = random.Random(2)
    clocks = {name: pick.uniform(-5_000, 5_000) for name in names}
    nodes = {name: FrequencySync(name) for name in names}
    pairs = list(itertools.combinations(names, 2)) if links == "full" else list(itertools.pairwise(names))
    if links == "ring":
        pairs.append((names[-1], names[0]))
    for number in range(120):
        for one, other in pick.sample(pairs, len(pairs)):
            for a, b in ((one, other), (other, one)):
                exchange(nodes[a], nodes[b], START + number * 1_000, clocks, (pick.uniform(0, 10), pick.uniform(0, 10)))
    times = [nodes[name].time(START + clocks[name]) for name in names]
    assert max(times) - min(times) < 50


def test_a_node_that_lies_moves_nobody_far() -> None:
    clocks = dict.fromkeys("abcdef", 0.0)
    honest = [FrequencySync(name) for name in clocks]
    for number in range(50):
        for a, b in itertools.permutations(honest, 2):
            exchange(a, b, START + number, clocks, (1, 1))
        for one in honest:
            one.measure("liar", START, START + 50_000, START + 2)
    assert max(abs(one.correction) for one in honest) < 5


@pytest.mark.parametrize(
    ("sent", "their_time", "received"),
    [(0, 0, -1), (0, 0, 5_000), (0, MOST_OFFSET_MS + 1, 0), (0, math.nan, 0), (0, math.inf, 0), (0, -math.inf, 0)],
)
def test_what_measures_badly_is_not_used(sent: float, their_time: float, received: float) -> None:
    one = FrequencySync("n")
    assert one.measure("m", sent, their_time, received) is None
    assert one.correction == 0


def test_slots_spread_nodes_over_the_interval() -> None:
    nodes = [FrequencySync(f"node-{number}") for number in range(1_000)]
    slots = [one.next_slot(10_000, START) for one in nodes]
    assert all(START < slot <= START + 10_000 for slot in slots)
    per_second = [sum(1 for slot in slots if second <= (slot - START) / 1000 < second + 1) for second in range(10)]
    assert min(per_second) > 60
    first = slots[0]
    assert nodes[0].next_slot(10_000, first) == pytest.approx(first + 10_000, abs=0.01)


def test_the_event_of_a_tick_tells_where_we_are() -> None:
    one = FrequencySync("n")
    tick = one.tick(START) + 1
    event = one.event(tick, one.when(tick) + 0.5)
    assert event["frequency"] == 0.0043
    assert event["tick"] == tick
    assert event["phase"] < 1e-5
    assert event["coherence"] == 1
    one.measure("m", START, START + one.period / 2, START)
    assert one.period / 2 > MOST_OFFSET_MS
    assert one.correction == 0


@pytest.mark.parametrize("frequency", [0, -1, 1e-9, 1e9, math.nan])
def test_a_frequency_out_of_range_says_so(frequency: float) -> None:
    with pytest.raises(ValueError, match="to 1000 Hz"):
        FrequencySync("n", frequency)
