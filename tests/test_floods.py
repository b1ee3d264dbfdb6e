"""Peers that send too much, too slowly or not at all: what a connection may cost, over raw bytes to a real server."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import pytest
from raw_ws import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawClient,
    Received,
    eventually,
    frame,
    gateway,
    text,
)
from strategies import field, message

from lexmesh.transports import ws_server

PROTO = "lexmesh.v1.proto"


def only_session(server: Any) -> Any:
    (session,) = server._sessions
    return session


# -- handshakes -----------------------------------------------------------------------------------------------------


async def test_a_header_over_16_kib_gets_no_connection() -> None:
    async with gateway() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX: " + b"x" * 16_384 + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        large = await RawClient.connect(server.port, headers={"X-Large": "x" * 15_000})
        assert large.status == 101
        await large.aclose()


async def test_a_header_without_end_gets_no_connection() -> None:
    async with gateway() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for n in range(2000):
                writer.write(b"X-%d: %s\r\n" % (n, b"x" * 100))
                await writer.drain()
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_handshake_that_stalls_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ws_server.HANDSHAKE_SECONDS == 5.0
    monkeypatch.setattr(ws_server, "HANDSHAKE_SECONDS", 0.2)
    async with gateway() as server:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(begun)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        in_time = await RawClient.connect(server.port)
        assert in_time.status == 101
        await in_time.aclose()


# -- frames that do not end -----------------------------------------------------------------------------------------

EITHER_READER = pytest.mark.parametrize("later", [False, True], ids=["first frames", "later frames"])


async def past_first_frames(client: RawClient) -> None:
    """From here on the gateway's own reader has the connection, no longer picows."""
    client.send(frame(PING))
    assert (await client.frame()).opcode == PONG


@EITHER_READER
@pytest.mark.parametrize("whole", [frame(TEXT, b"x" * 100), frame(BINARY, b"x" * 70_000), frame(PING, b"x" * 9)])
@pytest.mark.parametrize("sent", [1, 2, 7, -1])
async def test_half_a_frame_is_waited_for_and_then_closed(whole: bytes, sent: int, later: bool) -> None:
    async with gateway(frame_timeout=0.2) as server:
        client = await RawClient.connect(server.port)
        if later:
            await past_first_frames(client)
        client.send(text({"type": "before"}), whole[:sent])
        assert await client.closed() == 1008
        assert server.ledger()["taken"] == 1
        await client.aclose()
        await eventually(lambda: server.ledger()["connections"] == 0)


@EITHER_READER
async def test_a_frame_that_trickles_is_late_all_the_same(later: bool) -> None:
    async with gateway(frame_timeout=0.2) as server:
        client = await RawClient.connect(server.port)
        if later:
            await past_first_frames(client)
        trickle = asyncio.ensure_future(send_slowly(client, frame(TEXT, b"x" * 60_000)))
        assert await client.closed() == 1008
        trickle.cancel()
        await client.aclose()


async def send_slowly(client: RawClient, whole: bytes) -> None:
    for byte in whole:
        client.send(bytes([byte]))
        await client.drain()
        await eventually(lambda: True)
        tick = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.005, tick.set_result, None)
        await tick


async def test_an_unfinished_message_of_whole_frames_and_an_idle_client_stay() -> None:
    async with gateway(frame_timeout=0.05) as server:
        idle, halfway = await RawClient.connect(server.port), await RawClient.connect(server.port)
        halfway.send(frame(TEXT, b'{"type"', fin=False))
        late = await RawClient.connect(server.port)
        late.send(b"\x81")
        assert await late.closed() == 1008, "three sweeps and more have passed"
        halfway.send(frame(CONTINUATION, b':"a"}'))
        assert (await halfway.flush())["taken"] == 1
        assert (await idle.flush())["taken"] == 0
        for client in (idle, halfway, late):
            await client.aclose()


# -- fragments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", b" "])
async def test_1024_fragments_and_no_more(piece: bytes) -> None:
    async with gateway() as server:
        client = await RawClient.connect(server.port)
        first, last = frame(TEXT, b"{", fin=False), frame(CONTINUATION, b'"type":"a"}')
        client.send(first, frame(CONTINUATION, piece, fin=False) * 1022, last)
        assert (await client.flush())["taken"] == 1
        client.send(first, frame(CONTINUATION, piece, fin=False) * 1023, last)
        assert await client.closed() == 1009
        await client.aclose()


# -- too many messages ----------------------------------------------------------------------------------------------


async def test_a_flood_is_read_at_the_rate_and_none_of_it_is_lost() -> None:
    async with gateway(messages_per_second=1000, message_burst=100) as server:
        heard = Received()
        server.subscribe("a", heard)
        client = await RawClient.connect(server.port)
        client.send(*(text({"type": "a", "data": n}) for n in range(500)))
        await eventually(lambda: only_session(server)._blocked_by)
        await heard.wait(500)
        assert (await client.flush())["taken"] == 500
        assert [event.data for event in heard.events] == list(range(500))
        await client.aclose()


