"""The client's side of RFC 6455 on a blocking socket: enough to shake hands, subscribe and frame a load."""

import base64
import os
import socket

from .lane import connect, read_exactly, read_until

TEXT, BINARY = 1, 2
MASK = 0x5A
"""Every byte of the masking key: numbers can then be written into a masked frame without knowing where it begins."""


def frame(opcode: int, payload: bytes) -> bytes:
    """One masked frame (section 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes([MASK] * 4) + masked(payload)


def masked(payload: bytes) -> bytes:
    """A payload as it goes over the wire (section 5.3)."""
    return bytes(byte ^ MASK for byte in payload)


def read_frame(sock: socket.socket) -> tuple[bytes, bytes]:
    """The next frame of a server: its header and its payload."""
    header = read_exactly(sock, 2)
    size = header[1]
    if size >= 126:
        header += read_exactly(sock, 2 if size == 126 else 8)
        size = int.from_bytes(header[2:], "big")
    return header, read_exactly(sock, size)


def open_websocket(port: int, subprotocol: str = "") -> socket.socket:
    """A WebSocket to 127.0.0.1, past its handshake.

    Raises:
        ConnectionError: if the server refuses.
    """
    sock = connect(port)
    offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
    )
    answer = read_until(sock, b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"not a WebSocket: {answer.splitlines()[0]!r}")
    return sock
