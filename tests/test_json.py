"""Strict JSON: one table of texts, each alone, as a JSON message's data and as a protobuf payload."""

import json
import locale
import random
import time
from collections.abc import Callable, Iterator

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Choices, choices, many_examples, message

from lexmesh._codec import StreamEvent
from lexmesh._json import strict_json
from lexmesh.errors import MalformedError

pytestmark = pytest.mark.core

DUPLICATE = "a duplicate key"
DEEP = "nested more than 64 levels deep"
CUT = "cut short"
NOT_JSON = "not JSON"
STRING = "a JSON string holds a control character or an unknown escape"
SURROGATE = "a lone surrogate escape"
NUMBER = "a number outside binary64"
UTF8 = "text that is not UTF-8"


def keys(count: int, *last: str) -> bytes:
    """An object with so many distinct keys, then these."""
    members = [f'"k{n}":{n}' for n in range(count)] + [f'"{key}":0' for key in last]
    return ("{" + ",".join(members) + "}").encode()


ACCEPTED = [
    b"{}", b"[]", b'""', b"0", b"-0", b"true", b"false", b"null", b"-1.5e-3", b"1E+2", b"1e2", b"0.0",
    b'{"a":1,"A":2,"":3," ":4}',
    b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"é":1,"e\u0301":2}'.encode(),                     # equal only after normalisation: two keys
    b'{"\\u0061b":1,"a\\u0062c":2}',
    b'{"a\\u0000":1,"a":2}',
    b'"\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e9 \\ud83d\\ude00 \\uFFFF"',
    '"\x7f\x80é߿ࠀ퟿\ue000￿𐀀\U0010ffff"'.encode(),
    b"[1,\n\t2 ,\r{ \"a\" : [ ] } ]",
    b"1.7976931348623157e308", b"-1.7976931348623157e308", b"5e-324", b"1e-400", b"0e999999",
    b"18446744073709551615", b"-9223372036854775808", b"123456789012345678901234567890",
    b"1" + b"0" * 308, b"0." + b"3" * 400,
    b"[" * 64 + b"]" * 64,
    b'{"a":' * 64 + b"1" + b"}" * 64,
    keys(8), keys(9), keys(1000),
]  # fmt: skip

REFUSED = [
    # a key that repeats within its object, however it is spelled and wherever it stands
    (b'{"a":1,"a":1}', DUPLICATE),
    (b'{"a":1,"\\u0061":2}', DUPLICATE),
    (b'{"\\u0061":1,"a":2}', DUPLICATE),
    (b'{"\\u0061":1,"\\u0061":2}', DUPLICATE),
    ('{"é":1,"\\u00E9":2}'.encode(), DUPLICATE),
    ('{"😀":1,"\\ud83d\\uDE00":2}'.encode(), DUPLICATE),
    (b'{"\\n":1,"\\u000a":2}', DUPLICATE),
    (b'{"/":1,"\\/":2}', DUPLICATE),
    (b'{"":1,"":2}', DUPLICATE),
    (b'{"a":[{"b":{"c":1,"d":2,"c":3}}]}', DUPLICATE),
    (b'[{"x":1,"y":{}},{"x":1,"y":{"z":0,"z":0}}]', DUPLICATE),
    (b'{"a":{"a":1},"b":2,"a":3}', DUPLICATE),
    (keys(8, "k0"), DUPLICATE),
    (keys(9, "k8"), DUPLICATE),
    (keys(1000, "\\u006b500"), DUPLICATE),
    # nesting
    (b"[" * 65 + b"]" * 65, DEEP),
    (b'{"a":' * 65 + b"1" + b"}" * 65, DEEP),
    (b'[{"a":' * 33 + b"1" + b"}]" * 33, DEEP),
    (b"[" * 100_000, DEEP),
    # strings
    (b'"\\ud800"', SURROGATE),
    (b'"\\udc00"', SURROGATE),
    (b'"\\ud800x"', SURROGATE),
    (b'"\\ud800\\n"', SURROGATE),
    (b'"\\ud800\\u0041"', SURROGATE),
    (b'"\\ud800\\ud800"', SURROGATE),
    (b'"\\udc00\\ud800"', SURROGATE),
    (b'{"\\udfff":1}', SURROGATE),
    (b'"\n"', STRING),
    (b'"\x00"', STRING),
    (b'"0123456789abcdef\x1f"', STRING),
    (b'"\\x41"', STRING),
    (b'"\\U0041"', STRING),
    (b'"\\u00g1"', STRING),
    (b'"\\\'"', STRING),
    (b'"\\\x00"', STRING),
    (b'"\xff"', UTF8),
    (b'"\x80"', UTF8),
    (b'"\xc0\x80"', UTF8),
    (b'"\xc1\xbf"', UTF8),
    (b'"\xe0\x9f\xbf"', UTF8),
    (b'"\xed\xa0\x80"', UTF8),
    (b'"\xed\xb0\x80"', UTF8),
    (b'"\xf0\x8f\xbf\xbf"', UTF8),
    (b'"\xf4\x90\x80\x80"', UTF8),
    (b'"\xf5\x80\x80\x80"', UTF8),
    (b'"\xc3"', UTF8),
    (b'"\xe2\x82"', UTF8),
    (b'{"\xc0\xaf":1}', UTF8),
    (b'"0123456789abcdef\xe2\x28\xa1"', UTF8),
    # numbers
    (b"1e309", NUMBER),
    (b"-1e309", NUMBER),
    (b"1.7976931348623159e308", NUMBER),
    (b"[1,2,1e999999999999]", NUMBER),
    (b"1" + b"0" * 309, NUMBER),
    (b"9" * 10_000, NUMBER),
    (b"01", NOT_JSON),
    (b"-01", NOT_JSON),
    (b"+1", NOT_JSON),
    (b".5", NOT_JSON),
    (b"1.", NOT_JSON),
    (b"1.e2", NOT_JSON),
    (b"1e", NOT_JSON),
    (b"1e+", NOT_JSON),
    (b"-", NOT_JSON),
    (b"--1", NOT_JSON),
    (b"NaN", NOT_JSON),
    (b"Infinity", NOT_JSON),
    (b"-Infinity", NOT_JSON),
    # grammar
    (b"nul", NOT_JSON),
    (b"True", NOT_JSON),
    (b"'a'", NOT_JSON),
    (b"[1,]", NOT_JSON),
    (b"[,1]", NOT_JSON),
    (b"[1 2]", NOT_JSON),
    (b'{"a":1,}', NOT_JSON),
    (b'{"a" 1}', NOT_JSON),
    (b'{"a":}', NOT_JSON),
    (b"{1:2}", NOT_JSON),
    (b"{a:1}", NOT_JSON),
    (b"[1}", NOT_JSON),
    (b"/**/1", NOT_JSON),
    (b"\xef\xbb\xbf1", NOT_JSON),
    (b"\xc2\xa01", NOT_JSON),
]


