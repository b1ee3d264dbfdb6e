"""The gateway as a process under attack: its memory and descriptors, and the end of it under load."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import psutil
import pytest
from cli_process import PATIENCE, Gateway, gateway, until
from process_memory import growth_while, memory
from raw_ws import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawClient, frame, text

MIB = 1 << 20
BOUNDS = {"LEXMESH_OVERFLOW_BYTES": str(MIB), "LEXMESH_MAX_CONNECTIONS": "64"}
MOST_GROWTH = 160 * MIB
"""For 16 connections that send 384 MiB: each may hold a queue of 1 MiB, a message of 1 MiB in fragments, and a read
buffer of a few, which doubles when one read fills it."""


@pytest.fixture
def running() -> Iterator[Gateway]:
    with gateway(env=BOUNDS) as running:
        yield running


def descriptors(running: Gateway) -> int:
    return psutil.Process(running.process.pid).num_fds()


def health(running: Gateway) -> dict[str, Any]:
    return orjson.loads(running.get("/health"))


# -- memory ---------------------------------------------------------------------------------------------------------

LARGE = text({"type": "a", "data": "x" * 900_000})
MESSAGES = text({"type": "a", "data": "x" * 1000}) * 200
ATTACKS = {
    "never reads what it subscribed to": (
        text({"type": "_lexmesh.subscribe", "data": {"subjects": [">"], "echo": True}}),
        MESSAGES,
    ),
    "pings and never reads": (b"", frame(PING, b"x" * 125) * 500),
    "asks and never reads": (b"", text({"type": "_lexmesh.flush"}) * 500),
    "is refused and never reads": (b"", text({"type": "a", "metadata": {"x": "force"}}) * 200 + text({"type": "a"})),
    "large frames": (b"", LARGE),
    "half a large frame": (LARGE[:-1], b""),
    "half a message of many fragments": (
        frame(TEXT, b'"' + b"x" * 900_000, fin=False),
        frame(CONTINUATION, b"", fin=False) * 1000,
    ),
    "empty fragments without end": (frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"", fin=False) * 10_000),
    "fragments without end": (frame(BINARY, b"", fin=False), frame(CONTINUATION, b"x" * 60_000, fin=False) * 20),
    "a length that never comes": (b"\x82\xff" + struct.pack("!Q", MIB) + b"\1\2\3\4", b"x" * 1000),
    "too large by declared length": (b"\x82\xff" + struct.pack("!Q", 1 << 40), b"x" * 100_000),
    "unmasked": (b"", frame(TEXT, b'{"type":"a"}', mask=None) * 1000),
    "rubbish after a violation": (frame(3), b"\xff" * 100_000),
    "a subject of its own for each message": (
        b"",
        b"".join(text({"type": f"{os.getpid()}.{n}"}) for n in range(500)),
    ),
    "names without end": (
        b"",
        b"".join(text({"type": "a", "source_node": f"n{n}", "id": f"n{n}:1:1"}) for n in range(500)),
    ),
}


async def attack(port: int, opening: bytes, flood: bytes) -> None:
    """Sends 24 MB, or until the gateway takes no more, and never reads a byte after the handshake."""
    client = await RawClient.connect(port, receive_buffer=4096)
    with contextlib.suppress(ConnectionError, TimeoutError):
        client.send(opening)
        for _ in range(24 * MIB // len(flood) if flood else 0):
            client.send(flood)
            await asyncio.wait_for(client.writer.drain(), 0.3)
    await client.aclose()


@pytest.mark.parametrize("name", ATTACKS)
async def test_memory_stays_bounded_when_a_client(running: Gateway, name: str) -> None:
    grown = await growth_while(running, (attack(running.port, *ATTACKS[name]) for _ in range(16)))
    assert grown < MOST_GROWTH, f"{grown // MIB} MiB"
    good = await RawClient.connect(running.port)
    good.send(text({"type": "good"}))
    assert (await good.flush())["taken"] == 1, "others are served as ever"
    await good.aclose()
    ledger = await asyncio.to_thread(running.stop)
    assert ledger["balanced"]
    assert "Traceback" not in running.text("stderr")


async def test_memory_of_half_sent_frames_comes_back(running: Gateway) -> None:
    before = memory(running)
    clients = [await RawClient.connect(running.port) for _ in range(32)]
    for client in clients:
        client.send(LARGE[:-1])
        await client.drain()
    await asyncio.to_thread(until, lambda: memory(running) > before + 16 * MIB, "the frames to arrive")
    for client in clients:
        client.send(LARGE[-1:])
        assert (await client.flush())["taken"] == 1
    await asyncio.to_thread(until, lambda: memory(running) < before + 8 * MIB, "the read buffers to shrink")
    for client in clients:
        await client.aclose()


# -- connections that come and go -----------------------------------------------------------------------------------

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SUBSCRIBE = text({"type": "_lexmesh.subscribe", "data": {"subjects": ["a.*", "b"]}})
ENDINGS = (
    b"",  # vanishes after the handshake
    text({"type": "a.b"}) + frame(TEXT, b'{"type"', fin=False),
    SUBSCRIBE + frame(CLOSE, b"\x03\xe8"),
    frame(3),
    SUBSCRIBE + LARGE[:3000],
)
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


def come_and_go(port: int, n: int) -> None:
    """Connects, shakes hands, says something or not, and ends in a reset: the port is free again at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        if n % 50 == 0:
            return
        sock.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101")
        sock.sendall(ENDINGS[n % len(ENDINGS)])


