"""What is read from strict JSON here is what orjson reads, type by type; the rest is left to orjson."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lexmesh._codec import StreamEvent
from lexmesh._json import strict_json
from lexmesh._load import loaded
from lexmesh.errors import MalformedError

pytestmark = pytest.mark.core

decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?", fullmatch=True)
numbers = st.integers(-(2**70), 2**70).map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr) | decimals
keys = st.text(max_size=20) | st.sampled_from(["temperature", "humidity", "a", "longer than sixteen bytes"])
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Whether both are equal to the type and the sign of a zero, in the same order."""
    return type(one) is type(other) and repr(one) == repr(other)


@given(trees)
@example({"a": "", "": "a"})
@example([[], {}, [{}], "\u0000", "\x7f", "é", "😀", '"', "\\"])
def test_it_reads_what_orjson_reads(tree: Any) -> None:
    for option in None, orjson.OPT_INDENT_2:
        text = orjson.dumps(tree, option=option)
        read = loaded(text)
        assert read is None or same(read[0], orjson.loads(text))


@given(numbers)
@example("0.30000000000000004")
@example("9007199254740993.5")
@example("9007199254740992.5")
@example("0.9999999999999999999")
@example("9999999999999999999.9")
@example("-0")
@example("-0.0")
@example("18446744073709551615")
def test_numbers_are_read_to_the_last_bit(text: str) -> None:
    try:
        strict_json(text.encode())
    except MalformedError:
        return
    read = loaded(text.encode())
    assert read is None or same(read[0], orjson.loads(text))


@pytest.mark.parametrize("value", [0, -1, 10**17, -(10**17), 0.5, -21.5, 0.1 + 0.2, math.pi, 1 / 300, 123456.789])
def test_plain_numbers_are_not_left(value: float) -> None:
    read = loaded(repr(value).encode())
    assert read is not None
    assert same(read[0], value)


@given(st.lists(st.dictionaries(keys, st.integers(0, 9), max_size=9), min_size=2, max_size=6))
def test_keys_that_were_expected_mislead_nobody(objects: list[dict[str, int]]) -> None:
    for one in objects:
        assert loaded(orjson.dumps(one)) == (one,)


@pytest.mark.parametrize("text", ["1e5", "[1e5]", '{"a": -1E-7}', "12345678901234567890", "[1" + ",1" * 512 + "]"])
def test_the_rest_is_left_to_orjson(text: str) -> None:
    assert loaded(text.encode()) is None
    assert StreamEvent.from_json(b'{"type":"a","data":%b}' % text.encode()).data == orjson.loads(text)


@given(
    st.binary(max_size=40)
    | trees.map(orjson.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda at: text[:at]))
)
@example(b"[" * 1000)
@example(b'{"a')
@example(b'"\\')
def test_nothing_is_read_beyond_a_text(text: bytes) -> None:
    """The text need not be strict: it is read no further than it goes, nor deeper than the strict walk."""
    try:
        strict_json(text)
    except MalformedError:
        loaded(text)
    else:
        assert loaded(text) in (None, (orjson.loads(text),))