async def test_other_clients_do_not_wait_for_one_that_floods() -> None:
    async with gateway(messages_per_second=10, message_burst=10) as server:
        flood, other = await RawClient.connect(server.port), await RawClient.connect(server.port)
        flood.send(*[text({"type": "a"})] * 2000)
        await eventually(lambda: server.ledger()["taken"])
        taken = server.ledger()["taken"]
        for _ in range(5):
            assert (await other.flush())["taken"] == 0
        assert server.ledger()["taken"] == taken < 2000, "in debt for minutes"
        await flood.aclose()
        await other.aclose()


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(frame(PING, b"x") * 300, id="pings"),
        pytest.param(frame(PONG, b"x") * 300, id="pongs"),
        pytest.param(frame(BINARY, field(1, message(event_type="a")) * 300), id="a batch"),
        pytest.param(text({"type": "_lexmesh.flush"}) * 300, id="requests"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(CONTINUATION, fin=False) * 300, id="fragments"),
    ],
)
async def test_whatever_the_flood_is_made_of(flood: bytes) -> None:
    async with gateway(messages_per_second=10, message_burst=200) as server:
        client = await RawClient.connect(server.port, subprotocol=PROTO)
        client.send(flood)
        await eventually(lambda: only_session(server)._blocked_by)
        await client.aclose()


async def test_no_rate_no_bucket() -> None:
    async with gateway() as server:
        client = await RawClient.connect(server.port)
        client.send(*[text({"type": "a"})] * 20_000)
        assert (await client.flush())["taken"] == 20_000
        await client.aclose()


async def test_pings_without_end_from_one_who_reads_the_answers() -> None:
    async with gateway() as server:
        client = await RawClient.connect(server.port)
        for _ in range(20):
            client.send(frame(PING, b"x" * 125) * 500)
            for _ in range(500):
                assert (await client.frame()).opcode == PONG
        transport = only_session(server).link.transport.underlying_transport
        assert transport.get_write_buffer_size() < 1 << 20
        await client.aclose()


# -- read buffers ---------------------------------------------------------------------------------------------------


async def test_a_read_buffer_is_given_back_after_a_large_frame() -> None:
    async with gateway(frame_timeout=0.2) as server:
        heard = Received()
        server.subscribe("a", heard)
        client = await RawClient.connect(server.port)
        link = only_session(server).link
        for n in range(3):
            client.send(text({"type": "a", "data": "x" * 900_000}))
            await heard.wait(n + 1)
            await eventually(lambda: link.read_capacity <= 16_384, f"{link.read_capacity} bytes held")
        for size in (0, 100, 15_000, 17_000, 100_000):
            client.send(text({"type": "a", "data": "x" * size}))
        assert [len(event.data) for event in (await heard.wait(8))[3:]] == [0, 100, 15_000, 17_000, 100_000]
        await client.aclose()


@EITHER_READER
async def test_it_is_not_while_half_a_frame_is_in_it(later: bool) -> None:
    async with gateway(frame_timeout=0.4) as server:
        heard = Received()
        server.subscribe("a", heard)
        client = await RawClient.connect(server.port)
        if later:
            await past_first_frames(client)
        link = only_session(server).link
        whole = text({"type": "a", "data": "x" * 900_000})
        client.send(whole[:-1])
        await eventually(lambda: link.pending == len(whole) - 1)
        link.trim()
        assert link.pending == len(whole) - 1 <= link.read_capacity
        client.send(whole[-1:])
        assert len((await heard.wait())[0].data) == 900_000
        await client.aclose()


@EITHER_READER
async def test_a_declared_length_reserves_nothing(later: bool) -> None:
    async with gateway() as server:
        client = await RawClient.connect(server.port)
        if later:
            await past_first_frames(client)
        client.send(b"\x81\xff" + (1 << 20).to_bytes(8, "big") + b"\1\2\3\4")
        await eventually(lambda: only_session(server).link.pending == 14)
        assert only_session(server).link.read_capacity <= 16_384
        await client.aclose()


# -- handlers -------------------------------------------------------------------------------------------------------


async def test_handlers_that_hang_hold_so_many_messages_and_no_more() -> None:
    async with gateway(handler_concurrency=4, drain_seconds=0.2) as server:
        server.register_handler("hang", lambda data: asyncio.Event().wait())
        client = await RawClient.connect(server.port)
        client.send(*[text({"type": "hang"})] * 1000)
        assert (await client.flush())["routed"] == 1000
        egress = server.ledger()["egress"]
        held = 4 + 4 * 64
        assert (egress["in_flight"], sum(egress["dropped"].values())) == (held, 1000 - held)
        client.send(text({"type": "other"}))
        assert (await client.flush())["unroutable"] == 1, "others go on"
        await client.aclose()


@pytest.mark.parametrize("cut", [1, 8, 150, -1])
async def test_a_client_that_vanishes_in_the_middle_of_a_batch(cut: int) -> None:
    async with gateway() as server:
        heard = Received()
        server.subscribe("a", heard)
        events = b"".join(field(1, message(event_type="a", payload=json.dumps(n))) for n in range(100))
        client = await RawClient.connect(server.port, subprotocol=PROTO)
        client.send(frame(BINARY, events), frame(BINARY, events)[:cut])
        await client.drain()
        await heard.wait(100)
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends in a reset, not in order
        await client.aclose()
        await eventually(lambda: server.ledger()["connections"] == 0)
        assert len(heard.events) == 100
        assert server.ledger()["ingress"]["malformed"] == 0
