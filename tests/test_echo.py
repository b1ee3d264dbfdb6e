"""RFC 6455 message for message, against the echo server, which runs on the gateway's own links.

The cases that a frame layer alone gets wrong, and those that tell one close code from another; after the public
Autobahn suite's sections 1 to 7 and 10, which the echo server passes as a whole.
"""

import asyncio
import contextlib
import functools
import struct
import sys
from collections.abc import AsyncIterator

import pytest
from raw_ws import BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, TEXT, RawClient, eventually, frame

from lexmesh import MeshConfig
from lexmesh._link import Link
from lexmesh.testing import EchoServer

WORD = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()  # a Greek word of two and three byte characters
HIGHEST = b"\xf4\x8f\xbf\xbf"  # U+10FFFF


@pytest.fixture
async def server() -> AsyncIterator[EchoServer]:
    async with EchoServer(config=MeshConfig(drain_seconds=1.0)) as server:
        yield server


@pytest.fixture
async def client(server: EchoServer) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(server.port)
    assert client.status == 101
    yield client
    await client.aclose()


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


# -- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 1_000_000])
async def test_sizes(client: RawClient, opcode: int, size: int) -> None:
    payload = b"\xfe" * size if opcode == BINARY else b"*" * size
    client.send(frame(opcode, payload))
    back = await client.frame()
    assert (back.opcode, back.fin, back.payload) == (opcode, True, payload)


@pytest.mark.parametrize("chop", [1, 997, 5000])
async def test_a_frame_in_chops(client: RawClient, chop: int) -> None:
    payload = b"*" * (chop * 40)
    whole = frame(TEXT, payload)
    for at in range(0, len(whole), chop):
        client.send(whole[at : at + chop])
        await asyncio.sleep(0)
    assert (await client.frame()).payload == payload


@pytest.mark.parametrize("size", [1, 1300, 4096])
async def test_a_message_in_fragments_of_one_size(client: RawClient, size: int) -> None:
    payload = bytes(range(256)) * 4
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    for at, part in enumerate(parts):
        client.send(frame(CONTINUATION if at else BINARY, part, fin=at == len(parts) - 1))
    back = await client.frame()
    assert (back.opcode, back.payload) == (BINARY, payload)


async def test_pings_between_fragments_are_answered_before_the_message(client: RawClient) -> None:
    client.send(frame(TEXT, WORD[:3], fin=False))
    client.send(frame(PING, b"one"), frame(PONG, b"unasked"), frame(CONTINUATION, WORD[3:8], fin=False))
    client.send(frame(PING, b"two"), frame(CONTINUATION, WORD[8:], fin=False), frame(CONTINUATION))
    got = [await client.frame() for _ in range(3)]
    assert [(found.opcode, found.payload) for found in got] == [(PONG, b"one"), (PONG, b"two"), (TEXT, WORD)]


async def test_ten_pings_in_order(client: RawClient) -> None:
    client.send(*(frame(PING, b"payload-%d" % n) for n in range(10)))
    assert [(await client.frame()).payload for _ in range(10)] == [b"payload-%d" % n for n in range(10)]


# -- UTF-8 fails fast (sections 5.6 and 8.1) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        WORD,
        HIGHEST,
        b"\x00",
        b"\x7f",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbe",
        b"\xef\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf0\x9f\xbf\xbf",
    ],
)
async def test_text_cut_between_any_two_bytes(client: RawClient, text: bytes) -> None:
    padded = b"a" * 15 + text + b"b"
    client.send(frame(TEXT, padded))
    assert (await client.frame()).payload == padded
    parts = [padded[at : at + 1] for at in range(len(padded))]
    client.send(frame(TEXT, parts[0], fin=False), *(frame(CONTINUATION, part, fin=False) for part in parts[1:]))
    client.send(frame(CONTINUATION))
    assert (await client.frame()).payload == padded


NOT_TEXT = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc2a",
    b"\xe1\x80a",
    b"\xf1\x80\x80a",
    b"\xc3\xc3",
]


@pytest.mark.parametrize("text", NOT_TEXT, ids=bytes.hex)
async def test_what_is_no_text_closes_with_1007(client: RawClient, text: bytes) -> None:
    client.send(frame(TEXT, WORD + text + b"edited"))
    assert await client.closed() == 1007
    assert await client.ended()


@pytest.mark.parametrize("text", NOT_TEXT, ids=bytes.hex)
async def test_it_does_so_at_its_fragment_not_at_the_messages_end(client: RawClient, text: bytes) -> None:
    client.send(frame(TEXT, WORD, fin=False), frame(CONTINUATION, text, fin=False))
    assert await client.closed() == 1007, "the message never ended"


@pytest.mark.parametrize("text", [text for text in NOT_TEXT if len(text) > 1], ids=bytes.hex)
async def test_and_at_the_first_byte_that_cannot_be(client: RawClient, text: bytes) -> None:
    frames = [frame(CONTINUATION, text[at : at + 1], fin=False) for at in range(len(text))]
    client.send(frame(TEXT, WORD, fin=False), *frames)
    assert await client.closed() == 1007


