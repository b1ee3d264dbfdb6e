"""When work that failed is tried again, and when no more."""

import pytest

from lexmesh.transports.durable.held import HeldEntries, State, retry_delay


@pytest.mark.parametrize(("attempt", "delay"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 15.0), (1000, 15.0)])
def test_delays_grow_and_stay_below_half_of_what_a_handler_may_take(attempt: int, delay: float) -> None:
    assert retry_delay(attempt, 30.0) == delay


def test_an_entry_is_given_up_after_its_last_attempt() -> None:
    held = HeldEntries(3, 30.0)
    now = 100.0
    for attempt in (1, 2):
        held.begin(b"1-0", attempt, now)
        assert held.failed(b"1-0", now, "no", is_final=False)
        assert held.due(now) == []
        now = held.next_due()
        assert held.due(now) == [b"1-0"]
    held.begin(b"1-0", 3, now)
    assert not held.failed(b"1-0", now, "no", is_final=False)
    assert held[b"1-0"].state is State.DEAD
    assert held[b"1-0"].reason == "no"
    assert held.next_due() == float("inf")


def test_a_final_failure_is_the_last() -> None:
    held = HeldEntries(3, 30.0)
    held.begin(b"1-0", 1, 0.0)
    assert not held.failed(b"1-0", 0.0, "never", is_final=True)
    assert held.among(State.DEAD) == [b"1-0"]


def test_what_is_left_for_others_is_not_tried_here() -> None:
    held = HeldEntries(3, 30.0)
    held.begin(b"1-0", 1, 0.0)
    held.leave(b"1-0", 1, 0.0)
    assert held.due(1e18) == []
    assert held.count(State.FAILED) == 1
    held.drop(b"1-0")
    assert b"1-0" not in held
