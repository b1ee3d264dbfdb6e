"""What is written as JSON here is what orjson writes, byte for byte, and strict; the rest is left to orjson."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lexmesh._dump import dumped
from lexmesh._json import strict_json
from lexmesh.errors import MalformedError

pytestmark = pytest.mark.core

decimals = st.integers(-(10**9), 10**9).flatmap(
    lambda number: st.integers(0, 9).map(lambda places: number / 10**places)
)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | decimals
trees = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(trees)
@example({"a": [21.5, -0.0, 0.0, 1e15, 1e16, 999999999999999.0, 0.001, 1e-5, 1e-7, 0.1 + 0.2, math.pi]})
@example({"": 'quote " slash / back \\ delete \x7f é ☃ 😀'})
@example([2**63 - 1, -(2**63), 0, -1, True, False, None, {}, [], ()])
def test_it_writes_what_orjson_writes(tree: Any) -> None:
    text = dumped(tree)
    if text is not None:
        assert text == orjson.dumps(tree)
        strict_json(text)


@given(st.floats(allow_nan=False, allow_infinity=False) | decimals)
def test_every_finite_float_is_written(number: float) -> None:
    assert dumped(number) == orjson.dumps(number)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_it_nests_as_deep_as_the_strict_walk_goes() -> None:
    strict_json(dumped(nested(64)) or b"")
    assert dumped(nested(65)) is None
    with pytest.raises(MalformedError):
        strict_json(orjson.dumps(nested(65)))


class Text(str):
    """A str whose methods could say anything."""


@pytest.mark.parametrize(
    "value",
    [
        "\x00",
        "a\nb",
        "\ud800",
        float("nan"),
        float("inf"),
        2**63,
        {1: 2},
        {Text("a"): 1},
        Text("a"),
        {"a": {1}},
        object(),
    ],
    ids=repr,
)
def test_the_rest_is_left_to_orjson(value: Any) -> None:
    assert dumped(value) is None
    assert dumped({"a": [value]}) is None
