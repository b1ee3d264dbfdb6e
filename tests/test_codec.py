"""The codec against itself, against Google's protobuf and against orjson, on random, mutated and hostile bytes."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Choices, choices, events, field, long_varint, many_examples, message, pair

from lexmesh._batch import decode_batch, encode_batch
from lexmesh._codec import StreamEvent
from lexmesh._reading import StreamData
from lexmesh.errors import MalformedError

pytestmark = pytest.mark.core

BYTES_TYPE = "application/octet-stream"
JSON_MEMBERS = (
    "source_node", "target_node", "data", "metadata", "timestamp", "id", "depth", "ttl", "priority", "reply_to",
)  # fmt: skip

# What protobuf's own parser lets through and we refuse on purpose, because two readers could differ over it or
# because the contract forbids it (DESIGN.md section 3).
STRICTER = {
    "a singular field is repeated",
    "an unknown field",
    "a duplicate key",
    "nested more than 64 levels deep",
    "a lone surrogate escape",
    "a number or name is out of range",
    "no event type",
    "the event type is not a subject: tokens between dots without spaces, control characters or wildcards",
    "a field has the wrong wire type",  # protobuf files such a field under the unknown ones
}

# Ten bytes of varint hold 70 bits; protobuf drops those past 64, we refuse them.
LONG_VARINT = re.compile(rb"[\x80-\xff]{9}")


def fields_of(event: StreamEvent) -> dict[str, Any]:
    """The singular fields and metadata as protobuf names them; the payload is compared apart."""
    epoch, seq = (int(part) for part in event.id.rsplit(":", 2)[1:]) if event.id else (0, 0)
    return {
        "source_node": event.source_node,
        "target_node": event.target_node,
        "event_type": event.event_type,
        "timestamp": event.timestamp,
        "metadata": event.metadata,
        "epoch": epoch,
        "seq": seq,
        "depth": event.depth,
        "ttl_ms": event.ttl,
        "priority": event.priority,
        "reply_to": event.reply_to,
        "content_type": event.content_type,
    }


def google_fields(theirs: Any) -> dict[str, Any]:
    """The same of Google's message; epoch and seq show only in an id, and an id needs a source."""
    names = ["source_node", "target_node", "event_type", "timestamp", "epoch", "seq", "depth", "priority", "reply_to"]
    found = {name: getattr(theirs, name) for name in [*names, "content_type"]}
    if not theirs.source_node:
        found |= {"epoch": 0, "seq": 0}
    ttl = theirs.ttl_ms if theirs.HasField("ttl_ms") else None
    return {**found, "metadata": dict(theirs.metadata), "ttl_ms": ttl}


def data_of(payload: bytes, content_type: str) -> Any:
    """What a payload means, in plain Python: JSON if it parses, else text, else bytes, unless it says what it is."""
    if content_type == BYTES_TYPE or not payload:
        return payload or (b"" if content_type == BYTES_TYPE else None)
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    if content_type == "text/plain":
        return text
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return text


