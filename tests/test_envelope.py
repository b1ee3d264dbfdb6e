"""A message's fields: one table of faults for both formats, then what only one of them can get wrong."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NUMBERS, field, long_varint, message, pair, varint

from lexmesh._batch import decode_batch, encode_batch
from lexmesh._codec import StreamEvent
from lexmesh.errors import MalformedError

pytestmark = pytest.mark.core

REPEATED = "a singular field is repeated"
UNKNOWN = "an unknown field"
DUPLICATE = "a duplicate key"
RANGE = "a number or name is out of range"
WRONG_TYPE = "a field has the wrong type"
WIRE_TYPE = "a field has the wrong wire type"
NO_TYPE = "no event type"
SUBJECT = "the event type is not a subject: tokens between dots without spaces, control characters or wildcards"
VARINT = "a varint is cut short or longer than 64 bits"
TAG = "a field tag is out of range"
NOT_TEXT = "metadata is not an object of strings"
ID = "the id is not source:epoch:seq of this source"
UTF8 = "text that is not UTF-8"
JSON_KEYS = {"event_type": "type", "ttl_ms": "ttl"}


def as_json(fields: dict[str, Any]) -> bytes:
    return orjson.dumps({JSON_KEYS.get(name, name): value for name, value in fields.items()})


def as_proto(fields: dict[str, Any]) -> bytes:
    return message(**fields)


def reason_of(read: Any, raw: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        read(raw)
    assert 0 <= caught.value.offset <= len(raw)
    return caught.value.reason


def in_both(fields: dict[str, Any]) -> list[StreamEvent]:
    return [StreamEvent.from_json(as_json(fields)), StreamEvent.from_proto(as_proto(fields))]


# -- both formats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, NO_TYPE),
        ({"source_node": "n"}, NO_TYPE),
        ({"event_type": ""}, NO_TYPE),
        ({"event_type": "."}, SUBJECT),
        ({"event_type": "a."}, SUBJECT),
        ({"event_type": ".a"}, SUBJECT),
        ({"event_type": "a..b"}, SUBJECT),
        ({"event_type": "*"}, SUBJECT),
        ({"event_type": "a.*"}, SUBJECT),
        ({"event_type": "a*.b"}, SUBJECT),
        ({"event_type": "a.b>c"}, SUBJECT),
        ({"event_type": "a.*.b"}, SUBJECT),
        ({"event_type": ">"}, SUBJECT),
        ({"event_type": "a.>"}, SUBJECT),
        ({"event_type": "a b"}, SUBJECT),
        ({"event_type": "a\n"}, SUBJECT),
        ({"event_type": "a\x00b"}, SUBJECT),
        ({"event_type": "a\x7f"}, SUBJECT),
        ({"event_type": "a" * 256}, SUBJECT),
        ({"event_type": "t", "source_node": "n" * 256}, RANGE),
        ({"event_type": "t", "source_node": "é" * 128}, RANGE),
        ({"event_type": "t", "target_node": "n" * 256}, RANGE),
        ({"event_type": "t", "reply_to": "n" * 513}, RANGE),
        ({"event_type": "t", "depth": 2**32}, RANGE),
        ({"event_type": "t", "depth": -1}, RANGE),
        ({"event_type": "t", "ttl_ms": 2**32}, RANGE),
        ({"event_type": "t", "priority": 2**63}, RANGE),
    ],
    ids=str,
)
def test_refused_in_both_formats(fields: dict[str, Any], reason: str) -> None:
    assert reason_of(StreamEvent.from_json, as_json(fields)) == reason
    assert reason_of(StreamEvent.from_proto, as_proto(fields)) == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"event_type": "t"},
        {"event_type": "a.b.c"},
        {"event_type": "myzel.größe"},
        {"event_type": "a" * 255},
        {"event_type": "t", "source_node": "n" * 255, "target_node": "é" * 127},
        {"event_type": "t", "reply_to": "n" * 512},
        {"event_type": "t", "depth": 2**32 - 1, "ttl_ms": 2**32 - 1, "priority": 2**32 - 1},
        {"event_type": "t", "depth": 0, "ttl_ms": 0, "priority": 0, "timestamp": 0},
        {"event_type": "t", "timestamp": 2**63 - 1},
        {"event_type": "t", "timestamp": -(2**63)},
        {"event_type": "t", "metadata": {"": "", "k": "", "é": "\x00", "force": "\U0001f600"}},
        {"event_type": "t", "metadata": {f"k{n}": str(n) for n in range(1000)}},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_accepted_in_both_formats(fields: dict[str, Any]) -> None:
    for event in in_both(fields):
        for name, value in fields.items():
            assert getattr(event, "ttl" if name == "ttl_ms" else name) == value
    assert in_both(fields)[0] == in_both(fields)[1]


def test_what_is_left_out_is_empty() -> None:
    for event in in_both({"event_type": "t"}):
        assert (event.source_node, event.target_node, event.reply_to, event.id, event.content_type) == ("",) * 5
        assert (event.timestamp, event.depth, event.priority, event.metadata) == (0, 0, 0, {})
        assert event.ttl is None
        assert event.data is None


@pytest.mark.parametrize("count", [2, 8, 9, 10, 500])
def test_a_repeated_metadata_key_is_refused(count: int) -> None:
    names = [f"k{n}" for n in range(count - 1)] + ["k0"]
    members = ",".join(f'"{name}":"{at}"' for at, name in enumerate(names))
    raw = f'{{"type":"t","metadata":{{{members}}}}}'.encode()
    assert reason_of(StreamEvent.from_json, raw) == DUPLICATE
    assert reason_of(StreamEvent.from_json, raw.replace(b'"k0":"0"', b'"\\u006b0":"0"')) == DUPLICATE
    assert reason_of(StreamEvent.from_proto, field(3, "t") + b"".join(pair(name, "v") for name in names)) == DUPLICATE


@pytest.mark.parametrize("order", [1, -1])
def test_fields_come_in_any_order(order: int) -> None:
    fields = {"source_node": "n", "event_type": "t", "timestamp": 5, "metadata": {"a": "b"}, "depth": 3}
    shuffled = dict(list(fields.items())[::order])
    assert in_both(shuffled) == in_both(fields)


# -- protobuf ----------------------------------------------------------------------------------------------------------

SINGULAR = {name: number for name, number in NUMBERS.items() if name != "metadata"}
SAMPLE: dict[int, int | str] = {number: 1 if 7 <= number <= 11 or number == 5 else "t" for number in SINGULAR.values()}


@pytest.mark.parametrize("name", SINGULAR)
def test_a_repeated_singular_field_is_refused(name: str) -> None:
    once = field(SINGULAR[name], SAMPLE[SINGULAR[name]])
    raw = once + (b"" if name == "event_type" else field(3, "t"))
    StreamEvent.from_proto(raw)
    assert reason_of(StreamEvent.from_proto, raw + once) == REPEATED
    assert reason_of(StreamEvent.from_proto, once + raw) == REPEATED


@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_wire_type_is_refused(name: str) -> None:
    number = NUMBERS[name]
    other: int | str = "t" if isinstance(SAMPLE.get(number), int) else 1
    assert reason_of(StreamEvent.from_proto, field(3, "t") * (number != 3) + field(number, other)) == WIRE_TYPE
    assert reason_of(StreamEvent.from_proto, varint(number << 3 | 5) + b"abcd") == WIRE_TYPE


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (field(14, 1), UNKNOWN),
        (field(2**29 - 1, "x"), UNKNOWN),
        (b"\x00\x01", TAG),
        (varint(2**32 | 8) + b"\x01", TAG),
        (b"\x80", VARINT),
        (b"\x28", VARINT),
        (b"\x28\xff", VARINT),
        (b"\x28" + b"\xff" * 10 + b"\x01", VARINT),
        (b"\x28" + b"\xff" * 9 + b"\x02", VARINT),
        (b"\x0a", VARINT),
        (b"\x0a\x05abcd", "cut short"),
        (b"\x0a" + varint(2**31) + b"a", "cut short"),
        (b"\x0a" + varint(2**35 - 1) + b"a", "cut short"),
        (b"\x32\x02\x0a\x05", "cut short"),
        (b"\x32\x03\x0a\x05k", "cut short"),
        (field(6, field(1, "k") + field(1, "k")), REPEATED),
        (field(6, field(2, "v") + field(1, "k") + field(2, "v")), REPEATED),
        (field(6, field(3, "k")), UNKNOWN),
        (field(6, field(1, 5)), WIRE_TYPE),
        (pair(b"\xff", "v"), UTF8),
        (pair("k", b"\xc0\x80"), UTF8),
        (field(1, b"\xed\xa0\x80"), UTF8),
        (field(2, b"\xff"), UTF8),
        (field(12, b"a\xf5"), UTF8),
        (field(13, b"\x80"), UTF8),
    ],
    ids=lambda part: part.hex()[:24] if isinstance(part, bytes) else "",
)
def test_refused_in_protobuf(extra: bytes, reason: str) -> None:
    assert reason_of(StreamEvent.from_proto, field(3, "t") + extra) == reason


# Protobuf's parsers read tags and lengths of at most five bytes: what they refuse must not reach them through us.
@pytest.mark.parametrize("length", [1, 2, 5, 6, 9, 10])
@pytest.mark.parametrize(
    "make",
    [
        lambda length: field(3, "t") + long_varint(1 << 3 | 2, length) + b"\x01n",
        lambda length: field(3, "t") + b"\x0a" + long_varint(1, length) + b"n",
        lambda length: field(3, "t") + long_varint(9 << 3, length) + b"\x07",
        lambda length: field(3, "t") + field(6, long_varint(1 << 3 | 2, length) + b"\x01k"),
        lambda length: field(3, "t") + field(6, b"\x0a" + long_varint(1, length) + b"k"),
    ],
    ids=["tag", "length", "tag of a number", "tag in metadata", "length in metadata"],
)
def test_tags_and_lengths_of_more_than_five_bytes_are_refused(make: Any, length: int) -> None:
    if length <= 5:
        StreamEvent.from_proto(make(length))
    else:
        reason_of(StreamEvent.from_proto, make(length))


@pytest.mark.parametrize("length", [1, 2, 5, 9, 10])
def test_numbers_may_be_padded_to_ten_bytes(length: int) -> None:
    assert StreamEvent.from_proto(field(3, "t") + b"\x48" + long_varint(7, length)).depth == 7


@given(st.data())
def test_every_proper_prefix_is_another_message_or_refused(data: st.DataObject) -> None:
    raw = message(event_type="t", source_node="node", payload=b"12", timestamp=2**40, metadata={"k": "v"}, seq=2**40)
    cut = data.draw(st.integers(0, len(raw) - 1))
    try:
        event = StreamEvent.from_proto(raw[:cut])
    except MalformedError as error:
        assert error.offset <= cut
    else:
        assert raw.startswith(event.to_proto())


def test_a_batch_with_a_broken_event_is_refused_whole() -> None:
    good = encode_batch([StreamEvent("t", n) for n in range(3)])
    assert len(decode_batch(good)) == 3
    assert decode_batch(b"") == []
    too_long = b"\x0a" + varint(2**40) + b"a"
    for broken in (field(1, field(1, "no type")), field(2, "x"), b"\x0a", b"\x0a\x05ab", too_long):
        reason_of(decode_batch, good + broken)


# -- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ('"type":"t","type":"t"', DUPLICATE),
        ('"type":"t","\\u0074ype":"u"', DUPLICATE),
        ('"data":1,"type":"t","data":1', DUPLICATE),
        ('"type":"t","metadata":{},"metadata":{}', DUPLICATE),
        ('"type":"t","event_type":"t"', UNKNOWN),
        ('"type":"t","Data":1', UNKNOWN),
        ('"type":"t","":1', UNKNOWN),
        ('"type":1', WRONG_TYPE),
        ('"type":null', WRONG_TYPE),
        ('"type":["t"]', WRONG_TYPE),
        ('"type":"t","source_node":7', WRONG_TYPE),
        ('"type":"t","timestamp":"now"', WRONG_TYPE),
        ('"type":"t","timestamp":1.5', WRONG_TYPE),
        ('"type":"t","timestamp":1e3', WRONG_TYPE),
        ('"type":"t","timestamp":null', WRONG_TYPE),
        ('"type":"t","timestamp":9223372036854775808', RANGE),
        ('"type":"t","timestamp":-9223372036854775809', RANGE),
        ('"type":"t","timestamp":99999999999999999999999', RANGE),
        ('"type":"t","depth":true', WRONG_TYPE),
        ('"type":"t","depth":01', RANGE),
        ('"type":"t","metadata":[]', NOT_TEXT),
        ('"type":"t","metadata":null', NOT_TEXT),
        ('"type":"t","metadata":{"k":1}', NOT_TEXT),
        ('"type":"t","metadata":{"k":null}', NOT_TEXT),
        ('"type":"t","metadata":{"k":{"a":"b"}}', NOT_TEXT),
        ('"type":"t","id":"n"', ID),
        ('"type":"t","id":"n:1"', ID),
        ('"type":"t","id":":1:2"', ID),
        ('"type":"t","id":""', ID),
        ('"type":"t","id":"n:1:2:"', ID),
        ('"type":"t","id":"n:-1:2"', ID),
        ('"type":"t","id":"n:01:2"', ID),
        ('"type":"t","id":"n:1:18446744073709551616"', ID),
        ('"type":"t","id":"n:1: 2"', ID),
        ('"type":"t","source_node":"m","id":"n:1:2"', ID),
        ('"type":"t","id":"n:1:2","source_node":"m"', ID),
    ],
)
def test_refused_in_json(members: str, reason: str) -> None:
    assert reason_of(StreamEvent.from_json, f"{{{members}}}".encode()) == reason


@pytest.mark.parametrize("raw", [b"[]", b'"t"', b"1", b"null", b"true", b"nonsense"])
def test_a_message_is_an_object(raw: bytes) -> None:
    assert reason_of(StreamEvent.from_json, raw) == "not a JSON object"


def test_bytes_after_the_object_are_refused() -> None:
    raw = b'{"type":"t"}'
    assert StreamEvent.from_json(b" \n" + raw + b"\r\n\t ").event_type == "t"
    for extra in (b"{}", b"x", b",", b"\x00", raw):
        assert reason_of(StreamEvent.from_json, raw + extra) == "bytes after the end of the value"


def test_every_proper_prefix_of_an_object_is_refused() -> None:
    raw = b'{"type":"t\\u00e9","id":"n:1:2","metadata":{"k":"v"},"data":[{"a":null},"x"],"depth":3, "ttl":4}'
    StreamEvent.from_json(raw)
    for cut in range(len(raw)):
        reason_of(StreamEvent.from_json, raw[:cut])


@pytest.mark.parametrize("source", ["n", "a:b", "10.0.0.1:80", "é", 'q"\\', ":"])
def test_an_id_names_its_source(source: str) -> None:
    given_id = f"{source}:1700000000000:42"
    raw = orjson.dumps({"type": "t", "id": given_id})
    event = StreamEvent.from_json(raw)
    assert (event.source_node, event.id) == (source, given_id)
    assert StreamEvent.from_json(orjson.dumps({"type": "t", "source_node": source, "id": given_id})) == event
    theirs = StreamEvent.from_proto(message(source_node=source, event_type="t", epoch=1700000000000, seq=42))
    assert theirs.id == given_id
    assert orjson.loads(theirs.to_json())["id"] == given_id


def test_an_id_that_is_shown_can_be_given() -> None:
    event = StreamEvent.from_proto(message(event_type="t", epoch=5, seq=7))  # no source yet: no one to name
    assert event.id == ""


def test_escaped_text_is_decoded_wherever_it_stands() -> None:
    raw = b'{"\\u0074ype":"a\\u002eb","source_node":"\\ud83d\\ude00","metadata":{"\\"k\\"":"\\/\\n"},"reply_to":"\\\\"}'
    event = StreamEvent.from_json(raw)
    assert event.to_json() == raw
    assert (event.event_type, event.source_node, event.reply_to) == ("a.b", "😀", "\\")
    assert event.metadata == {'"k"': "/\n"}
    assert StreamEvent.from_proto(event.to_proto()) == event
