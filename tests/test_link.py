"""The inbound half of a link over raw bytes: RFC 6455's rules, bounds, and every way to cut a message in two."""

import asyncio
import json
import struct

import pytest
from raw_ws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, Received, eventually, frame, gateway, text
from strategies import field, message

PROTO = "lexmesh.v1.proto"
HELLO = json.dumps({"type": "a", "data": "h\u00e9llo"}, ensure_ascii=False).encode()


@pytest.fixture
async def server():
    async with gateway(max_message_size=4096, max_fragments=8) as server:
        server.received = Received()
        server.subscribe(">", server.received)
        yield server


@pytest.fixture(params=[False, True], ids=["first frames", "later frames"])
async def client(server, request: pytest.FixtureRequest):
    """A connection whose frames picows still parses, or one that the gateway's own reader has taken over."""
    client = await RawClient.connect(server.port)
    assert client.status == 101
    if request.param:
        client.send(frame(PING))
        assert (await client.frame()).opcode == PONG
    yield client
    await client.aclose()


def batch(*events: bytes) -> bytes:
    return b"".join(field(1, event) for event in events)


# -- what is allowed ------------------------------------------------------------------------------------------------


async def test_fragments_with_control_frames_between(server, client) -> None:
    client.send(
        frame(TEXT, HELLO[:7], fin=False),
        frame(PING, b"one"),
        frame(CONTINUATION, b"", fin=False),
        frame(PONG, b"unasked"),
        frame(CONTINUATION, HELLO[7:-3], fin=False),
        frame(PING, b""),
        frame(CONTINUATION, HELLO[-3:]),
    )
    assert (await server.received.wait())[0].data == "h\u00e9llo"
    pongs = [await client.frame(), await client.frame()]
    assert [(pong.opcode, pong.payload) for pong in pongs] == [(PONG, b"one"), (PONG, b"")]
    client.send(text(HELLO))
    assert len(await server.received.wait(2)) == 2, "the next message starts afresh"


async def test_fragments_may_cut_a_character(server, client) -> None:
    at = HELLO.index(b"\xa9")
    client.send(frame(TEXT, HELLO[:at], fin=False), frame(CONTINUATION, HELLO[at:]))
    assert (await server.received.wait())[0].data == "h\u00e9llo"