def same(ours: Any, theirs: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    return repr(ours) == repr(theirs)


# -- what we write, we read --------------------------------------------------------------------------------------------


@many_examples
@given(events)
def test_protobuf_round_trip(fields: dict[str, Any]) -> None:
    event = StreamEvent(**fields)
    decoded = StreamEvent.from_proto(event.to_proto())
    assert decoded == event
    assert same(decoded.data, event.data)
    assert decoded.id == event.id
    assert decoded.to_proto() == event.to_proto()


@many_examples
@given(events)
def test_json_round_trip(fields: dict[str, Any]) -> None:
    event = StreamEvent(**fields)
    decoded = StreamEvent.from_json(event.to_json())
    assert decoded == event
    assert same(decoded.data, event.data)
    assert decoded.id == event.id


@settings(max_examples=2_000)
@given(events)
def test_a_message_survives_the_way_through_the_other_format(fields: dict[str, Any]) -> None:
    event = StreamEvent(**fields)
    relayed = StreamEvent.from_proto(event.to_proto()).to_json()
    assert StreamEvent.from_json(relayed) == event
    assert StreamEvent.from_proto(StreamEvent.from_json(relayed).to_proto()) == event


@given(events)
def test_an_untouched_message_is_written_as_it_came(fields: dict[str, Any]) -> None:
    event = StreamEvent(**fields)
    for write, read in ((StreamEvent.to_proto, StreamEvent.from_proto), (StreamEvent.to_json, StreamEvent.from_json)):
        raw = write(event)
        assert write(read(raw)) == raw


@given(st.lists(events, max_size=6))
def test_batch_round_trip(batch: list[dict[str, Any]]) -> None:
    sent = [StreamEvent(**fields) for fields in batch]
    assert decode_batch(encode_batch(sent)) == sent


# -- against protobuf's own parser -------------------------------------------------------------------------------------


@many_examples
@given(events)
def test_google_reads_what_we_write_and_we_what_google_writes(
    internode: Callable[[str], Any], fields: dict[str, Any]
) -> None:
    event = StreamEvent(**fields)
    theirs = internode("EventMessage").FromString(event.to_proto())
    assert google_fields(theirs) == fields_of(event)
    assert same(data_of(theirs.payload, theirs.content_type), event.data)
    read = StreamEvent.from_proto(theirs.SerializeToString())
    assert read == event
    assert same(read.data, event.data)


@given(st.lists(events, max_size=6))
def test_google_reads_our_batch(internode: Callable[[str], Any], batch: list[dict[str, Any]]) -> None:
    sent = [StreamEvent(**fields) for fields in batch]
    theirs = internode("Batch").FromString(encode_batch(sent))
    assert [google_fields(one) for one in theirs.events] == [fields_of(event) for event in sent]
    assert decode_batch(theirs.SerializeToString()) == sent


def agree_on_bytes(internode: Callable[[str], Any], raw: bytes) -> None:
    """Whatever we read, protobuf reads alike; what only we refuse is on the list of what we refuse on purpose."""
    from google.protobuf.message import DecodeError

    try:
        theirs = internode("EventMessage").FromString(raw)
    except DecodeError:
        theirs = None
    try:
        ours = StreamEvent.from_proto(raw)
    except MalformedError as error:
        assert 0 <= error.offset <= len(raw)
        assert theirs is None or error.reason in STRICTER or LONG_VARINT.search(raw), error
        return
    assert theirs is not None, "protobuf refuses it"
    assert fields_of(ours) == google_fields(theirs)
    assert same(ours.data, data_of(theirs.payload, theirs.content_type))
    assert StreamEvent.from_json(ours.to_json()).event_type == ours.event_type


@many_examples
@given(st.binary(max_size=300))
def test_random_bytes_as_protobuf(internode: Callable[[str], Any], raw: bytes) -> None:
    agree_on_bytes(internode, raw)


def hostile_message(choice: Choices) -> bytes:
    """Fields in any order, repeated, with long varints, odd wire types and payloads of all kinds."""
    payloads = [b"", b"{}", b"text", b"\xff\xfe", b'{"a":1,"a":2}', b"[1e400]", b'"\\ud800"', b"NaN", b"null", b" 1 "]
    entries = [b"", field(1, "k"), field(2, "v"), field(2, "v") + field(1, "k"), b"\x0a\x01"]
    out = field(3, choice.subject())
    for _ in range(choice.below(6)):
        kind = choice.below(9)
        if kind < 3:
            out += field(1 + choice.below(14), choice.text())
        elif kind < 5:
            out += field(5 + choice.below(9), choice.number([0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1], 8))
        elif kind == 5:
            out += pair(choice.text(), choice.text())
        elif kind == 6:
            out += field(4, choice.pick(payloads)) + field(13, choice.pick(["", "text/plain", BYTES_TYPE, "x/y"]))
        elif kind == 7:
            tag = choice.pick([7, 8, 9, 11]) << 3
            out += long_varint(tag, 1 + choice.below(10)) + long_varint(choice.below(256), 1 + choice.below(11))
        else:
            out += field(6, choice.pick(entries))
    return out


@many_examples
@given(choices)
def test_mutated_messages_as_protobuf(internode: Callable[[str], Any], choice: Choices) -> None:
    honest = choice.below(2)
    base = StreamEvent(**choice.event()).to_proto() if honest else hostile_message(choice)
    agree_on_bytes(internode, choice.mutated(base) if honest or choice.below(2) else base)


@many_examples
@given(choices)
def test_mutated_batches_never_crash(choice: Choices) -> None:
    base = encode_batch([StreamEvent(**choice.event()), StreamEvent(**choice.event())])
    raw = choice.mutated(base)
    try:
        for event in decode_batch(raw):
            assert event.to_proto()
    except MalformedError as error:
        assert 0 <= error.offset <= len(raw)


# -- against orjson ----------------------------------------------------------------------------------------------------


@many_examples
@given(events)
def test_orjson_reads_what_we_write(fields: dict[str, Any]) -> None:
    event = StreamEvent(**fields)
    theirs = orjson.loads(event.to_json())
    assert theirs.pop("type") == event.event_type
    for name in JSON_MEMBERS:
        if name in theirs:
            assert same(theirs[name], getattr(event, name)), name
        else:
            assert not getattr(event, name), name
    assert theirs.keys() <= set(JSON_MEMBERS)


@settings(max_examples=2_000)
@given(events, st.booleans())
def test_we_read_what_orjson_and_json_write(fields: dict[str, Any], pretty: bool) -> None:
    event = StreamEvent(**fields)
    members = orjson.loads(event.to_json())
    written = json.dumps(members, indent=1).encode() if pretty else orjson.dumps(members)
    assert StreamEvent.from_json(written) == event


def agree_on_json(raw: bytes) -> None:
    """Whatever we read as JSON, orjson reads, and no field differs."""
    try:
        ours = StreamEvent.from_json(raw)
    except MalformedError as error:
        assert 0 <= error.offset <= len(raw)
        return
    theirs = orjson.loads(raw)
    assert ours.event_type == theirs["type"]
    assert same(ours.data, theirs.get("data"))
    assert ours.metadata == theirs.get("metadata", {})
    assert ours.timestamp == theirs.get("timestamp", 0)
    assert (ours.depth, ours.priority) == (theirs.get("depth", 0), theirs.get("priority", 0))
    assert ours.ttl == theirs.get("ttl")
    assert StreamEvent.from_proto(ours.to_proto()) == ours


@many_examples
@given(st.binary(max_size=300))
def test_random_bytes_as_json(raw: bytes) -> None:
    agree_on_json(raw)


@many_examples
@given(choices)
def test_mutated_messages_as_json(choice: Choices) -> None:
    agree_on_json(choice.mutated(StreamEvent(**choice.event()).to_json()))


# -- what Python sees --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "content_type", "data"),
    [
        (b"", "", None),
        (b"null", "", None),
        (b'{"a": [1, 2.5]}', "", {"a": [1, 2.5]}),
        (b" 1 ", "", 1),
        (b'"text"', "", "text"),
        (b"plain text", "", "plain text"),
        (b"12 apples", "", "12 apples"),
        (b"[1e400]", "", "[1e400]"),
        (b"\xff\x00", "", b"\xff\x00"),
        (b"12", "text/plain", "12"),
        (b"12", BYTES_TYPE, b"12"),
        (b"", BYTES_TYPE, b""),
        (b'{"a":1}', "application/json", {"a": 1}),
    ],
)
def test_payloads_are_json_else_text_else_bytes(payload: bytes, content_type: str, data: Any) -> None:
    event = StreamEvent.from_proto(message(event_type="t", payload=payload, content_type=content_type))
    assert same(event.data, data)


