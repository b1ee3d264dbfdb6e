"""Builds and runs the load generator, bench/peers/load/load.c."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .installed import compiler
from .lane import Lane
from .server_process import die_with_parent

SOURCES = Path(__file__).with_name("load")
CHUNK_MESSAGES = 256
"""Messages in one write of the publisher: some 50 KB."""
WINDOW = 4096
"""Messages on the way to the slowest subscriber, at most: under 1 MB, so that no server's queue overflows."""


class LoadError(Exception):
    """A delivery was lost, changed or late."""


@dataclass(frozen=True)
class Run:
    """What a run found; times in nanoseconds, round trips only with a window of one."""

    messages: int
    elapsed_ns: int
    p50_ns: int = 0
    p99_ns: int = 0
    max_ns: int = 0


class Generator:
    """The compiled load generator in a directory of its own, for as long as the context lasts."""

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="lexmesh-bench-")
        self._path = Path(self._directory.name)
        command = [compiler(), "-O2", "-Wall", "-Werror", "-o", str(self._path / "load"), str(SOURCES / "load.c")]
        built = subprocess.run(command, check=False, capture_output=True, text=True)
        if built.returncode:
            raise LoadError(f"load.c does not compile: {built.stderr[-500:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def run(self, lane: Lane, count: int, **options: Any) -> Run:
        """Sends messages through a lane and waits until every subscriber has them all.

        Args:
            lane: it must be idle.
            count: messages.
            **options: window, chunk (units a write), rate (messages a second), seconds (sending ends then).

        Returns:
            What it took.

        Raises:
            LoadError: if a delivery is lost, changed, doubled or out of order.
        """
        with self.start(lane, count, **options) as process:
            try:
                return finished(process)
            except BaseException:
                process.kill()
                raise

    def start(self, lane: Lane, count: int, **options: Any) -> subprocess.Popen[str]:
        """Like run, without waiting; `finished` waits."""
        directory = Path(tempfile.mkdtemp(dir=self._path))
        process = subprocess.Popen(
            [str(self._path / "load"), *self._arguments(lane, count, directory, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",  # a delivery that is wrong is shown as it came
            pass_fds=sorted({sock.fileno() for sock in (lane.publisher, *lane.subscribers)}),
            preexec_fn=die_with_parent,
        )
        lane.next_seq += count
        return process

    def _arguments(self, lane: Lane, count: int, directory: Path, options: dict[str, Any]) -> list[str]:
        outgoing, incoming = lane.outgoing, lane.incoming
        files = {
            "subscribers": " ".join(str(sock.fileno()) for sock in lane.subscribers).encode(),
            "unit": outgoing.unit,
            "expect": incoming.example,
            "noise": incoming.noise,
        }
        for name, content in files.items():
            (directory / name).write_bytes(content)
        values: dict[str, Any] = {
            "publisher": lane.publisher.fileno(),
            "unit_messages": outgoing.messages,
            "unit_seq_at": outgoing.seq_at,
            "unit_stride": outgoing.stride,
            "unit_xor": outgoing.mask,
            "expect_seq_at": incoming.seq_at,
            "mode": incoming.mode,
            "varint": int(incoming.varint),
            "first": lane.next_seq,
            "count": count,
            "window": WINDOW,
            "chunk": max(1, CHUNK_MESSAGES // outgoing.messages),
        }
        values |= {name: directory / name for name in files} | options
        return [f"{name}={value}" for name, value in values.items()]


def finished(process: "subprocess.Popen[str]") -> Run:
    """Waits for a run to end.

    Raises:
        LoadError: if a delivery was lost, changed, doubled or out of order.
    """
    output, complaint = process.communicate()
    if process.returncode:
        raise LoadError(complaint.strip() or f"the load generator ended with {process.returncode}")
    return Run(**json.loads(output))
