"""The standard streams: there at the start, whatever the caller closed, and silent once nobody reads them."""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["open_closed_streams", "silence_stdout"]


def open_closed_streams() -> None:
    """Opens those of stdin, stdout and stderr that were closed (``>&-``) on the null device.

    Else the first socket or pipe would take such a number, and whoever writes to stdout would write into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def silence_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush cannot fail on a closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
