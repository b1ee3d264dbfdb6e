"""One gRPC stream on a raw socket (RFC 9113, gRPC over HTTP/2).

What is sent costs the load next to nothing, so that what limits is the server, whose CPU is measured.
"""

import select
import socket
import struct
from collections.abc import Iterable, Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 4
LARGEST_WINDOW = 0x7FFFFFFF
FRAME_BYTES = 16_384  # SETTINGS_MAX_FRAME_SIZE, unless the peer allows more
DEFAULT_WINDOW = 65_535
READ_BYTES = 1 << 18
STREAM = 1
PATIENCE = 30.0


class StreamEndedError(Exception):
    """The server ended the stream or the connection."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, RFC 9113 section 4.1."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """A literal field that is never indexed nor Huffman coded, RFC 7541 section 6.2.3; both under 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def prefixed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, and its length."""
    return b"\0" + struct.pack("!I", len(message)) + message


class RawStream:
    """One call of a method.

    Args:
        port: the server's, on 127.0.0.1.
        method: such as /lexmesh.v1.InternodeService/StreamEvents.
    """

    def __init__(self, port: int, method: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self._windows = {0: DEFAULT_WINDOW, STREAM: DEFAULT_WINDOW}  # what may be sent
        self._out = bytearray()
        self._unread = bytearray()
        self._answers = bytearray()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", f"127.0.0.1:{port}")]
        fields += [("content-type", "application/grpc"), ("te", "trailers")]
        self._out += PREFACE
        self._out += frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, LARGEST_WINDOW))
        self._out += frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", LARGEST_WINDOW - DEFAULT_WINDOW))
        self._out += frame(HEADERS, END_HEADERS, STREAM, b"".join(header(n.encode(), v.encode()) for n, v in fields))

    def close(self) -> None:
        """Ends the connection."""
        self._sock.close()

    def exchange(self, messages: Iterable[bytes], ahead: int) -> Iterator[bytes]:
        """Sends messages and yields answers, at most `ahead` more of the one than of the other."""
        waiting = bytearray()
        source = iter(messages)
        sent = answered = 0
        exhausted = False
        while not exhausted or waiting or self._out or answered < sent:
            while not exhausted and sent - answered < ahead and len(waiting) < FRAME_BYTES:
                message = next(source, None)
                if message is None:
                    exhausted = True
                    break
                waiting += prefixed(message)
                sent += 1
            self._frame_data(waiting)
            self._turn()
            for answer in self._taken():
                answered += 1
                yield answer

    def _frame_data(self, waiting: bytearray) -> None:
        """Moves what the windows allow into DATA frames."""
        while waiting and (size := min(len(waiting), FRAME_BYTES, *self._windows.values())) > 0:
            self._out += frame(DATA, 0, STREAM, bytes(waiting[:size]))
            del waiting[:size]
            for window in self._windows:
                self._windows[window] -= size

    def _turn(self) -> None:
        """Writes and reads what can be, waiting for either."""
        writers = [self._sock] if self._out else []
        readable, writable, _ = select.select([self._sock], writers, [], PATIENCE)
        if not readable and not writable:
            raise StreamEndedError("nothing moves any more")
        if writable:
            del self._out[: self._sock.send(self._out)]
        if readable:
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise StreamEndedError("the server closed the connection")
            self._unread += data
            self._read_frames()

    def _read_frames(self) -> None:
        at = 0
        while len(self._unread) - at >= 9:
            length = int.from_bytes(self._unread[at : at + 3], "big")
            if len(self._unread) - at - 9 < length:
                break
            kind, flags, stream = struct.unpack_from("!BBI", self._unread, at + 3)
            self._frame(kind, flags, stream, bytes(self._unread[at + 9 : at + 9 + length]))
            at += 9 + length
        del self._unread[:at]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._answers += payload
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack("!HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._windows[STREAM] += value - DEFAULT_WINDOW
            self._out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self._windows[stream] += struct.unpack("!I", payload)[0]
        elif kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            raise StreamEndedError(f"frame {kind}, flags {flags}: {payload[-80:]!r}")

    def _taken(self) -> Iterator[bytes]:
        """The answers that are there whole."""
        at = 0
        while len(self._answers) - at >= 5:
            length = int.from_bytes(self._answers[at + 1 : at + 5], "big")
            if len(self._answers) - at - 5 < length:
                break
            yield bytes(self._answers[at + 5 : at + 5 + length])
            at += 5 + length
        del self._answers[:at]
