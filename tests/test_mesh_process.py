"""Nodes as processes of their own: crashes, pauses, restarts, and the commands that show a mesh."""

import asyncio
import os
import signal
from contextlib import ExitStack
from time import time
from typing import Any

import orjson
from cli_process import Gateway, assert_one_line, gateway, lexmesh, until
from mesh_nodes import node, running, url_of
from raw_ws import Received, eventually

from lexmesh import WebSocketServer

INTERVAL = 0.5
ENV = {"LEXMESH_HEARTBEAT_INTERVAL": str(INTERVAL), "LEXMESH_DRAIN_SECONDS": "1"}


def process(name: str, *peers: str, port: int = 0) -> Gateway:
    options = [option for peer in peers for option in ("--peer", peer)]
    return Gateway("--node-id", name, *options, port=port, env=ENV)


def status_of(one: Any, name: str) -> str:
    known = one.registry.get_node(name)
    return "" if known is None else str(known["status"])


async def test_a_killed_node_is_dormant_within_three_heartbeats_and_comes_back() -> None:
    async with running(one := node("one", heartbeat_interval=INTERVAL)):
        with ExitStack() as stack:
            two = stack.enter_context(process("two", url_of(one)))
            far = stack.enter_context(process("far", two.url))
            await eventually(lambda: status_of(one, "two") == status_of(one, "far") == "active", "both known")
            statuses: list[str] = []
            one.registry.on_change(lambda name, status, _before: name == "far" and statuses.append(f"{status}"))
            # an interval of which a part had passed is what is least known
            beats = one.registry.get_node_metrics("far")["last_heartbeat"]
            await eventually(lambda: one.registry.get_node_metrics("far")["last_heartbeat"] > beats, "a heartbeat")
            last = one.registry.get_node_metrics("far")["last_heartbeat"]
            os.kill(far.process.pid, signal.SIGKILL)
            await eventually(lambda: status_of(one, "far") == "dormant", "dormant")
            assert time() * 1000 - last <= 3 * INTERVAL * 1000 + 250, "three intervals, and a sweep"
            assert status_of(one, "two") == "active"
            assert one.registry.get_mesh_topology()["network_health"] < 1
            far.end()
            epoch = one.registry.get_node("far")["epoch"]
            stack.enter_context(process("far", two.url, port=far.port))
            await eventually(lambda: status_of(one, "far") == "active", "back")
            assert one.registry.get_node("far")["epoch"] > epoch
            assert statuses[-1] == "active"


async def test_a_paused_node_is_not_lost_for_good() -> None:
    async with running(one := node("one", heartbeat_interval=INTERVAL)):
        with process("two", url_of(one)) as two:
            await eventually(lambda: status_of(one, "two") == "active", "known")
            two.process.send_signal(signal.SIGSTOP)
            await eventually(lambda: not one.links, "cut for its silence", 20)
            assert status_of(one, "two") == "dormant"
            two.process.send_signal(signal.SIGCONT)
            await eventually(lambda: one.links == ["two"] and status_of(one, "two") == "active", "healed", 5)
            heard = Received()
            one.subscribe("sensor_reading", heard)
            assert lexmesh("pub", two.url, given=b"1\n").returncode == 0
            await heard.wait()


async def test_a_node_that_restarts_at_its_port_is_linked_again_within_five_seconds() -> None:
    async with running(one := node("one", heartbeat_interval=INTERVAL)):
        with process("two") as two:
            one.link_to(two.url)
            await eventually(lambda: one.links == ["two"], "linked")
            assert two.stop()["balanced"]
            await eventually(lambda: status_of(one, "two") == "disconnected", "goodbye")
            with process("two", port=two.port):
                await eventually(lambda: one.links == ["two"] and status_of(one, "two") == "active", "linked", 5)


def test_status_and_nodes_as_tables_and_json() -> None:
    with process("first") as first, process("second", first.url) as second:

        def nodes() -> dict[str, Any]:
            result = lexmesh("mesh", "nodes", "--url", second.url, "--json")
            assert result.returncode == 0, result.stderr
            return {found["node_id"]: found for found in orjson.loads(result.stdout)}

        until(lambda: [found["status"] for found in nodes().values()] == ["active", "active"], "both")
        table = lexmesh("mesh", "nodes", "--url", first.url).stdout.decode()
        assert "first" in table and "second" in table and "active" in table
        status = orjson.loads(lexmesh("mesh", "status", "--url", second.url, "--json").stdout)
        assert (status["node_id"], status["connected_nodes"], status["links"]) == ("second", 1, ["first"])
        text = lexmesh("mesh", "status", "--url", second.url).stdout.decode()
        assert "spiral_codex_mesh" in text and "first" in text


def test_no_node_is_one_error_line() -> None:
    for command in ("status", "nodes"):
        assert_one_line(lexmesh("mesh", command, "--url", "ws://127.0.0.1:1"), 1, "ws://127.0.0.1:1")
    assert_one_line(lexmesh("mesh", "status", "--url", "http://127.0.0.1:1"), 2, "scheme")
    assert_one_line(lexmesh("mesh", "start", "--peer", "http://x:1"), 1, "--peer", "ws://")


def test_a_mesh_of_another_name_is_said_on_stderr() -> None:
    with process("first") as first, gateway("--peer", first.url, "--mesh-name", "other") as second:
        line = second.line(of="stderr", having=b"of the mesh")
        assert b"not of 'other'" in line
        assert second.stop()["balanced"]


async def test_a_plain_gateway_has_no_status() -> None:
    async with WebSocketServer("plain", port=0) as plain:
        result = await asyncio.to_thread(lexmesh, "mesh", "status", "--url", f"ws://127.0.0.1:{plain.port}")
        assert_one_line(result, 1, "no node of a mesh")
