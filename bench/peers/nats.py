"""nats-server on raw sockets: https://docs.nats.io/reference/reference-protocols/nats-protocol."""

import socket

from .installed import program
from .lane import Incoming, Lane, Outgoing, connect, read_until
from .message import FIRST_SEQ, SUBJECT, json_message
from .server_process import ServerProcess, free_port


def start() -> ServerProcess:
    """nats-server as it comes."""
    port = free_port()
    return ServerProcess("nats-server", [program("nats-server"), "-a", "127.0.0.1", "-p", str(port)], port)


def open_connection(port: int, *commands: bytes) -> socket.socket:
    """A connection that has said what it wants and was heard."""
    sock = connect(port)
    read_until(sock, b"\r\n")  # INFO
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false,"lang":"c","version":"1"}\r\n')
    sock.sendall(b"".join(commands) + b"PING\r\n")
    read_until(sock, b"PONG\r\n")
    return sock


def open_lane(port: int, subscribers: int) -> Lane:
    """A publisher and its subscribers, on one subject."""
    message, subject = json_message(), SUBJECT.encode()
    unit = b"PUB %s %d\r\n%s\r\n" % (subject, len(message), message)
    delivery = b"MSG %s 1 %d\r\n%s\r\n" % (subject, len(message), message)
    number = str(FIRST_SEQ).encode()
    return Lane(
        publisher=open_connection(port),
        subscribers=[open_connection(port, b"SUB %s 1\r\n" % subject) for _ in range(subscribers)],
        outgoing=Outgoing(unit, unit.index(number)),
        incoming=Incoming("fixed", delivery, delivery.index(number), noise=b"PING\r\n"),
    )
