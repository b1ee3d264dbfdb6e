"""Five nodes, each a process in a network of its own: partitions, one-way loss, kills, pauses, restarts, load."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
import pytest
from cli_process import COMMAND, PATIENCE, Running, until
from driven_nodes import DrivenNode, healed, looks, whole
from namespaces import Network, address, lasting, need_namespaces

COUNT = 5
PORT = 8765
INTERVAL = 1.0
SHORT = 0.0


class Mesh:
    """Five nodes that have each other as peers in a line, and learn the rest.

    Args:
        stack: ends them.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.network = stack.enter_context(Network(COUNT))
        self.nodes: list[DrivenNode] = []
        self.state: dict[str, Any] = {}
        for number in range(COUNT):
            self.nodes.append(self.node(number))
        whole(self.nodes)

    def node(self, number: int) -> DrivenNode:
        """Starts a node."""
        options = {
            "node_id": f"n{number}",
            "host": address(number),
            "websocket_port": PORT,
            "peers": [f"ws://{address(other)}:{PORT}" for other in (number - 1, number + 1) if 0 <= other < COUNT],
            "heartbeat_interval": INTERVAL,
            "drain_seconds": 1.0,
        }
        return self._stack.enter_context(DrivenNode(options, self.network.hosts[number].enter))

    def replace(self, number: int) -> None:
        """Starts a node that has ended, under its name."""
        self.nodes[number] = self.node(number)

    def write(self, *numbers: int) -> None:
        """Each of the nodes writes a key of its own, and one that all of them write."""
        for number in numbers:
            one = self.nodes[number]
            key = f"{one.name} {len(self.state)}"
            one.ask("write", key, number)
            self.state[key] = number

    def delete(self, number: int, key: str) -> None:
        """A node deletes a key."""
        assert self.nodes[number].ask("delete", key)
        del self.state[key]

    def others(self, *numbers: int) -> list[DrivenNode]:
        """All nodes but some."""
        return [one for number, one in enumerate(self.nodes) if number not in numbers]

    def healed(self, label: str) -> None:
        """Holds all to what a mesh is like within five seconds."""
        healed(self.nodes, label, self.state)


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    need_namespaces()
    with ExitStack() as stack:
        one = Mesh(stack)
        one.write(*range(COUNT))
        one.healed("before")
        yield one


def status(of: str, at: DrivenNode) -> str:
    return str(at.ask("look")["nodes"][of])


def lost(statuses: list[list[Any]], *but: str) -> list[list[Any]]:
    """Nodes that were declared dead, but for some."""
    return [one for one in statuses if one[1] in ("dormant", "disconnected") and one[0] not in but]


@pytest.mark.parametrize("seconds", [SHORT, pytest.param(30.0, marks=pytest.mark.soak)])
def test_a_partition_heals(mesh: Mesh, seconds: float) -> None:
    island = (1, 3)
    mesh.network.part(island)
    mesh.write(*range(COUNT))
    mesh.delete(0, "n0 0")
    mesh.delete(3, "n1 1")
    lasting(seconds)
    apart = [sorted(one.name for one in mesh.others(*island)), [f"n{number}" for number in island]]

    def is_apart() -> bool:
        return all(
            {name for name, status in found["nodes"].items() if status == "active"} == set(side)
            and {*found["links"], own} == set(side)
            for side in apart
            for own, found in looks(mesh.nodes).items()
            if own in side
        )

    until(is_apart, "two meshes")
    mesh.network.join(island)
    mesh.healed("partition")


@pytest.mark.parametrize("seconds", [SHORT, pytest.param(30.0, marks=pytest.mark.soak)])
def test_loss_in_one_direction_parts_nobody_from_the_mesh_and_heals(mesh: Mesh, seconds: float) -> None:
    for one in mesh.nodes:
        one.ask("statuses")
    mesh.network.lose(1, 3)
    until(lambda: all("n1" not in found["links"] or own != "n3" for own, found in looks(mesh.nodes).items()), "cut")
    until(lambda: "n3" not in mesh.nodes[1].ask("look")["links"], "cut on the other side too")
    lasting(seconds)
    mesh.write(*range(COUNT))
    mesh.nodes[1].ask("say", "round about", "n3")
    until(lambda: ["n1", "round about"] in mesh.nodes[3].ask("heard"), "what goes round about")
    assert not any(lost(one.ask("statuses")) for one in mesh.nodes)
    mesh.network.restore(1, 3)
    mesh.healed("one way")


def test_a_node_that_hears_all_and_is_heard_by_none_comes_back(mesh: Mesh) -> None:
    for number in (0, 1, 3, 4):
        mesh.network.lose(2, number)
    until(lambda: all(status("n2", one) == "dormant" for one in mesh.others(2)), "dormant")
    mesh.write(*range(COUNT))
    for number in (0, 1, 3, 4):
        mesh.network.restore(2, number)
    mesh.healed("mute")


def test_a_killed_node_is_dormant_within_three_heartbeats_and_comes_back_under_its_name(mesh: Mesh) -> None:
    victim = mesh.nodes[2]
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()
    last = {one.name: one.ask("look")["heartbeats"]["n2"] for one in mesh.others(2)}
    for one in mesh.others(2):
        one.ask("statuses")
    mesh.write(0, 4)
    mesh.delete(0, "n2 2")
    until(lambda: all(status("n2", one) == "dormant" for one in mesh.others(2)), "dormant")
    for one in mesh.others(2):
        statuses = one.ask("statuses")
        (when,) = [time for name, status, time in statuses if (name, status) == ("n2", "dormant")]
        assert when - last[one.name] <= 3 * INTERVAL * 1000 + 300, "three intervals, and a sweep"
        assert not lost(statuses, "n2")
    mesh.replace(2)
    mesh.healed("killed")


