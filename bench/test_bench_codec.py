"""The codec on one 213-byte envelope, beside protobuf (upb) and orjson; each asserts its answer before it is timed.

Targets (DESIGN.md section 10): decode and read every field in 0.6 µs (protobuf) and 1.2 µs (JSON), encode protobuf in
0.3 µs.
"""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lexmesh._batch import decode_batch, encode_batch
from lexmesh._codec import StreamEvent

READING = {"temperature": 21.5, "humidity": 64, "unit": "celsius", "site": "greenhouse-north"}
METADATA = {"site": "greenhouse-3", "origin": "sensor"}
FIELDS: dict[str, Any] = {
    "event_type": "sensor_reading",
    "source_node": "node-0007",
    "target_node": "gateway-01",
    "timestamp": 1_750_000_000_123,
    "metadata": METADATA,
    "depth": 1,
    "ttl": 60_000,
    "priority": 3,
    "reply_to": "gateway-01:1749999999000:41",
}
ID = "node-0007:1749990000000:123456"
ENVELOPE_BYTES = 213


def event() -> StreamEvent:
    return StreamEvent(data=READING, id=ID, **FIELDS)


def read(found: StreamEvent) -> tuple[Any, ...]:
    return (
        found.event_type, found.source_node, found.target_node, found.data, found.timestamp, found.metadata, found.id,
        found.depth, found.ttl, found.priority, found.reply_to,
    )  # fmt: skip


def read_google(found: Any) -> tuple[Any, ...]:
    return (
        found.event_type, found.source_node, found.target_node, orjson.loads(found.payload), found.timestamp,
        dict(found.metadata), f"{found.source_node}:{found.epoch}:{found.seq}", found.depth, found.ttl_ms,
        found.priority, found.reply_to,
    )  # fmt: skip


def read_members(found: dict[str, Any]) -> tuple[Any, ...]:
    return (
        found["type"], found["source_node"], found["target_node"], found["data"], found["timestamp"],
        found["metadata"], found["id"], found["depth"], found["ttl"], found["priority"], found["reply_to"],
    )  # fmt: skip


ANSWER = read(event())


def fill_google(kind: Any) -> bytes:
    made = kind(
        event_type="sensor_reading", source_node="node-0007", target_node="gateway-01", payload=orjson.dumps(READING),
        timestamp=1_750_000_000_123, metadata=METADATA, epoch=1_749_990_000_000, seq=123456, depth=1, ttl_ms=60_000,
        priority=3, reply_to="gateway-01:1749999999000:41",
    )  # fmt: skip
    return bytes(made.SerializeToString())


def members() -> dict[str, Any]:
    named = {"type" if name == "event_type" else name: value for name, value in FIELDS.items()}
    return {**named, "data": READING, "id": ID}


def test_the_envelope_has_its_size() -> None:
    assert len(event().to_proto()) == ENVELOPE_BYTES


# -- decode, and read every field --------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="decode and read every field")
def test_decode_protobuf(benchmark: BenchmarkFixture) -> None:
    raw = event().to_proto()
    assert read(StreamEvent.from_proto(raw)) == ANSWER
    benchmark(lambda: read(StreamEvent.from_proto(raw)))


@pytest.mark.benchmark(group="decode and read every field")
def test_decode_protobuf_by_google(benchmark: BenchmarkFixture, internode: Callable[[str], Any]) -> None:
    raw, kind = event().to_proto(), internode("EventMessage")
    assert read_google(kind.FromString(raw)) == ANSWER
    benchmark(lambda: read_google(kind.FromString(raw)))


@pytest.mark.benchmark(group="decode and read every field")
def test_decode_json(benchmark: BenchmarkFixture) -> None:
    raw = event().to_json()
    assert read(StreamEvent.from_json(raw)) == ANSWER
    benchmark(lambda: read(StreamEvent.from_json(raw)))


@pytest.mark.benchmark(group="decode and read every field")
def test_decode_json_by_orjson(benchmark: BenchmarkFixture) -> None:
    raw = event().to_json()
    assert read_members(orjson.loads(raw)) == ANSWER
    benchmark(lambda: read_members(orjson.loads(raw)))


# -- decode alone: what a relay pays that looks at one field -----------------------------------------------------------


@pytest.mark.benchmark(group="decode and read the type")
@pytest.mark.parametrize("format", ["proto", "json"])
def test_decode_lazily(benchmark: BenchmarkFixture, format: str) -> None:
    raw = event().to_proto() if format == "proto" else event().to_json()
    parse = StreamEvent.from_proto if format == "proto" else StreamEvent.from_json
    assert parse(raw).event_type == "sensor_reading"
    benchmark(lambda: parse(raw).event_type)


# -- build and encode --------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="build and encode")
def test_build_and_encode_protobuf(benchmark: BenchmarkFixture) -> None:
    assert read(StreamEvent.from_proto(event().to_proto())) == ANSWER
    benchmark(lambda: event().to_proto())


@pytest.mark.benchmark(group="build and encode")
def test_build_and_encode_protobuf_by_google(benchmark: BenchmarkFixture, internode: Callable[[str], Any]) -> None:
    kind = internode("EventMessage")
    assert read_google(kind.FromString(fill_google(kind))) == ANSWER
    benchmark(lambda: fill_google(kind))


@pytest.mark.benchmark(group="build and encode")
def test_build_and_encode_json(benchmark: BenchmarkFixture) -> None:
    assert read_members(orjson.loads(event().to_json())) == ANSWER
    benchmark(lambda: event().to_json())


@pytest.mark.benchmark(group="build and encode")
def test_build_and_encode_json_by_orjson(benchmark: BenchmarkFixture) -> None:
    assert read_members(orjson.loads(orjson.dumps(members()))) == ANSWER
    benchmark(lambda: orjson.dumps(members()))


# -- encode what exists ------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group="encode")
@pytest.mark.parametrize("format", ["proto", "json"])
def test_encode(benchmark: BenchmarkFixture, format: str) -> None:
    built = event()
    write = built.to_proto if format == "proto" else built.to_json
    parse = StreamEvent.from_proto if format == "proto" else StreamEvent.from_json
    assert read(parse(write())) == ANSWER
    benchmark(write)


@pytest.mark.benchmark(group="encode")
def test_encode_by_google(benchmark: BenchmarkFixture, internode: Callable[[str], Any]) -> None:
    kind = internode("EventMessage")
    made = kind.FromString(event().to_proto())
    assert read_google(kind.FromString(made.SerializeToString())) == ANSWER
    benchmark(made.SerializeToString)


@pytest.mark.benchmark(group="encode")
def test_encode_by_orjson(benchmark: BenchmarkFixture) -> None:
    made = members()
    assert read_members(orjson.loads(orjson.dumps(made))) == ANSWER
    benchmark(lambda: orjson.dumps(made))


@pytest.mark.benchmark(group="batch of 128")
def test_decode_batch_and_read_the_types(benchmark: BenchmarkFixture) -> None:
    raw = encode_batch([event()] * 128)
    assert [one.event_type for one in decode_batch(raw)] == ["sensor_reading"] * 128
    benchmark(lambda: [one.event_type for one in decode_batch(raw)])
