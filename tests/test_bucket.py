"""The token bucket in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh._bucket import TokenBucket

NOW = 1_795_000_000_000


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=100, burst=10)
    assert [bucket.spend(1, NOW) for _ in range(10)] == [0] * 10
    assert bucket.spend(1, NOW) == 10, "one owed, a hundred come in a second"
    assert bucket.spend(1, NOW + 10) == 10
    assert bucket.spend(1, NOW + 1000) == 0


def test_a_large_debt_is_waited_for_in_full() -> None:
    bucket = TokenBucket(rate=100, burst=10)
    assert bucket.spend(1010, NOW) == 10_000
    assert bucket.spend(0, NOW + 9_999) == 1
    assert bucket.spend(0, NOW + 10_000) == 0


def test_no_more_than_the_burst_is_saved_up() -> None:
    bucket = TokenBucket(rate=100, burst=10)
    assert bucket.spend(0, NOW) == 0
    assert bucket.spend(11, NOW + 86_400_000) == 10


def test_a_clock_that_is_set_back_neither_gives_nor_takes() -> None:
    bucket = TokenBucket(rate=100, burst=10)
    assert bucket.spend(20, NOW) == 100
    assert bucket.spend(0, NOW - 3_600_000) == 100
    assert bucket.spend(0, NOW - 3_600_000 + 100) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1), (1, float("nan"))])
def test_what_is_no_rate(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        TokenBucket(rate, burst)


@given(
    st.floats(0.1, 1e6),
    st.integers(1, 10_000),
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2000)), max_size=50),
)
def test_one_who_waits_as_told_never_gets_more_than_the_rate_and_a_burst(
    rate: float, burst: int, spendings: list[tuple[int, int]]
) -> None:
    bucket = TokenBucket(rate, burst)
    now, spent = NOW, 0
    for count, pause in spendings:
        now += pause + bucket.spend(count, now)
        spent += count
        assert spent <= burst + (now - NOW) * rate / 1000 + 1e-6 * spent
