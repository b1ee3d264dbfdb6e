"""One publisher and its subscribers on a server: what is sent, and what must come out."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .message import FIRST_SEQ

Mode = Literal["fixed", "batch", "reply"]
PATIENCE = 10.0


@dataclass(frozen=True)
class Outgoing:
    """What is sent over and over, with new numbers.

    Attributes:
        unit: one frame or command, of one or more messages.
        messages: how many.
        seq_at, stride: where the first number stands, and how far on the next.
        mask: the byte that numbers are xored with; every byte of the unit is already.
    """

    unit: bytes
    seq_at: int
    messages: int = 1
    stride: int = 0
    mask: int = 0


@dataclass(frozen=True)
class Incoming:
    """What each subscriber must get; see load/incoming.h.

    Attributes:
        mode: how deliveries are framed.
        example: one delivery, byte for byte.
        seq_at: where its number stands.
        varint: whether numbers are four-byte varints, not nine digits.
        noise: what may stand between deliveries.
    """

    mode: Mode
    example: bytes
    seq_at: int
    varint: bool = False
    noise: bytes = b""


@dataclass
class Lane:
    """Connected sockets, ready for the load generator.

    Attributes:
        next_seq: the number of the next message; none is used twice, as a server may look for duplicates.
    """

    publisher: socket.socket
    subscribers: list[socket.socket]
    outgoing: Outgoing
    incoming: Incoming
    next_seq: int = FIRST_SEQ + 1


def connect(port: int) -> socket.socket:
    """A TCP connection to 127.0.0.1 that does not hold back small writes."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes.

    Raises:
        ConnectionError: if the connection ends before.
    """
    found = b""
    while len(found) < size:
        more = sock.recv(size - len(found))
        if not more:
            raise ConnectionError(f"connection closed after {found[-200:]!r}")
        found += more
    return found


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """Bytes up to and with an ending; none behind it is taken."""
    found = b""
    while not found.endswith(end):
        found += read_exactly(sock, 1)
    return found


@contextlib.contextmanager
def closing_all(lane: Lane) -> Iterator[Lane]:
    """Closes the lane's sockets at the end."""
    try:
        yield lane
    finally:
        for sock in (lane.publisher, *lane.subscribers):
            sock.close()
