"""A relay that looks at nothing, load/bare.c: what of every figure is the kernel's."""

import socket
import subprocess
from pathlib import Path

from .installed import compiler
from .lane import Incoming, Lane, Outgoing, connect, read_exactly
from .message import FIRST_SEQ, json_message
from .server_process import ServerError, ServerProcess, free_port
from .websocket import TEXT

SOURCE = Path(__file__).with_name("load") / "bare.c"


def start(directory: Path) -> ServerProcess:
    """Compiled into a directory, which must last as long as it runs."""
    program = directory / "bare"
    built = subprocess.run(
        [compiler(), "-O2", "-Wall", "-Werror", "-o", str(program), str(SOURCE)],
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise ServerError(f"bare.c does not compile: {built.stderr[-500:]}")
    port = free_port()
    return ServerProcess("bare relay", [str(program), str(port)], port)


def open_lane(port: int, subscribers: int) -> Lane:
    """A server's frames of the message; what comes out is what went in."""
    message, number = json_message(), str(FIRST_SEQ).encode()
    unit = bytes([0x80 | TEXT, 126]) + len(message).to_bytes(2, "big") + message
    return Lane(
        publisher=connect(port),
        subscribers=[_subscribed(port) for _ in range(subscribers)],
        outgoing=Outgoing(unit, unit.index(number)),
        incoming=Incoming("fixed", unit, unit.index(number)),
    )


def _subscribed(port: int) -> socket.socket:
    sock = connect(port)
    sock.sendall(b"SUB")
    assert read_exactly(sock, 2) == b"OK"
    return sock
