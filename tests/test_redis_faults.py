"""What happens to a server, and a mesh that is itself again within five seconds of its end, with all losses counted."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import all_meet, balanced, listen, listening, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, lasting, redis_server
from test_redis_hostile import batch, header

from lexmesh import MeshCore, StreamEvent

SUBJECT = "spiral_codex_mesh:spiral_ritual_events:a:a"
RECOVERY_SECONDS = 5.0
PAUSE_SECONDS = 10.0
TIMES = 50

Fault = Callable[[RedisServer], Any]


async def restart(server: RedisServer) -> None:
    await asyncio.to_thread(server.restart)


async def kill(server: RedisServer) -> None:
    server.kill()
    await asyncio.to_thread(server.start)


async def pause(server: RedisServer) -> None:
    server.pause()
    try:
        await lasting(PAUSE_SECONDS)
    finally:
        server.resume()


async def fill(server: RedisServer) -> None:
    """Nothing can be written any more, then it can."""
    server.say("CONFIG", "SET", "maxmemory", 1)
    await lasting(0.2)
    server.say("CONFIG", "SET", "maxmemory", 0)


async def flush_all(server: RedisServer) -> None:
    server.say("FLUSHALL")


async def kill_connections(server: RedisServer) -> None:
    server.say("CLIENT", "KILL", "TYPE", "pubsub")
    server.say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


BREAKS = [restart, kill, kill_connections]
ALL = [restart, kill, pause, fill, flush_all, kill_connections]


async def recovers(server: RedisServer, nodes: list[MeshCore], got: dict[str, list[Any]], fault: Fault) -> None:
    """The mesh carries again within RECOVERY_SECONDS of the fault's end, from each node to each."""
    for one in got.values():
        one.clear()
    traffic = asyncio.create_task(keep_saying(nodes[0]))
    try:
        await fault(server)
        ended = asyncio.get_running_loop().time()
        await eventually(lambda: said_by_all(nodes, got), f"each hears each, {[on_redis(one) for one in nodes]}")
        assert asyncio.get_running_loop().time() - ended <= RECOVERY_SECONDS
    finally:
        traffic.cancel()
    await eventually(lambda: balanced(nodes), "balanced ledgers")
    for one in got.values():
        numbers = [data for data in one if isinstance(data, int)]
        assert len(numbers) == len(set(numbers)), "each once"


def said_by_all(nodes: list[MeshCore], got: dict[str, list[Any]]) -> bool:
    for one in nodes:
        one.publish("a", one.node_id)
    return all(set(found) >= {one.node_id for one in nodes} for found in got.values()) and all(
        on_redis(one)["up"] and len(on_redis(one)["nodes"]) == len(nodes) - 1 for one in nodes
    )


async def keep_saying(one: MeshCore) -> None:
    number = 0
    while True:
        for _ in range(20):
            one.publish("a", number)
            number += 1
        await lasting(0.005)


@pytest.mark.parametrize("fault", [one for one in ALL if one is not pause])
async def test_recovers(fault: Fault) -> None:
    with redis_server() as server:
        async with redis_mesh(server.url, 3) as nodes:
            got = listen(nodes, "a")
            await listening(server, SUBJECT, 3)
            for _ in range(2):
                await recovers(server, nodes, got, fault)
            if fault in BREAKS:
                await eventually(lambda: all(on_redis(one)["reconnects"] == 2 for one in nodes), "both counted")
            else:
                assert all(on_redis(one)["reconnects"] == on_redis(one)["lost"] == 0 for one in nodes)


async def test_paused_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_redis_faults.PAUSE_SECONDS", 5.0)
    await _many_times(pause, 1)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ALL)
async def test_recovers_50_times(fault: Fault) -> None:
    await _many_times(fault, TIMES)


async def _many_times(fault: Fault, times: int) -> None:
    with redis_server() as server:
        async with redis_mesh(server.url, 3) as nodes:
            got = listen(nodes, "a")
            await listening(server, SUBJECT, 3)
            for _ in range(times):
                await recovers(server, nodes, got, fault)
            transport = nodes[0]._redis.transport
            assert len(transport.outlets.endpoints) <= 8
            assert len(transport._inlet.gaps) <= 16


async def test_what_is_lost_is_counted() -> None:
    """Of what one node has published while another one's connection was gone, not one is missing in the count."""
    with redis_server() as server:
        async with redis_mesh(server.url, 2) as nodes:
            got = listen(nodes[1:], "a")
            await listening(server, SUBJECT, 1)
            nodes[0].publish("a", -1)
            await eventually(lambda: got["n1"] == [-1], "the first")
            for number in range(20):
                server.say("CLIENT", "KILL", "TYPE", "pubsub")  # publishing goes on
                for at in range(200):
                    nodes[0].publish("a", number * 200 + at)
                await lasting(0.01)
            await eventually(lambda: on_redis(nodes[0])["up"] and on_redis(nodes[1])["up"], "both are back")

            def adds_up() -> bool:
                nodes[0].publish("a", "end")
                ends = sum(1 for data in got["n1"] if data == "end")
                lost = on_redis(nodes[1])["lost"]
                return ends > 0 and len(got["n1"]) - ends + lost >= 4001

            await eventually(adds_up, "each came, or is counted")
            assert on_redis(nodes[1])["lost"] > 0 or len(set(got["n1"])) >= 4001
            await eventually(lambda: balanced(nodes), "balanced ledgers")


async def test_output_buffer_limit() -> None:
    """Who reads too slowly is cut off by the server; what it has missed is counted, and so is the cut."""
    with redis_server(client_output_buffer_limit="pubsub 64kb 64kb 1") as server:
        async with redis_mesh(server.url, 1) as nodes:
            got = listen(nodes, "a")
            await listening(server, SUBJECT, 1)
            sent = 200
            with redis.Redis(port=server.port) as writer:  # which does not let this loop, and so the node, read
                writer.publish(SUBJECT, header("far") + batch(StreamEvent("a", "first")))
                await eventually(lambda: got["n0"] == ["first"], "the first")
                for number in range(1, sent):
                    writer.publish(SUBJECT, header("far", before=number) + batch(StreamEvent("a", "x" * 100_000)))
                await eventually(lambda: on_redis(nodes[0])["reconnects"] == 1 and on_redis(nodes[0])["up"], "the cut")
                writer.publish(SUBJECT, header("far", before=sent) + batch(StreamEvent("a", "end")))
            await eventually(lambda: got["n0"][-1] == "end", "what comes afterwards")
            assert on_redis(nodes[0])["lost"] == sent - (len(got["n0"]) - 1) > 0


async def test_counters_outlive_the_node() -> None:
    with redis_server() as server:
        one = redis_node("n0", server.url)
        async with running(one):
            await eventually(lambda: on_redis(one)["up"], "the connection")
            server.publish_by_hand("spiral_codex_mesh:node_n0", b"rubbish")
            await eventually(lambda: on_redis(one)["refused"] == 1, "the refusal")
            await kill_connections(server)
            await eventually(lambda: on_redis(one)["up"] and on_redis(one)["reconnects"] == 1, "the reconnect")
        again = redis_node("n0", server.url)
        async with running(again):
            await eventually(lambda: on_redis(again)["up"], "the connection")
            assert (on_redis(again)["refused"], on_redis(again)["reconnects"]) == (1, 1)
            server.say("FLUSHALL")
        third = redis_node("n0", server.url)
        async with running(third):
            await eventually(lambda: on_redis(third)["up"], "the connection")
            assert on_redis(third)["refused"] == 1
            await all_meet([third])
        assert server.say("TTL", "spiral_codex_mesh:node_n0:losses") > 86_400
