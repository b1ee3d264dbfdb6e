"""When a frame that has begun to arrive has taken too long."""

from __future__ import annotations


class FrameClock:
    """Times the frame that is half there, from looks at a link now and then.

    Args:
        timeout: seconds from a frame's first byte, or the first look that found it begun, to its last.
    """

    __slots__ = ("_behind", "_since", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._since: float | None = None  # when the frame that is half there was first seen
        self._behind = 0  # the link's work then

    def is_late(self, work: int, pending: int, now: float, *, reading: bool) -> bool:
        """Looks at a link.

        Args:
            work: frames that the link has had so far: another number means that another frame is half there.
            pending: bytes of a frame that is not there yet.
            now: seconds, on any clock.
            reading: whether the link is being read from; a frame that this side does not take is not late.

        Returns:
            Whether the frame has taken longer than the timeout.
        """
        if not pending or not reading:
            self._since = None
        elif self._since is None or work != self._behind:
            self._since, self._behind = now, work
        return self._since is not None and now - self._since > self._timeout
