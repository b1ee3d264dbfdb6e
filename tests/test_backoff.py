"""Delays between attempts: bounded, doubling, spread over the whole range."""

from lexmesh.transports.backoff import Backoff


def longest(_low: float, high: float) -> float:
    return high


def test_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.1, 10.0, longest)
    delays = [backoff.next_delay() for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.attempts == 9


def test_starts_over_after_a_reset() -> None:
    backoff = Backoff(0.1, 10.0, longest)
    for _ in range(5):
        backoff.next_delay()
    backoff.reset()
    assert (backoff.attempts, backoff.next_delay()) == (0, 0.1)


def test_many_attempts_do_not_overflow() -> None:
    backoff = Backoff(0.1, 10.0, longest)
    backoff.attempts = 10**6
    assert backoff.next_delay() == 10.0


def test_full_jitter_draws_from_zero_to_the_bound() -> None:
    bounds: list[tuple[float, float]] = []
    backoff = Backoff(1.0, 4.0, lambda low, high: bounds.append((low, high)) or 0.0)
    for _ in range(4):
        backoff.next_delay()
    assert bounds == [(0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 4.0)]
    delays = [Backoff(1.0, 4.0).next_delay() for _ in range(200)]
    assert all(0 <= delay <= 1 for delay in delays)
    assert len(set(delays)) > 100