@pytest.mark.parametrize("seconds", [SHORT, pytest.param(10.0, marks=pytest.mark.soak)])
def test_a_paused_node_comes_back_and_blames_nobody(mesh: Mesh, seconds: float) -> None:
    paused = mesh.nodes[2]
    paused.ask("statuses")
    paused.process.send_signal(signal.SIGSTOP)
    mesh.write(0, 4)
    mesh.delete(4, "n2 2")
    lasting(seconds)
    until(lambda: all(status("n2", one) == "dormant" for one in mesh.others(2)), "dormant")
    paused.process.send_signal(signal.SIGCONT)
    mesh.healed("paused")
    assert not lost(paused.ask("statuses"))


def test_a_rolling_restart_loses_nobody(mesh: Mesh) -> None:
    for number in range(COUNT):
        ledger = mesh.nodes[number].stop()
        assert ledger["balanced"] and ledger["egress"]["in_flight"] == 0, ledger
        other = (number + 1) % COUNT
        until(lambda: status(f"n{number}", mesh.nodes[other]) == "disconnected", "goodbye")  # noqa: B023
        mesh.write(other)
        mesh.replace(number)
        mesh.healed(f"restart {number}")


class Commands:
    """Five nodes as operators start them, `lexmesh mesh start` in a network each."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.network = stack.enter_context(Network(COUNT))
        self.nodes = [self.node(number) for number in range(COUNT)]

    def _command(self, number: int) -> list[str]:
        return [*self.network.hosts[number].enter, *COMMAND]

    def node(self, number: int) -> Running:
        """Starts a node."""
        peers = [f"ws://{address(other)}:{PORT}" for other in (number - 1, number + 1) if 0 <= other < COUNT]
        options = [f"--node-id=n{number}", f"--host={address(number)}", f"--port={PORT}", "--json", "--no-redis"]
        environment = {"LEXMESH_HEARTBEAT_INTERVAL": str(INTERVAL), "LEXMESH_DRAIN_SECONDS": "1"}
        running = Running(
            "mesh", "start", *options, *(f"--peer={url}" for url in peers), command=self._command(number),
            env=environment,
        )  # fmt: skip
        self._stack.enter_context(running)
        running.line(having=b"listening")
        return running

    def run(self, number: int, *arguments: str, given: bytes = b"") -> bytes:
        """Runs a command beside a node, for its URL; what it prints."""
        url = f"ws://{address(number)}:{PORT}"
        done = subprocess.run(
            [*self._command(number), *(url if one == "URL" else one for one in arguments)],
            input=given, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def statuses(self, number: int) -> dict[str, str]:
        """Which nodes one has in which status, by `lexmesh mesh nodes`."""
        nodes = orjson.loads(self.run(number, "mesh", "nodes", "--url", "URL", "--json"))
        return {node["node_id"]: node["status"] for node in nodes}

    def subscriber(self, number: int) -> Running:
        """Starts `lexmesh sub` beside a node."""
        url = f"ws://{address(number)}:{PORT}"
        running = self._stack.enter_context(Running("sub", url, "sensor_reading", command=self._command(number)))
        running.line(of="stderr", having=b"subscribed")
        return running


def test_nodes_of_the_command_line_heal_and_their_clients_hear_each_other() -> None:
    need_namespaces()
    with ExitStack() as stack:
        mesh = Commands(stack)
        everyone = {f"n{number}": "active" for number in range(COUNT)}
        until(lambda: mesh.statuses(0) == mesh.statuses(4) == everyone, "all know all")
        hears = mesh.subscriber(4)
        mesh.network.part([0])
        until(lambda: mesh.statuses(4)["n0"] == mesh.statuses(0)["n4"] == "dormant", "apart")
        mesh.nodes[2].process.kill()
        mesh.network.join([0])
        mesh.nodes[2] = mesh.node(2)
        until(lambda: all(mesh.statuses(number) == everyone for number in range(COUNT)), "all know all again")
        mesh.run(0, "pub", "URL", given=b"1\n2\n3\n")
        assert [orjson.loads(hears.line())["data"] for _ in range(3)] == [1, 2, 3]
        hears.end(signal.SIGINT)
        for one in mesh.nodes:
            assert one.end(signal.SIGTERM) == 0
            ledger = orjson.loads(one.seen["stdout"][-1])["ledger"]
            assert ledger["balanced"] and ledger["egress"]["in_flight"] == 0, ledger


@contextmanager
def busy_processors() -> Iterator[None]:
    """Twice as many processes as processors that never rest."""
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    busy = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize("seconds", [3.0, pytest.param(10.0, marks=pytest.mark.soak)])
def test_nobody_is_declared_dead_under_full_load_of_the_processors(mesh: Mesh, seconds: float) -> None:
    for one in mesh.nodes:
        one.ask("statuses")
    with busy_processors():
        lasting(seconds)
        statuses = {one.name: one.ask("statuses") for one in mesh.nodes}
        assert not any(map(lost, statuses.values())), statuses
        mesh.nodes[2].process.send_signal(signal.SIGKILL)
        last = {one.name: one.ask("look")["heartbeats"]["n2"] for one in mesh.others(2)}
        until(lambda: all(status("n2", one) == "dormant" for one in mesh.others(2)), "dormant")
        for one in mesh.others(2):
            statuses = one.ask("statuses")
            assert not lost(statuses, "n2")
            (when,) = [time for name, status, time in statuses if (name, status) == ("n2", "dormant")]
            assert when - last[one.name] <= 3 * INTERVAL * 1000 + 500, "three intervals, and a sweep of a busy machine"
    mesh.replace(2)
    mesh.healed("load")
