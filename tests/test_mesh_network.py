"""The simulation itself: virtual time, replays, faults, clocks, and the pytest plugin as its users have it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lexmesh import MeshCore
from lexmesh.testing import MeshNetwork, SimulationError, run_virtually

HERE = Path(__file__).resolve().parent


def pair(seed: int = 1) -> MeshNetwork:
    return MeshNetwork(seed, heartbeat_interval=1.0)


async def after(seconds: float) -> None:
    """Waits, in virtual time."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


# -- virtual time -----------------------------------------------------------------------------------------------------


def test_a_day_passes_at_once() -> None:
    async def day() -> float:
        await after(86_400)
        return asyncio.get_running_loop().time()

    assert run_virtually(day()) == 86_400.0


def test_timers_of_one_instant_run_as_they_were_scheduled() -> None:
    async def story() -> list[int]:
        ran: list[int] = []
        for number in range(100):
            timer = asyncio.get_running_loop().call_later(1 + number % 2, ran.append, number)
            if number % 10 == 9:
                timer.cancel()
        await after(2)
        return ran

    kept = [number for number in range(100) if number % 10 != 9]
    assert run_virtually(story()) == sorted(kept, key=lambda number: number % 2)


def test_what_never_comes_is_an_error_and_no_hang() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async def spins() -> None:
        while True:  # noqa: ASYNC110 - as a user might
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="never comes"):
        run_virtually(waits())
    with pytest.raises(SimulationError, match="time stands still"):
        run_virtually(spins())


def test_the_real_world_is_refused() -> None:
    async def connects() -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    async def computes() -> None:
        await asyncio.to_thread(sum, [1])

    for story in (connects, computes):
        with pytest.raises(SimulationError, match="no sockets, threads"):
            run_virtually(story())


async def test_a_network_needs_virtual_time() -> None:
    with pytest.raises(SimulationError, match=r"network\.play"):
        async with MeshNetwork():
            pass


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_a_handle_is_the_node_at_its_own_machine() -> None:
    net = pair()

    async def story() -> None:
        one = await net.node("one")
        assert isinstance(one, MeshCore)
        net.skew("one", 3600)
        ids = []
        one.subscribe("t", lambda event: ids.append(event.timestamp))
        one.publish("t")
        await net.run(0.1)
        other = await net.node("other")
        other.subscribe("t", lambda event: ids.append(event.timestamp))
        other.publish("t")
        await net.run(0.1)
        assert ids[0] - ids[1] == 3600_000 - 100

    net.play(story())


def test_a_crash_says_nothing_and_forgets_everything() -> None:
    net = pair()

    async def story() -> None:
        a = await net.node("a")
        b = await net.node("b", ["a"])
        await net.converged()
        ended = []
        b.subscribe("t", lambda _event: asyncio.get_running_loop().call_later(5, ended.append, 1))
        b.publish("t")
        await net.run(0.1)
        net.crash("b", silent=True)
        await net.run(3)
        assert a.links == ["b"], "nobody has told it"
        with pytest.raises(SimulationError, match="has crashed"):
            b.publish("t")
        await net.run(7)
        assert a.links == [] and not ended
        assert a.registry.get_node("b")["status"] == "dormant"  # type: ignore[index]
        await net.restart("b")
        await net.converged()

    net.play(story())


def test_a_paused_node_does_all_of_it_later() -> None:
    net = pair()

    async def story() -> None:
        a = await net.node("a")
        b = await net.node("b", ["a"])
        await net.converged()
        heard: list[float] = []
        b.subscribe("t", lambda _event: heard.append(net.time))
        begun = net.time
        net.pause("b", 4)
        for _ in range(10):
            a.publish("t")
        await net.run(3.9)
        assert heard == []
        await net.run(0.2)
        assert heard == [begun + 4] * 10

    net.play(story())


@pytest.mark.parametrize("one_way", [False, True])
def test_a_partition_parts_and_heals_within_five_seconds(one_way: bool) -> None:
    net = pair()

    async def story() -> None:
        for number in range(4):
            await net.node(f"n{number}", [f"n{number - 1}"] if number else [])
        await net.converged()
        net.partition({"n0", "n1"}, {"n2", "n3"}, one_way=one_way)
        await net.run(30)
        assert "no links" in net.disagreement()
        net.heal()
        assert await net.converged() <= 5

    net.play(story())


def test_a_clock_that_is_set_back_stops_no_heartbeat() -> None:
    net = pair()

    async def story() -> None:
        a = await net.node("a")
        await net.node("b", ["a"])
        await net.converged()
        net.skew("b", -3600)
        for _ in range(20):
            await net.run(0.5)
            assert a.registry.get_node("b")["status"] == "active"  # type: ignore[index]

    net.play(story())


