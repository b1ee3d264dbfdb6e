"""What both ends share: the lines that are sent, and the handler that must be called with each of them."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

SIZE = 200
FIRST = 100_000_000


def lines(count: int) -> Iterator[bytes]:
    """So many numbered JSON objects of 200 bytes each."""
    text = "all racks are stable, the air is calm and the plants are growing well, "
    head, tail = b'{"celsius":21.5,"note":"%s","n":', b"}"
    note = (text * 3).encode()[: SIZE - len(head % b"") - len(str(FIRST)) - len(tail)]
    head %= note
    for number in range(FIRST, FIRST + count):
        yield head + b"%d" % number + tail


class Tally:
    """The handler, the same for all: it counts, and keeps the first and the last message.

    Args:
        expected: how many messages come.
        done: called when the last one is there.
    """

    def __init__(self, expected: int, done: Callable[[], object]) -> None:
        self.count = 0
        self.first: Any = None
        self.last: Any = None
        self.ended_ns = 0
        self._expected = expected
        self._done = done

    def __call__(self, message: Any) -> None:
        self.count += 1
        self.last = message
        if self.count == 1:
            self.first = message
        elif self.count == self._expected:
            self.ended_ns = time.monotonic_ns()
            self._done()

    def report(self, read: Callable[[Any], Any] = json.loads) -> dict[str, int]:
        """What came.

        Args:
            read: callable(message) -> the line's object.
        """
        return {
            "count": self.count,
            "first": read(self.first)["n"] - FIRST,
            "last": read(self.last)["n"] - FIRST,
            "ended_ns": self.ended_ns,
        }
