"""A network of its own for each node: hosts on a switch that can be parted, and links that lose one direction.

Each host, and the switch, is a network namespace without a name (as `ip netns add` makes, less the file under /run): it
lives as long as the process that holds it, which ends with the run of the tests however that ends. So nothing of an
earlier run is left, and runs beside each other share no name.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Self

import pytest
from requirements import absent

HOLD = ["unshare", "--net", "--", "sh", "-c", "echo && exec cat"]
NOBODY = "02:00:00:00:ff:ff"
"""The hardware address of nobody: what is sent there is lost without a word to its sender."""


def need_namespaces() -> None:
    """Skips the test where the machine allows no network namespaces."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are Linux's")
    for program, package in {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}.items():
        if shutil.which(program) is None:
            absent(f"no {program}: apt-get install {package}")
    if os.geteuid() != 0:
        pytest.skip("only root may make network namespaces")
    with ExitStack() as stack:
        try:
            Namespace(stack).ip("link add br0 type bridge", "link add p0 type veth peer name p1")
        except (subprocess.CalledProcessError, EOFError) as error:
            pytest.skip(f"no network namespaces with bridges and veth here: {error}")


class Namespace:
    """A network namespace for as long as a stack is not unwound."""

    def __init__(self, stack: ExitStack) -> None:
        self._holder = subprocess.Popen(HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stack.callback(self._end)
        if not self._holder.stdout.readline():
            raise EOFError(self._holder.stderr.read().decode().strip())
        self.pid = self._holder.pid
        self.enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def ip(self, *commands: str) -> None:
        """Runs commands of `ip` inside."""
        batch = "".join(f"{command}\n" for command in commands).encode()
        subprocess.run([*self.enter, "ip", "-batch", "-"], input=batch, check=True, capture_output=True)

    def _end(self) -> None:
        self._holder.kill()
        self._holder.communicate()


class Network:
    """Hosts with addresses 10.77.0.1, 10.77.0.2 …, all on one switch to begin with.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._stack = ExitStack()
        try:
            self._switch = Namespace(self._stack)
            self._switch.ip(*(f"link add {bridge} type bridge" for bridge in ("br0", "br1")))
            self._switch.ip(*(f"link set {bridge} up" for bridge in ("br0", "br1")))
            self.hosts = [Namespace(self._stack) for _ in range(count)]
            for number, host in enumerate(self.hosts):
                self._plug_in(number, host)
        except BaseException:
            self._stack.close()
            raise

    def _plug_in(self, number: int, host: Namespace) -> None:
        self._switch.ip(
            f"link add p{number} type veth peer name eth0 address {hardware(number)} netns {host.pid}",
            f"link set p{number} master br0 up",
        )
        host.ip("link set lo up", f"address add {address(number)}/24 dev eth0", "link set eth0 up")

    def part(self, numbers: Iterable[int]) -> None:
        """Puts some hosts on a switch of their own: nothing goes between them and the others."""
        self._switch.ip(*(f"link set p{number} master br1" for number in numbers))

    def join(self, numbers: Iterable[int]) -> None:
        """Puts hosts back on the common switch."""
        self._switch.ip(*(f"link set p{number} master br0" for number in numbers))

    def lose(self, source: int, target: int) -> None:
        """Loses all that one host sends to another; what the other sends arrives."""
        self._send_to(source, target, NOBODY)

    def restore(self, source: int, target: int) -> None:
        """Ends `lose`."""
        self._send_to(source, target, hardware(target))

    def _send_to(self, source: int, target: int, hardware: str) -> None:
        self.hosts[source].ip(f"neighbour replace {address(target)} lladdr {hardware} dev eth0 nud permanent")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def address(number: int) -> str:
    """The address of a host."""
    return f"10.77.0.{number + 1}"


def hardware(number: int) -> str:
    """The hardware address of a host."""
    return f"02:00:00:00:00:{number:02x}"


def lasting(seconds: float) -> None:
    """Lets a fault last."""
    end = time.monotonic() + seconds
    waiting = threading.Event()
    while (left := end - time.monotonic()) > 0:
        waiting.wait(left)
