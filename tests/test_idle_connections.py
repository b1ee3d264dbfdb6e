"""What a gateway spends on connections that do nothing."""

import asyncio
import base64
import json
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
MIB = 1 << 20
MOST_KEPT = 256 * 1024
"""Bytes that a node may keep for messages to come; a hostile one of 1 MiB makes it take some 50 MiB."""
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


def hostile(size: int) -> bytes:
    """A message that is decoded in many ways: escapes, lookalikes, base64, numbers, JSON in JSON."""
    part = (
        '\\u00e9 %25 &amp; \u0430 =66 "' + base64.b64encode("cálm words ".encode() * 30).decode() + '" [1,2,3] a-b-c '
    )
    inner = json.dumps([part * (size // 6 // len(part))])
    many_keys = {f"\u0430{number}": number for number in range(size // 40)}
    return text({"type": "agent_message", "data": {"text": inner, "more": many_keys}})


async def test_what_a_hostile_message_took_is_given_back() -> None:
    seen: list[int] = []
    async with gateway_here(frame_timeout=0.2) as server, subscribed(server.port, 1) as [client]:
        server.subscribe("agent_message", lambda _: seen.append(server.core.capacity))
        for _ in range(2):
            client.send(hostile(600_000))
            await client.flush()
            assert seen.pop() > 8 * MIB
            await eventually(lambda: server.core.capacity < MOST_KEPT)
        client.send(text({"type": "b", "metadata": {"note": "h\u0430rm"}}), text({"type": "b", "data": "fine é"}))
        receipt = await client.flush()
        assert (receipt["taken"], receipt["denied"]) == (4, 1)


async def test_the_system_gets_it_back_from_a_gateway() -> None:
    with gateway(env={"LEXMESH_FRAME_TIMEOUT": "0.2"}) as running:
        process = psutil.Process(running.process.pid)
        async with subscribed(running.port, 1) as [client]:
            client.send(hostile(1000))
            await client.flush()
            before = process.memory_info().rss
            for _ in range(3):
                client.send(hostile(1_400_000))
                await client.flush()
            await asyncio.to_thread(until, lambda: process.memory_info().rss < before + 8 * MIB, "the memory")