def test_what_is_lost_comes_late_and_what_is_repeated_counts_once() -> None:
    net = pair()

    async def story() -> None:
        a = await net.node("a")
        b = await net.node("b", ["a"])
        await net.converged()
        heard: list[int] = []
        b.subscribe("t", lambda event: heard.append(event.data))
        net.shape("a", "b", loss=0.2, duplication=0.9, jitter=0.01)
        for number in range(50):
            a.publish("t", number)
            await net.run(0.01)
        assert len(heard) < 50
        await net.run(60)
        assert heard == list(range(50))
        assert b.ledger()["ingress"]["duplicate"] > 10

    net.play(story())


@pytest.mark.parametrize("seed", range(10))
def test_of_two_links_that_one_node_dials_at_once_both_ends_keep_the_same(seed: int) -> None:
    net = pair(seed)

    async def story() -> None:
        net.shape(jitter=0.1)
        a = await net.node("a")
        b = await net.node("b", ["a", "a", "a"])
        await net.converged()
        heard: list[int] = []
        a.subscribe("t", lambda event: heard.append(event.data))
        for number in range(100):
            assert a.links == ["b"] and b.links == ["a"]
            b.publish("t", number)
            await net.run(0.05)
        await net.run(1)
        assert sorted(heard) == list(range(100))

    net.play(story())


# -- replays ----------------------------------------------------------------------------------------------------------

REPLAY = f"""
import logging, sys
sys.path.insert(0, {str(HERE)!r})
logging.disable(logging.CRITICAL)
from simulated_story import play
print(*(play(seed) for seed in range(3)))
"""


def test_a_seed_makes_the_same_run_in_any_process() -> None:
    runs = set()
    for hash_seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        found = subprocess.run([sys.executable, "-c", REPLAY], env=environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        runs.add(found.stdout)
    (digests,) = runs
    assert len(set(digests.split())) == 3, "other seeds, other runs"


# -- the plugin -------------------------------------------------------------------------------------------------------

USERS_TESTS = """
import pytest

async def test_in_virtual_time(mesh_network):
    a = await mesh_network.node("a")
    await mesh_network.node("b", ["a"])
    await mesh_network.run(600)
    assert a.links == ["b"]

def test_that_is_no_coroutine(mesh_network):
    async def story():
        await mesh_network.run(5)
        return mesh_network.time
    assert mesh_network.play(story()) == 5

@pytest.mark.mesh_seeds(3)
async def test_of_seeds(mesh_network):
    await mesh_network.node("a")
    assert mesh_network.seed != 1

class TestOfClass:
    async def test_method(self, mesh_network, tmp_path):
        assert tmp_path and mesh_network.time == 0
"""


@pytest.mark.parametrize(
    "options",
    [["-p", "no:asyncio"], ["-o", "asyncio_mode=auto"], ["-o", "asyncio_mode=strict"]],
    ids=["no asyncio", "auto", "strict"],
)
def test_users_get_the_fixture_and_the_seed_of_what_failed(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    # of the plugins installed here only these two: others, of pytest's own or a user's, do not matter
    also = (
        [] if "no:asyncio" in options else ["-p", "pytest_asyncio", "-o", "asyncio_default_fixture_loop_scope=function"]
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "lexmesh.testing.plugin",
        "--strict-markers",
        *also,
        *options,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "LEXMESH_SEED"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    def run(**more: str) -> str:
        found = subprocess.run(
            command, cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=100
        )
        return found.stdout + found.stderr

    told = run()
    assert "1 failed, 5 passed" in told
    assert "seed 1; again with: LEXMESH_SEED=1 pytest 'test_users.py::test_of_seeds'" in told
    assert "start      a" in told, "what happened last"
    assert "4 passed" in run(LEXMESH_SEED="7")
    assert "1 failed, 3 passed" in run(LEXMESH_SEED="1")
    assert "a seed is a whole number" in run(LEXMESH_SEED="one")


# -- many nodes -------------------------------------------------------------------------------------------------------


def test_the_report_on_many_nodes() -> None:
    command = [sys.executable, "-m", "lexmesh.testing", "mesh", "--nodes", "12", "--seed", "3", "--json"]
    first, again = (subprocess.run(command, capture_output=True, text=True, timeout=100, check=True) for _ in range(2))
    found, repeated = json.loads(first.stdout), json.loads(again.stdout)
    assert found.pop("cpu_seconds") > 0 and repeated.pop("cpu_seconds") > 0
    assert found == repeated
    assert found["convergence_seconds"] < 5
    assert found["join"]["messages_per_node"] > 12
    assert found["idle_per_second"]["bytes_per_node"] > 0
