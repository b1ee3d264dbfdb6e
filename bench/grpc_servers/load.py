"""Calls with messages that are bytes already, so that the client costs what it must; every answer is checked."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import grpc
from peers.message import FIRST_SEQ, proto_message

from lexmesh import StreamEvent, decode_batch, encode_batch
from lexmesh._wire import fields_of

from .raw_http2 import RawStream

SERVICE = "/lexmesh.v1.InternodeService/"
BATCH_BYTES = 65_000
AHEAD = 256  # events not answered yet
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


def _varint(value: int) -> bytes:
    """https://protobuf.dev/programming-guides/encoding/#varints."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def messages(count: int) -> Iterator[bytes]:
    """EventMessages of 200 bytes, one source's, numbered."""
    before, after = proto_message().split(b"\x40" + _varint(FIRST_SEQ), 1)
    for seq in range(FIRST_SEQ, FIRST_SEQ + count):
        yield before + b"\x40" + _varint(seq) + after


def batches(count: int) -> Iterator[bytes]:
    """The same in Batches, as a link cuts them."""
    head = b"\x0a" + _varint(200)
    each = BATCH_BYTES // (200 + len(head))
    found = messages(count)
    while some := list(itertools.islice(found, each)):
        yield head + head.join(some)


def stream_events(port: int, count: int) -> None:
    """Streams events, so many ahead of their answers that the server always has some to do."""
    stream = RawStream(port, SERVICE + "StreamEvents")
    answered = 0
    try:
        for answer in stream.exchange(messages(count), AHEAD):
            _check(answer)
            answered += 1
    finally:
        stream.close()
    assert answered == count


def _check(answer: bytes) -> None:
    fields = fields_of(answer)
    assert fields[1] == 1, fields
    assert fields[2] == b"routed", fields


def send_data(port: int, count: int) -> None:
    """Sends readings one after the other."""
    asyncio.run(_send_data(port, count))


async def _send_data(port: int, count: int) -> None:
    message = StreamEvent("sensor_reading", {"celsius": 21.5, "note": "x" * 100}, source_node="s").to_proto()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        call = channel.unary_unary(SERVICE + "SendData")
        for _ in range(count):
            _check(await call(message))


def link(port: int, count: int) -> None:
    """Sends batches over Link, and has the node say how many messages it routed."""
    asyncio.run(_link(port, count))


async def _link(port: int, count: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        call = channel.stream_stream(SERVICE + "Link")()
        for batch in batches(count):
            await call.write(batch)
        await call.write(encode_batch([StreamEvent("_lexmesh.flush")]))
        receipt = await _receipt(call)
        assert receipt["routed"] == count, receipt
        await call.done_writing()


async def _receipt(call: Any) -> dict[str, Any]:
    while True:
        for event in decode_batch(await call.read()):
            if event.event_type == "_lexmesh.ack":
                return dict(event.data)
