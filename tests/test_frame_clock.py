"""When a frame that is half there is late, in virtual time."""

from lexmesh.transports.frame_clock import FrameClock


def test_a_frame_may_take_its_time_and_no_more() -> None:
    clock = FrameClock(10)
    assert not clock.is_late(5, 3, 100, reading=True)
    assert not clock.is_late(5, 3, 110, reading=True)
    assert clock.is_late(5, 3, 110.1, reading=True)


def test_more_bytes_of_the_same_frame_win_no_time() -> None:
    clock = FrameClock(10)
    assert not any(clock.is_late(5, pending, pending, reading=True) for pending in range(1, 12))
    assert clock.is_late(5, 12, 12, reading=True)


def test_the_next_frame_starts_afresh() -> None:
    clock = FrameClock(10)
    assert not any(clock.is_late(work, 3, 9 * work, reading=True) for work in range(100))


def test_an_idle_link_is_never_late() -> None:
    clock = FrameClock(10)
    assert not clock.is_late(5, 3, 0, reading=True)
    assert not any(clock.is_late(5, 0, now, reading=True) for now in range(0, 1000, 100))
    assert not clock.is_late(5, 3, 1000, reading=True), "begun just now"


def test_what_this_side_does_not_read_is_not_late() -> None:
    clock = FrameClock(10)
    assert not clock.is_late(5, 3, 0, reading=True)
    assert not clock.is_late(5, 3, 100, reading=False)
    assert not clock.is_late(5, 3, 101, reading=True)
    assert not clock.is_late(5, 3, 111, reading=True)
    assert clock.is_late(5, 3, 112, reading=True)
