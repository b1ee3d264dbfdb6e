"""A gateway's gRPC service under clients that misbehave: it stays up, its memory bounded, its ledger balanced."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from cli_process import PATIENCE, Gateway, until
from grpc_process import grpc_address, grpc_gateway
from process_memory import growth_while
from raw_h2 import (
    CANCEL,
    CONTINUATION,
    HEADERS,
    PING,
    RST_STREAM,
    SEND_DATA,
    SETTINGS,
    STREAM_EVENTS,
    WINDOW_UPDATE,
    connect,
    cut,
    data,
    field,
    frame,
    grpc_message,
    headers,
)
from requirements import absent

MIB = 1 << 20
CONNECTIONS = 8
MOST_SENT = 16 * MIB
MOST_GROWTH = 192 * MIB
"""For what 8 connections send: each may have 100 calls with a window of 64 KiB, and grpc has buffers of its own."""

EVENT = b"\x1a\x01a\x22\x02{}"
DENIED = b"\x1a\x01a\x32\x0a\x0a\x01x\x12\x05force"
LARGE = b"\x1a\x01a\x22\x80\xb8\x3d" + b"x" * 1_006_592


def streams(make: Callable[[int], bytes], first: int = 1, count: int = 2000) -> bytes:
    return b"".join(make(2 * n + first) for n in range(count))


EVENTS = data(1, grpc_message(EVENT) * 2000)
ATTACKS: dict[str, tuple[bytes, bytes]] = {
    "sends events and never reads": (headers(1, STREAM_EVENTS), EVENTS),
    "is denied and never reads": (headers(1, STREAM_EVENTS), data(1, grpc_message(DENIED) * 2000)),
    "opens calls and leaves them": (streams(lambda n: headers(n, STREAM_EVENTS), count=5000), b""),
    "opens calls with half a message": (
        streams(lambda n: headers(n, SEND_DATA) + data(n, grpc_message(b"x" * 1000, length=MIB)), count=200),
        b"",
    ),
    "announces a message of 4 GB": (headers(1, SEND_DATA) + data(1, grpc_message(b"", length=0xFFFFFFFF)), EVENTS),
    "sends a large message again and again": (headers(1, STREAM_EVENTS), data(1, grpc_message(LARGE))),
    "resets each call at once": (
        b"",
        streams(lambda n: headers(n, SEND_DATA) + frame(RST_STREAM, n, CANCEL), count=5000),
    ),
    "resets each call when it has sent": (
        b"",
        streams(
            lambda n: headers(n, SEND_DATA) + data(n, grpc_message(EVENT), end=True) + frame(RST_STREAM, n, CANCEL)
        ),
    ),
    "pings and never reads": (b"", frame(PING, 0, b"12345678") * 5000),
    "changes its settings again and again": (b"", frame(SETTINGS, 0, b"\x00\x03\x00\x00\x00\x64") * 5000),
    "has headers without end": (
        frame(HEADERS, 1, field(":method", "POST")),
        frame(CONTINUATION, 1, field("x", "y" * 100) * 100) * 20,
    ),
    "has large metadata": (
        b"",
        streams(lambda n: headers(n, SEND_DATA, *(("x", "y" * 1000) for _ in range(15))), count=100),
    ),
    "opens its windows without end": (b"", frame(WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff") * 1000),
    "talks rubbish": (b"\xff" * 1000, b"\x00\x01\x02" * 10_000),
}


def port_of(running: Gateway) -> int:
    return int(grpc_address(running).rpartition(":")[2])


@pytest.fixture
def running() -> Iterator[Gateway]:
    with grpc_gateway(env={"LEXMESH_DRAIN_SECONDS": "2"}) as running:
        yield running


def assert_fine(running: Gateway, stubs: Any) -> dict[str, Any]:
    """Others are served as ever, the process ends in order, and its ledger balances."""
    with grpc.insecure_channel(grpc_address(running)) as channel:
        stub = stubs.InternodeServiceStub(channel)
        assert stub.SendData(stubs.messages.DataMessage(data_type="good"), timeout=PATIENCE).success
    ledger = running.stop()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0
    assert "Traceback" not in running.text("stderr"), running.text("stderr")
    return ledger


async def attack(port: int, opening: bytes, flood: bytes) -> None:
    """Sends until the gateway takes no more, and reads nothing."""
    _, writer = await connect(port)
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(opening)
        for _ in range(MOST_SENT // len(flood) if flood else 1):
            writer.write(flood)
            await asyncio.wait_for(writer.drain(), 0.3)
    await cut(writer)


@pytest.mark.parametrize("name", ATTACKS)
async def test_memory_stays_bounded_when_a_client(running: Gateway, stubs: Any, name: str) -> None:
    grown = await growth_while(running, (attack(port_of(running), *ATTACKS[name]) for _ in range(CONNECTIONS)))
    assert grown < MOST_GROWTH, f"{grown // MIB} MiB"
    await asyncio.to_thread(assert_fine, running, stubs)


def test_h2load_at_full_rate(running: Gateway, stubs: Any, tmp_path: Path) -> None:
    if shutil.which("h2load") is None:
        absent("no h2load: apt-get install nghttp2-client")
    body = tmp_path / "body"
    body.write_bytes(grpc_message(stubs.messages.DataMessage(data_type="load", data=b"{}").SerializeToString()))
    command = ["h2load", "-n", "5000", "-c", "10", "-m", "10", "-d", str(body)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    done = subprocess.run(
        [*command, f"http://{grpc_address(running)}{SEND_DATA}"], capture_output=True, text=True, timeout=120
    )
    assert "5000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    assert assert_fine(running, stubs)["taken"] == 5001


async def test_a_client_that_dies_mid_stream(running: Gateway, stubs: Any) -> None:
    for _ in range(5):
        _, writer = await connect(port_of(running))
        writer.write(headers(1, STREAM_EVENTS) + EVENTS[: len(EVENTS) // 2 + 7])
        await writer.drain()
        await cut(writer)
    ledger = await asyncio.to_thread(assert_fine, running, stubs)
    assert ledger["taken"] == sum(ledger["ingress"].values())


async def test_a_client_that_stops_reading_is_not_read_from(running: Gateway, stubs: Any) -> None:
    """Its answers would pile up: so it is taken no more from than its windows hold answers for."""
    _, writer = await connect(port_of(running))
    writer.write(headers(1, STREAM_EVENTS))
    with contextlib.suppress(TimeoutError):
        while True:
            writer.write(EVENTS)
            await asyncio.wait_for(writer.drain(), 1)
    taken = orjson.loads(await asyncio.to_thread(running.get, "/health"))["taken"]
    assert 0 < taken < 20_000
    await asyncio.to_thread(assert_fine, running, stubs)  # which stops, though that client still reads nothing
    await cut(writer)


def test_a_server_that_is_killed_mid_stream(stubs: Any) -> None:
    event = stubs.messages.EventMessage(event_type="a")
    with grpc_gateway() as running, grpc.insecure_channel(grpc_address(running)) as channel:
        answers = stubs.InternodeServiceStub(channel).StreamEvents(iter(lambda: event, None))
        for _, answer in zip(range(100), answers, strict=False):
            assert answer.success
        running.process.kill()
        with pytest.raises(grpc.RpcError) as caught:
            list(answers)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert running.end() == -signal.SIGKILL


def test_a_stop_under_load_drains(running: Gateway, stubs: Any) -> None:
    event = stubs.messages.EventMessage(event_type="a")
    with grpc.insecure_channel(grpc_address(running)) as channel:
        answers = stubs.InternodeServiceStub(channel).StreamEvents(iter(lambda: event, None))
        for _, answer in zip(range(100), answers, strict=False):
            assert answer.success
        running.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            list(answers)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    until(lambda: running.process.poll() is not None, "the end")
    assert running.stop()["balanced"]


async def test_a_client_that_answers_no_ping_is_cut(stubs: Any) -> None:
    with grpc_gateway(env={"LEXMESH_GRPC_KEEPALIVE": "1"}) as running:
        port = int(grpc_address(running).rpartition(":")[2])
        reader, writer = await connect(port)
        heard = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while some := await reader.read(65_536):
                    heard += some
        assert b"ping_timeout" in heard
        await cut(writer)
        await asyncio.to_thread(assert_fine, running, stubs)