@pytest.mark.parametrize("mask", [b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x80\x00\x7f\x01"])
async def test_any_mask(server, client, mask: bytes) -> None:
    for _ in range(9):  # so that frames start at every alignment
        client.send(frame(TEXT, HELLO, mask=mask))
    assert all(event.data == "h\u00e9llo" for event in await server.received.wait(9))


async def test_the_largest_ping(client) -> None:
    client.send(frame(PING, b"x" * 125))
    assert (await client.frame()).payload == b"x" * 125


@pytest.mark.parametrize(
    ("opcode", "payload", "cuts"),
    [
        (TEXT, HELLO, 1),
        (TEXT, json.dumps({"type": "a", "data": "h\u00e9llo" + "x" * 120}).encode(), 1),
        (BINARY, batch(message(event_type="a", payload="h\u00e9llo"), message(event_type="a", payload="x")), 1),
    ],
)
async def test_the_same_at_whatever_byte_the_stream_is_cut(server, opcode: int, payload: bytes, cuts: int) -> None:
    client = await RawClient.connect(server.port, subprotocol=PROTO)
    whole = frame(TEXT, b'{"type":"first"}') + frame(opcode, payload) + frame(PING, b"p")
    for at in range(1, len(whole)):
        server.received.events.clear()
        client.send(whole[:at])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.send(whole[at:])
        while (await client.frame()).opcode != PONG:
            pass
        datas = [event.data for event in server.received.events[1:]]
        assert datas and str(datas[0]).startswith("h\u00e9llo"), at
        assert len(datas) == (2 if opcode == BINARY else 1)
    client.send(*(bytes([byte]) for byte in whole))
    while (await client.frame()).opcode != PONG:
        pass
    assert server.ledger()["ingress"]["malformed"] == 0
    await client.aclose()


@pytest.mark.parametrize("piece", [1000, 30_000, 40_000, 100_000, 250_000])
async def test_messages_larger_than_what_is_read_at_once(piece: int) -> None:
    async with gateway(max_message_size=1 << 20) as server:
        received = Received()
        server.subscribe("a", received)
        client = await RawClient.connect(server.port)
        sizes = [1, 120, 130, 40_000, 70_000, 140_000, 300_000, 5]
        stream = b"".join(text({"type": "a", "data": "x" * size}) for size in sizes)
        client.send(text({"type": "a", "data": ""}))
        await received.wait()
        for at in range(0, len(stream), piece):
            client.send(stream[at : at + piece])
            await client.drain()
            await asyncio.sleep(0)
        assert [len(event.data) for event in await received.wait(1 + len(sizes))] == [0, *sizes]
        await client.aclose()


async def test_halves_of_frames_that_come_in_turns_are_kept_apart(server) -> None:
    clients = [await RawClient.connect(server.port) for _ in range(3)]
    sent = [text({"type": "a", "data": str(n) * 1000}) for n in range(len(clients))]
    for client in clients:
        client.send(frame(PING))
        assert (await client.frame()).opcode == PONG
    for at in range(0, max(map(len, sent)), 300):
        for client, whole in zip(clients, sent, strict=True):
            client.send(whole[at : at + 300])
            await client.drain()
            await asyncio.sleep(0)
    events = await server.received.wait(len(clients))
    assert sorted(event.data for event in events) == [str(n) * 1000 for n in range(len(clients))]
    for client in clients:
        await client.aclose()


async def test_a_batch_and_fragments_of_one(server) -> None:
    client = await RawClient.connect(server.port, subprotocol=PROTO)
    events = batch(*(message(event_type="a", payload=str(i)) for i in range(100)))
    client.send(frame(BINARY, events))
    client.send(frame(BINARY, events[:50], fin=False), frame(CONTINUATION, events[50:]))
    client.send(frame(BINARY, b""))
    assert [event.data for event in await server.received.wait(200)] == [*range(100), *range(100)]
    await client.aclose()


async def test_what_breaks_off_in_a_batch_counts_once_and_what_came_before_counts(server) -> None:
    client = await RawClient.connect(server.port, subprotocol=PROTO)
    good = batch(message(event_type="a"), message(event_type="a"))
    client.send(frame(BINARY, good + b"\x0a\x05abc"), frame(BINARY, good + field(2, b"x")), frame(BINARY, good))
    await server.received.wait(6)
    assert server.ledger()["ingress"]["malformed"] == 2
    await client.aclose()


# -- what is not ----------------------------------------------------------------------------------------------------

FRAGMENT = frame(TEXT, b"{", fin=False)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(frame(TEXT, HELLO, mask=None), 1002, id="unmasked"),
        pytest.param(frame(TEXT, HELLO, rsv=4), 1002, id="rsv1"),
        pytest.param(frame(TEXT, HELLO, rsv=2), 1002, id="rsv2"),
        pytest.param(frame(BINARY, b"", rsv=1), 1002, id="rsv3"),
        pytest.param(frame(PING, b"", rsv=4), 1002, id="ping with rsv"),
        pytest.param(frame(PONG, b"", rsv=4), 1002, id="pong with rsv"),
        pytest.param(frame(CLOSE, b"\x03\xe8", rsv=1), 1002, id="close with rsv"),
        *(pytest.param(frame(opcode), 1002, id=f"opcode {opcode}") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        pytest.param(frame(PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(frame(PING, b"", fin=False), 1002, id="fragmented ping"),
        pytest.param(frame(CLOSE, b"", fin=False), 1002, id="fragmented close"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(frame(CONTINUATION, b"x", fin=False), 1002, id="unfinished continuation of nothing"),
        pytest.param(FRAGMENT + frame(TEXT, HELLO), 1002, id="a message inside one"),
        pytest.param(FRAGMENT + frame(BINARY, b"", fin=False), 1002, id="a batch inside a text"),
        pytest.param(b"\x81\xfe\x00\x05\0\0\0\0" + b"xxxxx", 1002, id="a 16-bit length that fits 7"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 200) + b"\0" * 4, 1002, id="a 64-bit length that fits 16"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 1 << 63) + b"\0" * 4, 1002, id="a length with its top bit"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 1 << 40), 1009, id="too big by declared length"),
        pytest.param(b"\x82\xff" + struct.pack("!Q", 1 << 40), 1009, id="a batch too big by declared length"),
        pytest.param(frame(TEXT, b'"' + b"x" * 4096), 1009, id="a text too big"),
        pytest.param(
            frame(TEXT, b"x" * 3000, fin=False) + frame(CONTINUATION, b"x" * 3000, fin=False), 1009, id="too big by sum"
        ),
        pytest.param(FRAGMENT + frame(CONTINUATION, b"", fin=False) * 8, 1009, id="too many empty fragments"),
        pytest.param(FRAGMENT + frame(CONTINUATION, b" ", fin=False) * 8, 1009, id="too many fragments"),
        pytest.param(frame(TEXT, b'{"type":"a","data":"\xff"}'), 1007, id="not UTF-8"),
        pytest.param(frame(TEXT, b'{"type":"a","data":"\xed\xa0\x80"}'), 1007, id="a surrogate in UTF-8"),
        pytest.param(frame(TEXT, b'{"\xc0\x80'), 1007, id="overlong, in what is no JSON either"),
        pytest.param(
            frame(TEXT, b'{"type":"a","data":"\xc3', fin=False) + frame(CONTINUATION, b'("}'), 1007, id="cut character"
        ),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, struct.pack("!H", 999)), 1002, id="close 999"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1005)), 1002, id="close 1005"),
        pytest.param(frame(CLOSE, struct.pack("!H", 1006)), 1002, id="close 1006"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="close reason not UTF-8"),
    ],
)
async def test_violations(server, client, sent: bytes, code: int) -> None:
    client.send(sent)
    assert await client.closed() == code
    assert await client.ended()
    await eventually(lambda: server.ledger()["connections"] == 0)
    assert server.received.events == []
    assert server.ledger()["balanced"]