@pytest.mark.parametrize("cut", [b"\xce", b"\xe1\xbd", b"\xf4\x8f\xbf"])
async def test_a_character_that_the_message_ends_in(client: RawClient, cut: bytes) -> None:
    client.send(frame(TEXT, b"abc" + cut[:1], fin=False), frame(CONTINUATION, cut[1:]))
    assert await client.closed() == 1007


async def test_binary_may_be_anything_and_text_after_it_starts_afresh(client: RawClient) -> None:
    client.send(frame(BINARY, b"\xff", fin=False), frame(CONTINUATION, b"\xce"), frame(TEXT, WORD))
    assert (await client.frame()).payload == b"\xff\xce"
    assert (await client.frame()).payload == WORD


# -- closing (sections 5.5.1, 7.1 and 7.4) --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
async def test_a_close_code_comes_back(client: RawClient, code: int) -> None:
    client.send(close(code, b"reason"))
    assert await client.closed() == code
    assert await client.ended()


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
async def test_a_code_that_must_not_be_sent_is_a_protocol_error(client: RawClient, code: int) -> None:
    client.send(close(code))
    assert await client.closed() == 1002
    assert await client.ended()


async def test_the_longest_reason_and_one_too_long(server: EchoServer) -> None:
    for length, code in ((123, 1000), (124, 1002)):
        client = await RawClient.connect(server.port)
        client.send(close(1000, b"*" * length))
        assert await client.closed() == code
        await client.aclose()


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(close(1000), id="a close"),
        pytest.param(close(4000), id="another close"),
        pytest.param(frame(TEXT, b"x"), id="text"),
        pytest.param(frame(PING, b"x"), id="a ping"),
        pytest.param(b"\xff\xff", id="rubbish"),
        pytest.param(frame(3), id="a bad opcode"),
        pytest.param(frame(TEXT, b"x", mask=None), id="an unmasked frame"),
    ],
)
async def test_what_follows_a_close_does_not_count(client: RawClient, behind: bytes) -> None:
    client.send(close(1000) + behind)
    assert await client.closed() == 1000
    assert await client.ended()
    assert [found.opcode for found in client.seen] == [CLOSE], "one close frame, nothing else"


async def test_what_came_before_a_close_is_answered_before_it(client: RawClient) -> None:
    client.send(frame(TEXT, b"*" * 200_000) + close(1000))
    assert (await client.frame()).payload == b"*" * 200_000
    assert await client.closed() == 1000


async def test_a_close_inside_a_message_ends_it(client: RawClient) -> None:
    client.send(frame(TEXT, b"half", fin=False), close(1000))
    assert await client.closed() == 1000
    assert [found.opcode for found in client.seen] == [CLOSE]


@pytest.mark.parametrize("bad", [frame(3), frame(TEXT, b"x", rsv=4), frame(PING, fin=False), frame(CONTINUATION)])
async def test_one_close_frame_and_the_end_after_a_violation(client: RawClient, bad: bytes) -> None:
    client.send(bad)
    client.send(bad * 3)
    assert await client.closed() == 1002
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            assert (await client.frame()).opcode != CLOSE


def has_taken(link: Link, frames: int) -> bool:
    return link.work >= frames


async def test_a_violation_from_one_who_reads_nothing_ends_all_the_same(server: EchoServer) -> None:
    client = await RawClient.connect(server.port, receive_buffer=4096)
    link = next(iter(server._sessions)).link
    while link.transport.underlying_transport.get_write_buffer_size() == 0:
        due = link.work + 1
        client.send(frame(BINARY, b"x" * 100_000))
        # One at a time: with far more unread, the server would stop reading and never see the violation.
        await eventually(functools.partial(has_taken, link, due))
    client.send(frame(3))
    await eventually(lambda: server.ledger()["connections"] == 0)
    await client.aclose()


async def test_echoes_that_nobody_takes_stop_the_reading(server: EchoServer) -> None:
    client = await RawClient.connect(server.port, receive_buffer=4096)
    session = next(iter(server._sessions))
    message = frame(BINARY, b"x" * 1_000_000)
    sending = asyncio.ensure_future(send_all(client, [message] * 30))
    await eventually(lambda: session._blocked_by)
    assert session.link.transport.underlying_transport.get_write_buffer_size() < 4_000_000
    for _ in range(30):
        assert len((await client.frame()).payload) == 1_000_000
    await sending
    await client.aclose()


async def send_all(client: RawClient, frames: list[bytes]) -> None:
    for message in frames:
        client.send(message)
        await client.drain()


# -- as a program ---------------------------------------------------------------------------------------------------


async def test_the_program_says_where_it_listens_and_ends_on_a_signal() -> None:
    echo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lexmesh.testing", "echo", stdout=asyncio.subprocess.PIPE
    )
    assert echo.stdout is not None
    port = int((await echo.stdout.readline()).rpartition(b":")[2])
    client = await RawClient.connect(port)
    client.send(frame(TEXT, WORD))
    assert (await client.frame()).payload == WORD
    echo.terminate()
    assert await client.closed() == 1001
    assert await asyncio.wait_for(echo.wait(), PATIENCE) == 0
    await client.aclose()
