"""The sliding window against a set of everything ever seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh._window import replay

pytestmark = pytest.mark.core

WINDOW = 1024
LAST = 2**64 - 1


def by_set(sequence: list[int]) -> tuple[list[bool], int]:
    """New if never seen and less than WINDOW behind the highest."""
    accepted: set[int] = set()
    new = []
    for seq in sequence:
        fresh = seq not in accepted and (not accepted or max(accepted) - seq < WINDOW)
        new.append(fresh)
        if fresh:
            accepted.add(seq)
    missing = max(accepted) - min(accepted) + 1 - len(accepted) if accepted else 0
    return new, missing


# Steps around the window's edges and around its words of 64 bits, forwards and back.
steps = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-64, -63, 63, 64, 65, -1023, -1024, -1025, 1023, 1024, 1025, 2048, 5000]),
    st.integers(-1100, 1100),
)


@given(start=st.sampled_from([0, 1, 1023, 1024, 2**32, 2**63, LAST - 2000, LAST]), walk=st.lists(steps, max_size=60))
def test_agrees_with_a_set(start: int, walk: list[int]) -> None:
    sequence = [start]
    for step in walk:
        sequence.append(min(LAST, max(0, sequence[-1] + step)))
    assert replay(sequence) == by_set(sequence)


@given(st.permutations(range(200)))
def test_every_order_within_the_window_is_all_new(order: list[int]) -> None:
    assert replay(order) == ([True] * 200, 0)
    assert replay([*order, *order]) == ([True] * 200 + [False] * 200, 0)


def test_counts_what_never_came() -> None:
    assert replay([10, 11, 15]) == ([True] * 3, 3)
    assert replay([10, 15, 12, 13, 14, 11]) == ([True] * 6, 0)
    assert replay([5, 0]) == ([True, True], 4)
    assert replay([]) == ([], 0)


def test_behind_the_window_is_refused_even_if_new() -> None:
    assert replay([WINDOW, 1, 0])[0] == [True, True, False]
    assert replay([0, WINDOW, 0])[0] == [True, True, False]


def test_a_jump_forgets_the_bits_it_reuses() -> None:
    for jump in (1, 63, 64, 65, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 7):
        sequence = list(range(WINDOW))
        ahead = [WINDOW - 1 + jump]
        new, _ = replay(sequence + ahead + [seq for seq in range(WINDOW, WINDOW - 1 + jump) if ahead[0] - seq < WINDOW])
        assert all(new), jump


def test_the_whole_range_of_numbers() -> None:
    assert replay([0, LAST]) == ([True, True], LAST - 1)
    assert replay([LAST, 0])[0] == [True, False]
    assert replay([LAST - 1, LAST, LAST])[0] == [True, True, False]