def as_data(text: bytes) -> StreamEvent:
    return StreamEvent.from_json(b'{"type":"t","data":' + text + b"}")


def as_payload(text: bytes) -> StreamEvent:
    return StreamEvent.from_proto(message(event_type="t", payload=text, content_type="application/json"))


FACES: list[Callable[[bytes], object]] = [strict_json, as_data, as_payload]


def shown(text: bytes) -> str:
    return repr(text if len(text) < 50 else text[:50] + b"...")[2:-1]


def integer(digits: str) -> int | float:
    """As orjson reads it: exact within 64 bits, binary64 beyond."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


@pytest.mark.parametrize("text", ACCEPTED, ids=shown)
def test_accepted_alike_by_us_orjson_and_json(text: bytes) -> None:
    value = orjson.loads(text)
    assert value == json.loads(text, parse_int=integer)
    strict_json(text)
    strict_json(b" \n\r\t" + text + b"\t\r\n ")
    for event in (as_data(text), as_payload(text)):
        assert repr(event.data) == repr(value)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=lambda part: shown(part) if isinstance(part, bytes) else "")
def test_refused_for_the_right_reason(face: Callable[[bytes], object], text: bytes, reason: str) -> None:
    with pytest.raises(MalformedError) as caught:
        face(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", [b"1 2", b"{}{}", b'""x', b"[]]", b"null\x00", b"true,"])
def test_bytes_after_the_value_are_refused(text: bytes) -> None:
    with pytest.raises(MalformedError, match="after the end"):
        strict_json(text)


@pytest.mark.parametrize("text", [b"", b" ", b"\n\t"])
def test_nothing_is_not_a_value(text: bytes) -> None:
    with pytest.raises(MalformedError, match="cut short"):
        strict_json(text)


@pytest.mark.parametrize("text", [text for text in ACCEPTED if text[:1] in b'{["' and len(text) < 500], ids=shown)
def test_every_proper_prefix_is_refused(text: bytes) -> None:
    for length in range(len(text)):
        with pytest.raises(MalformedError) as caught:
            strict_json(text[:length])
        assert caught.value.offset <= length


@pytest.mark.parametrize(
    ("text", "offset"),
    [(b"[1, x]", 4), (b'{"a":1,"b" 2}', 11), (b'["a\x01"]', 3), (b'["ok", "\xff"]', 8), (b"{} {}", 3), (b"[1", 2)],
)
def test_the_offset_points_at_the_fault(text: bytes, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        strict_json(text)
    assert caught.value.offset == offset


# Data may nest 64 deep, whatever format brings it: a message that came as protobuf must not become JSON that no gateway
# takes.
@pytest.mark.parametrize("levels", [63, 64, 65, 66])
def test_both_formats_allow_the_same_nesting(levels: int) -> None:
    text = b"[" * levels + b"]" * levels
    for face in (as_data, as_payload):
        if levels <= 64:
            StreamEvent.from_json(face(text).to_json())
        else:
            with pytest.raises(MalformedError, match="nested"):
                face(text)


def seconds(text: bytes) -> float:
    """Processor time, the best of several runs: neither counts what else the machine does."""
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        strict_json(text)
        best = min(best, time.thread_time() - start)
    return best


@pytest.mark.parametrize(
    "make",
    [
        keys,
        lambda count: keys(count).replace(b"k", b"\\u006b"),
        lambda count: b"[" + b",".join([b'{"a":1,"b":[]}'] * count) + b"]",
        lambda count: b'{"a":[' + keys(count) + b"," + keys(count) + b"]}",
    ],
    ids=["keys", "escaped keys", "objects", "objects of keys"],
)
def test_time_is_linear(make: Callable[[int], bytes]) -> None:
    small, large = make(12_500), make(100_000)
    assert seconds(large) < 24 * seconds(small), "8 times the text: 8 times the time if linear, 64 if quadratic"


def hostile_json(choice: Choices) -> bytes:
    """Bits of JSON in any order."""
    parts = [
        b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"a"', b'"b"', b'"\\u0061"', b'{"a":1', b"[[", b"null",
        b"true", b"1", b"-", b"e", b".", b"0", b"9" * 30, b"1e308", b"\\ud800", b"\xc3", b"\xa9", b" ",
    ]  # fmt: skip
    return b"".join(choice.pick(parts) for _ in range(choice.below(24)))


def agree(text: bytes) -> None:
    """orjson reads whatever we accept; what only we refuse is a duplicate key or too deep."""
    try:
        value = orjson.loads(text)
        valid = True
    except orjson.JSONDecodeError:
        valid = False
    try:
        strict_json(text)
    except MalformedError as error:
        assert 0 <= error.offset <= len(text)
        assert not valid or error.reason in {DUPLICATE, DEEP}, error
    else:
        assert valid
        assert repr(as_payload(text).data) == repr(value)


@many_examples
@given(choices)
def test_hostile_texts(choice: Choices) -> None:
    text = hostile_json(choice)
    agree(text)
    agree(choice.mutated(orjson.dumps(choice.value())))


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_a_string_in_either_spelling(text: str, escaped: bool) -> None:
    spelled = json.dumps(text, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    assert as_data(spelled).data == text


@settings(max_examples=1_000)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
def test_numbers_keep_their_value(real: float, whole: int) -> None:
    assert as_data(repr(real).encode()).data == real
    assert as_data(str(whole).encode()).data == pytest.approx(whole, rel=1e-15)


@pytest.fixture
def decimal_comma() -> Iterator[str]:
    """A process whose C library writes 1,5; skipped where no such locale is installed."""
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
        except locale.Error:
            continue
        yield name
        locale.setlocale(locale.LC_NUMERIC, before)
        return
    pytest.skip("no locale with a decimal comma here")


@pytest.mark.usefixtures("decimal_comma")
def test_the_locale_does_not_change_what_a_number_is() -> None:
    as_data(b"1.5e2")
    with pytest.raises(MalformedError, match="binary64"):
        strict_json(b"1.5e400")


def test_what_one_object_had_hides_no_duplicate_of_the_next() -> None:
    """The walker expects the keys of the last object in their places."""
    draw = random.Random(11)
    plain = ("a", "b", "", "celsius", "a key of many bytes", "ab")
    escaped = {"a": '"\\u0061"', "celsius": '"c\\u0065lsius"'}
    kinds = [[draw.choice(plain) for _ in range(draw.randrange(12))] for _ in range(20)]
    kinds += [["a", "b", "celsius"], ["a", "celsius"], ["a", "celsius", "celsius"], ["a", "b", "celsius", "a"]] * 20
    for _ in range(20_000):
        keys = draw.choice(kinds)
        keys = keys[: draw.randrange(len(keys) + 1)]
        colon = draw.choice((":", ":", ":", ":", ": ", " : "))
        value = draw.choice(("1", '"x"', "{}", '{"a":1}', "[2]"))
        spelt = [escaped.get(key, f'"{key}"') if draw.random() < 0.05 else f'"{key}"' for key in keys]
        members = (key + colon + value for key in spelt)
        text = "{" + draw.choice((",", ", ")).join(members) + "}"
        if len(set(keys)) == len(keys):
            strict_json(text.encode())
        else:
            with pytest.raises(MalformedError):
                strict_json(text.encode())
