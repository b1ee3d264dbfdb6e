"""A server under measurement: started, waited for, its CPU time and memory read, and ended whatever happens."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import lexmesh

START_SECONDS = 15.0
STOP_SECONDS = 10.0
PACKAGES = os.pathsep.join([str(Path(__file__).resolve().parents[1]), str(Path(lexmesh.__file__).resolve().parents[1])])
"""Where children find this package (as `peers`) and the lexmesh that this process has."""

PR_SET_PDEATHSIG = 1  # prctl(2)


class ServerError(Exception):
    """A server did not start or ended by itself."""


def die_with_parent() -> None:
    """Has the kernel end this process when the bench is gone, even killed; runs in the child before exec."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(module: str, *arguments: object) -> list[str]:
    """A command line that runs a module of this package, or of lexmesh."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of lexmesh, so that defaults are what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEXMESH_")}
    return {**kept, "PYTHONPATH": PACKAGES, **more}


class ServerProcess:
    """A server that listens on a port of 127.0.0.1.

    Args:
        name: for messages.
        command: its command line.
        port: where it will listen.
        env: environment variables in addition.
    """

    def __init__(self, name: str, command: Sequence[str], port: int, **env: str) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._env = environment(**env)

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=tempfile.gettempdir(),
            env=self._env,
            preexec_fn=die_with_parent,
            start_new_session=True,  # Ctrl-C is for the bench, which then ends its servers
        )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"{self.name} ended with {self._process.returncode}: {self._last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise ServerError(f"{self.name} does not listen after {START_SECONDS:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-500:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_ns(self) -> int:
        """CPU time of all its threads, user and system, in nanoseconds (the clock of clock_getcpuclockid(3))."""
        return time.clock_gettime_ns((~self.pid) << 3 | 2)

    def waited_ns(self) -> int:
        """Time that its main thread could have run and had no CPU to run on, in nanoseconds (/proc/PID/schedstat)."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1])

    def rss(self) -> int:
        """Resident memory in bytes; kernel socket buffers are not in it."""
        resident = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")