def test_a_payload_declared_json_must_be_json() -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        StreamEvent.from_proto(message(event_type="t", payload=b"nope", content_type="application/json"))


@pytest.mark.parametrize("data", [b"", b"\x00\xff", b"12", bytes(range(256)) * 5, bytearray(b"ab"), memoryview(b"abc")])
def test_bytes_stay_bytes_over_protobuf_and_are_base64_in_json(data: bytes | bytearray | memoryview) -> None:
    event = StreamEvent("t", data)
    assert StreamEvent.from_proto(event.to_proto()).data == bytes(data)
    shown = StreamEvent.from_proto(event.to_proto()).to_json()
    assert orjson.loads(shown)["data"] == {"$base64": base64.b64encode(data).decode()}
    assert orjson.loads(event.to_json())["data"] == {"$base64": base64.b64encode(data).decode()}


@pytest.mark.parametrize("read", ["proto", "json"])
def test_a_changed_event_is_written_as_changed(read: str) -> None:
    event = StreamEvent("t", {"a": [1]}, source_node="n", id="n:5:6", ttl=9, metadata={"k": "v"}, timestamp=3)
    decoded = StreamEvent.from_proto(event.to_proto()) if read == "proto" else StreamEvent.from_json(event.to_json())
    decoded.data["a"].append(2)
    decoded.metadata["k2"] = "v2"
    decoded.depth += 1
    decoded.ttl = None
    decoded.event_type = "u"
    for again in (StreamEvent.from_proto(decoded.to_proto()), StreamEvent.from_json(decoded.to_json())):
        assert again == decoded
        assert (again.event_type, again.data, again.metadata) == ("u", {"a": [1, 2]}, {"k": "v", "k2": "v2"})
        assert (again.depth, again.ttl, again.id) == (1, None, "n:5:6")


def test_a_decoded_event_owns_its_memory() -> None:
    kept = [StreamEvent.from_json(b'{"type":"t","source_node":"n\\u0065%d","data":%d}' % (n, n)) for n in range(100)]
    assert [(event.source_node, event.data) for event in kept] == [(f"ne{n}", n) for n in range(100)]


def test_readings_are_events_by_other_names() -> None:
    reading = StreamData("temperature", 21.5, source_node="n", timestamp=1)
    assert (reading.data_type, reading.value) == (reading.event_type, reading.data) == ("temperature", 21.5)
    reading.value = 22
    reading.data_type = "humidity"
    decoded = StreamData.from_proto(reading.to_proto())
    assert type(decoded) is StreamData
    assert (decoded.data_type, decoded.value) == ("humidity", 22)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event_type": "t", "data": object()}, TypeError),
        ({"event_type": "t", "data": {1: object()}}, TypeError),
        ({"event_type": "t", "metadata": {"k": 1}}, TypeError),
        ({"event_type": "t", "metadata": {1: "v"}}, TypeError),
        ({"event_type": "t", "depth": -1}, OverflowError),
        ({"event_type": "t", "depth": 2**32}, OverflowError),
        ({"event_type": "t", "ttl": -1}, OverflowError),
        ({"event_type": "t", "timestamp": 2**63}, OverflowError),
        ({"event_type": "t", "timestamp": "now"}, TypeError),
        ({"event_type": "t", "id": "no-id"}, MalformedError),
        ({"event_type": "t", "source_node": "a", "id": "b:1:2"}, MalformedError),
        ({"event_type": "t", "source_node": "\ud800"}, UnicodeEncodeError),
    ],
)
def test_what_no_message_can_hold_is_an_error_at_the_sender(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        StreamEvent(**fields).to_proto()