async def test_as_many_fragments_as_allowed(server, client) -> None:
    parts = [HELLO[:1], b"", b"", b"", b"", b"", b"", HELLO[1:]]
    frames = [frame(CONTINUATION, part, fin=False) for part in parts[1:-1]]
    for _ in range(3):
        client.send(frame(TEXT, parts[0], fin=False), *frames, frame(CONTINUATION, parts[-1]))
    assert len(await server.received.wait(3)) == 3


async def test_what_comes_before_a_violation_counts(server, client) -> None:
    client.send(text(HELLO) * 2 + frame(3))
    assert await client.closed() == 1002
    assert len(server.received.events) == 2


async def test_nothing_after_a_violation_is_taken_in(server, client) -> None:
    client.send(frame(CONTINUATION, b"x") + text(HELLO) * 3)
    assert await client.closed() == 1002
    assert server.received.events == []


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 3000, 4000, 4999])
async def test_a_close_is_answered(server, client, code: int) -> None:
    client.send(frame(CLOSE, struct.pack("!H", code) + "d\u00e9j\u00e0".encode()))
    assert await client.closed() in (code, 1000)
    assert await client.ended()
    await eventually(lambda: server.ledger()["connections"] == 0)


async def test_an_empty_close_is_answered_with_a_sendable_code(client) -> None:
    client.send(frame(CLOSE))
    assert await client.closed() in (1000, 1005)


async def test_what_comes_before_a_close_counts_and_what_comes_after_does_not(server, client) -> None:
    client.send(text(HELLO), frame(CLOSE, b"\x03\xe8"), text(HELLO))
    assert await client.closed() == 1000
    assert len(server.received.events) == 1


async def test_vanishing_in_the_middle_of_a_message(server) -> None:
    for part in (b"\x81", frame(TEXT, HELLO)[:9], FRAGMENT):
        client = await RawClient.connect(server.port)
        client.send(text(HELLO) + part)
        await client.drain()
        await server.received.wait()
        await client.aclose()
        await eventually(lambda: server.ledger()["connections"] == 0)
    assert server.ledger()["ingress"]["malformed"] == 0
    assert len(server.received.events) == 3


async def test_pings_without_end_from_one_who_reads_nothing(server) -> None:
    client = await RawClient.connect(server.port, receive_buffer=4096)
    ping = frame(PING, b"x" * 125) * 64
    session = next(iter(server._sessions))
    for _ in range(1000):
        client.send(ping)
        await asyncio.sleep(0)
    await client.drain()
    held = session.link.transport.underlying_transport.get_write_buffer_size()
    assert held < 1 << 20, "answers to pings must not pile up"
    await client.aclose()
    await eventually(lambda: server.ledger()["connections"] == 0)
