"""redis-server's pub/sub on raw sockets: https://redis.io/docs/latest/develop/reference/protocol-spec/."""

import socket

from .installed import program
from .lane import Incoming, Lane, Outgoing, connect, read_until
from .message import FIRST_SEQ, SUBJECT, json_message
from .server_process import ServerProcess, free_port


def start() -> ServerProcess:
    """redis-server as it comes, but that it writes nothing to disk."""
    port = free_port()
    command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    return ServerProcess("redis-server", command, port)


def array(*parts: bytes) -> bytes:
    """An array of bulk strings."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def open_subscriber(port: int, channel: bytes) -> socket.socket:
    """A connection that is subscribed."""
    sock = connect(port)
    sock.sendall(array(b"SUBSCRIBE", channel))
    read_until(sock, b":1\r\n")
    return sock


def open_lane(port: int, subscribers: int) -> Lane:
    """A publisher and its subscribers, on one channel."""
    message, channel = json_message(), SUBJECT.encode()
    unit, delivery = array(b"PUBLISH", channel, message), array(b"message", channel, message)
    number = str(FIRST_SEQ).encode()
    return Lane(
        publisher=connect(port),
        subscribers=[open_subscriber(port, channel) for _ in range(subscribers)],
        outgoing=Outgoing(unit, unit.index(number)),
        incoming=Incoming("fixed", delivery, delivery.index(number)),
    )
