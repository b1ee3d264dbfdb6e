"""Lines to a file descriptor in large writes, and whether anyone still reads them."""

from __future__ import annotations

import os
import select
from typing import Final

__all__ = ["LineOutput"]

CHUNK: Final = 256 * 1024


class LineOutput:
    """Collects lines and writes them in chunks.

    A write waits for a slow reader, on purpose: so a subscriber behind a slow pipe stops taking messages from its
    gateway, instead of collecting them here without end.

    Args:
        fd: where to.

    Attributes:
        closed: the reader has closed its end, so nothing is written any more.
    """

    def __init__(self, fd: int) -> None:
        self.closed = False
        self._fd = fd
        self._error: OSError | None = None
        self._lines: list[bytes] = []
        self._size = 0
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(fd, 0)  # no events asked for: hang-up and error are always reported

    def add(self, line: bytes) -> None:
        """Appends one line, given without its line feed."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > CHUNK:
            self.flush()

    def flush(self) -> None:
        """Writes what has been collected; a failure is kept for `finish`, for this may run as a loop callback."""
        if not self._lines or self.closed:
            return
        self._lines.append(b"")
        data = b"\n".join(self._lines)
        self._lines.clear()
        self._size = 0
        try:
            self._write(data)
        except OSError as error:
            self.closed = True
            if not isinstance(error, BrokenPipeError):
                self._error = error

    def finish(self) -> None:
        """Writes the rest.

        Raises:
            OSError: something could not be written, and not because the reader had left.
        """
        self.flush()
        if self._error is not None:
            raise self._error

    def reader_gone(self) -> bool:
        """Whether the other end of a pipe has been closed, as it is once `head` has seen enough."""
        if self._poll is not None and self._poll.poll(0):
            self.closed = True
        return self.closed

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # an inherited pipe in non-blocking mode
                select.select([], [self._fd], [])
