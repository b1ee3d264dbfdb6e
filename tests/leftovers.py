"""Ends the processes that a run of the tests leaves behind, however that run ends: `kill -9` too.

A watcher of its own session waits for the end of the pipe that only the run holds open, and then ends whatever carries
the run's mark in its environment: children, and theirs. Linux only; elsewhere nothing is watched.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

MARK = "LEXMESH_TEST_RUN"
ROUNDS = 10  # what is found may just be starting something


class Watch:
    """Marks this process and what it starts from now on."""

    def __init__(self) -> None:
        token = secrets.token_hex(8)
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, token], stdin=subprocess.PIPE, start_new_session=True
        )
        os.environ[MARK] = f"{os.environ.get(MARK, '')} {token}".strip()  # a run within a run has the marks of both

    def end(self) -> None:
        """Ends what is left, and the watching."""
        self._watcher.stdin.close()
        self._watcher.wait()


def start_watch() -> Watch | None:
    """Watches over this run; None where that is not possible."""
    return Watch() if sys.platform == "linux" else None


def marked(token: bytes) -> list[int]:
    """The processes, but for this one, that have a mark."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or somebody else's
            if token in (directory / "environ").read_bytes():
                found.append(int(directory.name))
    return [pid for pid in found if pid != os.getpid()]


def main(token: str) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    for _ in range(ROUNDS):
        pids = marked(token.encode())
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
