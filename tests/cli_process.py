"""The command line as its users have it: a process with pipes, ports and signals."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import orjson

COMMAND = [sys.executable, "-m", "lexmesh.cli"]
PATIENCE = 60.0  # seconds until a test gives up; nothing here is expected to need them


def lexmesh(
    *arguments: str, given: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], input=given, capture_output=True, timeout=PATIENCE, env={**os.environ, **(env or {})}
    )


def assert_one_line(result: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    """An error is its exit code and one line on stderr that begins with the program's name."""
    text = result.stderr.decode()
    assert result.returncode == code, text
    assert text.startswith("lexmesh: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    for word in words:
        assert word in text


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a condition of another process, and returns what made it true."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        pause.wait(0.02)
    return value


class Running:
    """A command that runs until it is told to end; both outputs are read all the time."""

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] = COMMAND,
        env: dict[str, str] | None = None,
        stdin: Any = subprocess.PIPE,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._lines: dict[str, queue.Queue[bytes | None]] = {"stdout": queue.Queue(), "stderr": queue.Queue()}
        self.seen: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._threads = [threading.Thread(target=self._read, args=(name,)) for name in self._lines]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self.seen[name].append(line)
            self._lines[name].put(line)
        self._lines[name].put(None)

    def line(self, *, of: str = "stdout", having: bytes = b"") -> bytes:
        """The next line that holds `having`."""
        while (line := self._lines[of].get(timeout=PATIENCE)) is not None:
            if having in line:
                return line
        raise AssertionError(f"{of} ended without {having!r}: {self.text('stderr')}")

    def text(self, name: str) -> str:
        """Everything that has come so far."""
        return b"".join(self.seen[name]).decode()

    def end(self, number: signal.Signals | None = None) -> int:
        """Sends a signal, if one is given, and waits for the end."""
        if number is not None:
            self.process.send_signal(number)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()


class Gateway(Running):
    """`lexmesh mesh start`, listening."""

    def __init__(self, *arguments: str, port: int = 0, env: dict[str, str] | None = None) -> None:
        super().__init__("mesh", "start", "--port", str(port), "--no-redis", "--json", *arguments, env=env)
        self.url = orjson.loads(self.line(having=b"listening"))["listening"]
        self.port = int(self.url.rpartition(":")[2])

    def get(self, path: str) -> bytes:
        """What the gateway answers to a plain HTTP GET."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return answer.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> dict[str, Any]:
        """Ends it in order and returns its final ledger."""
        code = self.end(number)
        assert code == 0, self.text("stderr")
        return orjson.loads(self.seen["stdout"][-1])["ledger"]


@contextmanager
def gateway(*arguments: str, port: int = 0, env: dict[str, str] | None = None) -> Iterator[Gateway]:
    """A gateway for the length of a `with` block, killed if the block has not stopped it."""
    running = Gateway(*arguments, port=port, env=env)
    with running:
        yield running


@contextmanager
def subscriber(url: str, *arguments: str) -> Iterator[Running]:
    """`lexmesh sub`, subscribed."""
    with Running("sub", url, *arguments) as running:
        running.line(of="stderr", having=b"subscribed")
        yield running
