"""Names that come again are the same str; names that share a place in memory stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh._names import name_of

pytestmark = pytest.mark.core


@given(st.text(max_size=80))
def test_a_name_is_its_text(text: str) -> None:
    assert name_of(text.encode()) == text == name_of(text.encode())


def test_names_that_share_a_place_stay_apart() -> None:
    for number in range(5_000):
        assert name_of(b"name%d" % number) == f"name{number}" == name_of(b"name%d" % number)


def test_a_name_that_comes_again_is_the_same_str() -> None:
    assert name_of(b"sensor_reading") is name_of(b"sensor_reading")


def test_long_ones_are_not_kept() -> None:
    assert name_of(b"x" * 65) is not name_of(b"x" * 65)
