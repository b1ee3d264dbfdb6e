"""Durable work while the server restarts, dies, hangs, is full, forgets, or cuts connections: all is done that Redis
has not lost, and what it has lost is said."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from durable_meshes import SUBJECT, Worker, durable_node, known_to, pending
from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import all_meet, balanced, on_redis
from redis_servers import RedisServer, lasting, redis_server
from test_redis_faults import fill, flush_all, kill, kill_connections, pause, restart

from lexmesh import MeshCore

KEEPS = {"appendonly": "yes", "appendfsync": "always"}
PATIENCE = 60.0
TIMES = 50

Fault = Callable[[RedisServer], Awaitable[None]]


async def forget_all(server: RedisServer) -> None:
    """A restart of a server that keeps nothing."""
    await restart(server)


class Publishing:
    """Publishes numbers all the time."""

    def __init__(self, one: MeshCore) -> None:
        self.one = one
        self.said = 0

    def some(self) -> None:
        for _ in range(5):
            self.one.publish(SUBJECT, self.said)
            self.said += 1

    async def through(self, faults: Iterable[Fault], server: RedisServer) -> None:
        async def going_on() -> None:
            while True:
                self.some()
                await lasting(0.03)

        task = asyncio.create_task(going_on())
        try:
            for fault in faults:
                await fault(server)
                await eventually(lambda: on_redis(self.one)["up"], "it is back", PATIENCE)
                await lasting(0.1)
        finally:
            task.cancel()


async def lives_through(fault: Fault, times: int, *, keeps: bool) -> None:
    with redis_server(**(KEEPS if keeps else {})) as server:
        nodes = [durable_node(f"n{number}", server) for number in range(3)]
        workers = [Worker(one) for one in nodes[1:]]
        async with running(*nodes):
            await all_meet(nodes)
            await known_to(nodes)
            publishing = Publishing(nodes[0])
            await publishing.through([fault] * times, server)
            await nodes[0].stored(PATIENCE)
            wanted = set(range(publishing.said))
            await eventually(
                lambda: not undone(wanted, workers) or (not keeps and undone(wanted, workers) <= said_lost(nodes)),
                lambda: f"{undone(wanted, workers)} undone of {len(wanted)}, {said_lost(nodes)} said to be lost",
                PATIENCE,
            )
            if keeps:
                assert said_lost(nodes) == 0
            publishing.some()
            await eventually(
                lambda: undone(set(range(publishing.said)) - wanted, workers) == 0, "what comes later is done", PATIENCE
            )
            await eventually(lambda: pending(server) == 0, "all is acknowledged", PATIENCE)
            await eventually(lambda: balanced(nodes), "balanced ledgers", PATIENCE)


def undone(wanted: set[int], workers: list[Worker]) -> int:
    return len(wanted - {number for one in workers for number in one.got})


def said_lost(nodes: list[MeshCore]) -> int:
    return sum(on_redis(one)["durable_lost"] for one in nodes)


@pytest.mark.parametrize("fault", [restart, kill, fill, kill_connections])
async def test_nothing_is_lost_that_redis_keeps(fault: Fault) -> None:
    await lives_through(fault, 3, keeps=True)


@pytest.mark.parametrize("fault", [flush_all, forget_all])
async def test_what_redis_forgets_is_said(fault: Fault) -> None:
    await lives_through(fault, 3, keeps=False)


@pytest.mark.soak
@pytest.mark.parametrize("fault", [restart, kill, pause, fill, kill_connections])
async def test_nothing_is_lost_50_times(fault: Fault) -> None:
    await lives_through(fault, TIMES, keeps=True)


@pytest.mark.soak
@pytest.mark.parametrize("fault", [flush_all, forget_all])
async def test_what_redis_forgets_is_said_50_times(fault: Fault) -> None:
    await lives_through(fault, TIMES, keeps=False)
