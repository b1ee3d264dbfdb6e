"""A file that an operator wrote, read whole: a plain file of a sensible size, and nothing that could go on for ever."""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["MOST_BYTES", "read_settings"]

MOST_BYTES = 4 * 1024 * 1024
"""Of a policy or a configuration file: thousands of markers take a tenth of it."""


def read_settings(path: str | os.PathLike[str]) -> str:
    """Reads a text file, UTF-8 with or without a byte order mark (editors on Windows begin files with one).

    Args:
        path: the file.

    Returns:
        Its text.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe or a device may never end) or has over MOST_BYTES;
            `strerror` says which.
        UnicodeDecodeError: it is not UTF-8.
    """
    # Not blocking: else opening a pipe that nobody writes to would wait for ever.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    with open(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            what = "Is a directory" if stat.S_ISDIR(mode) else "Not a regular file"
            raise OSError(errno.EINVAL, f"{what}; give the path of a TOML file", os.fspath(path))
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MOST_BYTES} bytes, the most that is read", os.fspath(path))
    return data.decode("utf-8-sig")
