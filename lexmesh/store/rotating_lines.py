"""A file of lines that is rotated by size, and that heals: every append opens it anew if it has to.

Not logging.handlers.RotatingFileHandler: that one counts characters, not bytes, and after a failed write keeps what it
could not write in buffers of its own, so that nobody can say what is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

__all__ = ["RotatingLines"]

MODE = 0o640
"""Of a file that is made here, less the umask: who may read what peers were refused is the operator's to widen."""

# Not blocking: a pipe or a terminal that nobody is at would be waited for.
FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND
FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

_EFFECTIVE_IDS = os.access in os.supports_effective_ids


class RotatingLines:
    """Appends whole lines; blocking, so not for an event loop's thread.

    Args:
        path: the file; `path.1` is the one before it, `path.2` the one before that.
        max_bytes: a file that a line would make larger is rotated first. A longer line gets a file of its own.
        kept: rotated files to keep; 0 starts the file anew.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._fd = -1
        self._size = 0
        self._is_plain = False  # a device has no size and is never rotated

    def check(self) -> None:
        """Opens the file, and sees whether it could be rotated.

        Raises:
            OSError: it cannot be opened, is neither a regular file nor a character device such as /dev/null, or its
                directory cannot be written to.
        """
        try:
            self._open()
            if self._is_plain and not os.access(self.path.parent, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE_IDS):
                raise PermissionError(errno.EACCES, "the directory is not writable, which rotation needs")
        except OSError:
            self.close()
            raise

    def append(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Writes lines, each ending in a newline, as far as the disk takes them.

        Args:
            lines: what to write.

        Returns:
            How many of them were not written for certain, and why.
        """
        done = 0
        try:
            self._open()
            while done < len(lines):
                done = self._append_some(lines, done)
        except OSError as error:
            self.close()
            return len(lines) - done, error
        return 0, None

    def close(self) -> None:
        """Closes the file; the next append opens it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # it says again what the write has said
                os.close(fd)

    def _append_some(self, lines: list[bytes], first: int) -> int:
        """Writes as many lines as the file has room for; returns the first that is still to be written."""
        if self._is_plain and self._size and self._size + len(lines[first]) > self._max_bytes:
            self._rotate()
        end, room = first, self._max_bytes - self._size
        while end < len(lines) and (end == first or not self._is_plain or len(lines[end]) <= room):
            room -= len(lines[end])
            end += 1
        self._write(b"".join(lines[first:end]))
        return end

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self._fd, rest)
            self._size += written
            rest = rest[written:]

    def _open(self) -> None:
        """Has the file open that the path names now: somebody may have moved or deleted the last one."""
        if self._fd >= 0 and self._is_where_it_was():
            return
        self.close()
        self._fd = os.open(self.path, FLAGS, MODE)
        status = os.fstat(self._fd)
        self._is_plain = stat.S_ISREG(status.st_mode)
        if not self._is_plain and not stat.S_ISCHR(status.st_mode):  # a pipe that nobody reads takes a write for ever
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(self.path))
        self._size = status.st_size if self._is_plain else 0
        if self._size:
            os.lseek(self._fd, -1, os.SEEK_END)
            if os.read(self._fd, 1) != b"\n":  # a write that broke off: end its line
                self._write(b"\n")

    def _is_where_it_was(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        """Moves each file to the next number, the oldest away."""
        self.close()
        if self._kept == 0:
            os.unlink(self.path)
        for number in range(self._kept, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._numbered(number - 1), self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> str:
        return f"{self.path}.{number}" if number else str(self.path)
