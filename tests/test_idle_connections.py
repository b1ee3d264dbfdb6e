"""What a gateway spends on connections that do nothing."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psutil
import pytest
from cli_process import Gateway, gateway, until
from raw_ws import RawClient, eventually, text
from raw_ws import gateway as gateway_here

CONNECTIONS = 1000
WARM_UP = 100
SPARE_DESCRIPTORS = 200
MOST_BYTES = 12 * 1024
"""Resident memory of the gateway for each connection; a little over a half of it is what they take."""
SUBSCRIBE = text({"type": "_lexmesh.subscribe", "data": {"subjects": ["a"]}})


@pytest.fixture
def running() -> Iterator[Gateway]:
    """A gateway that may have as many connections as the test, which has to hold their other ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = WARM_UP + CONNECTIONS + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} open files, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        with gateway(env={"LEXMESH_MAX_CONNECTIONS": str(needed)}) as running:
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def subscribed(port: int, count: int) -> AsyncIterator[list[RawClient]]:
    clients: list[RawClient] = []
    try:
        for _ in range(count):
            clients.append(await RawClient.connect(port))
            clients[-1].send(SUBSCRIBE)
            await clients[-1].json_of("_lexmesh.subscribed")
        yield clients
    finally:
        for client in clients:
            await client.aclose()


async def test_an_idle_connection_costs_at_most_12_kib_and_one_descriptor(running: Gateway) -> None:
    process = psutil.Process(running.process.pid)
    async with subscribed(running.port, WARM_UP):
        memory, descriptors = process.memory_info().rss, process.num_fds()
        async with subscribed(running.port, CONNECTIONS) as clients:
            each = (process.memory_info().rss - memory) / CONNECTIONS
            assert each < MOST_BYTES
            assert process.num_fds() - descriptors == CONNECTIONS
            clients[0].send(text({"type": "a", "data": 1}))
            for client in clients[1:]:
                assert (await client.json_of("a"))["data"] == 1
        await asyncio.to_thread(until, lambda: process.num_fds() == descriptors, "the descriptors to come back")


async def test_a_burst_leaves_no_buffers_behind_once_it_is_quiet() -> None:
    async with gateway_here(frame_timeout=0.2) as server, subscribed(server.port, 2) as (sender, reader):
        links = [session.link for session in server._sessions]
        least = max(link.read_capacity for link in links)
        assert least < 1024
        sender.send(*[text({"type": "a", "data": "x" * 50_000})] * 20)
        for _ in range(20):
            assert len((await reader.json_of("a"))["data"]) == 50_000
        await eventually(lambda: all(link.read_capacity <= least for link in links))
        await eventually(lambda: all(link.outbox.capacity <= 1024 for link in links))
        sender.send(*[text({"type": "a", "data": "x" * size}) for size in (0, 100, 511, 512, 513, 700, 10_000, 300)])
        sizes = [len((await reader.json_of("a"))["data"]) for _ in range(8)]
        assert sizes == [0, 100, 511, 512, 513, 700, 10_000, 300], "it grows again as it must"
