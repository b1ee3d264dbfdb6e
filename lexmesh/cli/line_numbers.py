"""Which line of the input a published message came from."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final

__all__ = ["LineNumbers"]

MOST_JUMPS: Final = 16_384
"""Places that are remembered: more than there are messages under way, of which a gateway may still say something."""


class LineNumbers:
    """Numbers of messages to numbers of lines.

    Messages are numbered one after the other, and lines too: only where lines were left out between two messages
    (blank, malformed, denied before sending) is there something to remember.
    """

    def __init__(self) -> None:
        self._jumps: deque[tuple[int, int]] = deque(maxlen=MOST_JUMPS)  # number of a message, and its line
        self._next_line = 0
        self._prefix = ""  # of ids: `source:epoch`

    def published(self, line: int, id: str) -> None:
        """Notes that a line has become the message `id`, `source:epoch:seq`."""
        if line != self._next_line:
            self._prefix, _, number = id.rpartition(":")
            self._jumps.append((int(number), line))
        self._next_line = line + 1

    def line_of(self, id: str) -> int | None:
        """The line that became a message; None for one that is not known, or not any more."""
        prefix, _, number = id.rpartition(":")
        if prefix != self._prefix or not number.isdecimal():
            return None
        before = bisect_right(self._jumps, int(number), key=lambda jump: jump[0]) - 1
        if before < 0:
            return None
        first, line = self._jumps[before]
        return line + int(number) - first