def churn(port: int, cycles: int, per_second: float) -> float:
    """Runs so many cycles from four threads, no faster than told; returns the seconds it took."""
    pause = threading.Event()
    started = time.monotonic()

    def some(first: int) -> None:
        for n in range(first, cycles, 4):
            ahead = started + n / per_second - time.monotonic()
            if ahead > 0:
                pause.wait(ahead)
            come_and_go(port, n)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(some, range(4)))
    return time.monotonic() - started


def assert_no_leak(running: Gateway, before_it_counts: int, cycles: int, per_second: float, most_growth: int) -> float:
    churn(running.port, before_it_counts, per_second)  # what is made once, and what the allocators keep for the next
    until(lambda: health(running)["connections"] == 0, "the first connections to be gone")
    before, open_before = memory(running), descriptors(running)
    took = churn(running.port, cycles, per_second)
    until(lambda: health(running)["connections"] == 0, "all connections to be gone")
    until(lambda: descriptors(running) <= open_before, "all descriptors to be closed")
    until(lambda: memory(running) - before < most_growth, f"less than {(memory(running) - before) // 1024} KiB more")
    assert health(running)["balanced"]
    return took


def test_connections_that_come_and_go_leak_nothing() -> None:
    with gateway() as running:
        assert_no_leak(running, 1500, 3000, 1000, 6 * MIB)


@pytest.mark.soak
def test_a_thousand_connections_a_second_for_a_minute_leak_nothing() -> None:
    with gateway() as running:
        took = assert_no_leak(running, 20_000, 60_000, 1000, 6 * MIB)
        print(f"60,000 cycles in {took:.1f} s")


# -- the end under load ---------------------------------------------------------------------------------------------


class Flood(threading.Thread):
    """Publishes until the connection ends."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.sendall(REQUEST)
        while b"\r\n\r\n" not in self.sock.recv(4096):
            pass

    def run(self) -> None:
        with self.sock, contextlib.suppress(OSError):
            while True:
                self.sock.sendall(MESSAGES)


async def test_sigterm_under_load_delivers_what_was_accepted_and_ends_in_time() -> None:
    with gateway(env={"LEXMESH_OVERFLOW": "block"}) as running:
        subscribers = [await RawClient.connect(running.port) for _ in range(2)]
        for subscriber in subscribers:
            await subscriber.subscribe("a")
        floods = [await asyncio.to_thread(Flood, running.port) for _ in range(2)]
        for flood in floods:
            flood.start()
        counting = [asyncio.ensure_future(count_until_closed(subscriber)) for subscriber in subscribers]
        await asyncio.to_thread(until, lambda: health(running)["taken"] > 20_000, "load")
        running.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.process.wait, 5)
        counts = [await task for task in counting]
        assert [code for _, code in counts] == [1001, 1001]
        assert await asyncio.to_thread(running.end) == 0
        ledger = orjson.loads(running.seen["stdout"][-1])["ledger"]
        assert [count for count, _ in counts] == [ledger["ingress"]["routed"]] * 2, "all that was accepted"
        assert ledger["egress"]["delivered"] == 2 * ledger["ingress"]["routed"] >= 40_000
        assert (ledger["balanced"], ledger["egress"]["in_flight"], ledger["undecided"]) == (True, 0, 0)
        for subscriber in subscribers:
            await subscriber.aclose()
        for flood in floods:
            await asyncio.to_thread(flood.join)


async def count_until_closed(subscriber: RawClient) -> tuple[int, int]:
    """How many messages came before the close frame, and its code."""
    count = 0
    while (found := await subscriber.frame()).opcode != CLOSE:
        count += 1
        subscriber.seen.clear()
    subscriber.send(frame(CLOSE, found.payload[:2]))
    return count, found.code


async def test_sigterm_does_not_wait_for_a_client_that_reads_nothing() -> None:
    with gateway(env={"LEXMESH_OVERFLOW": "block"}) as running:
        slow = await RawClient.connect(running.port, receive_buffer=4096)
        await slow.subscribe("a")
        flood = await asyncio.to_thread(Flood, running.port)
        flood.start()
        await asyncio.to_thread(until, lambda: health(running)["in_flight"] > 5000, "a queue")
        running.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.process.wait, 5)
        assert await asyncio.to_thread(running.end) == 0
        ledger = orjson.loads(running.seen["stdout"][-1])["ledger"]
        assert (ledger["balanced"], ledger["egress"]["in_flight"]) == (True, 0)
        assert sum(ledger["egress"]["dropped"].values()) > 0
        await slow.aclose()
        await asyncio.to_thread(flood.join)
