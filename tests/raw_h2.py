"""HTTP/2 frames made by hand (RFC 9113), for a client that does what no library would do."""

import asyncio
import contextlib
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = struct.pack("!I", 8)

STREAM_EVENTS = "/lexmesh.v1.InternodeService/StreamEvents"
SEND_DATA = "/lexmesh.v1.InternodeService/SendData"


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """One frame (section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def field(name: str, value: str) -> bytes:
    """One header as a literal that is not indexed (RFC 7541, section 6.2.2)."""
    return b"\x00" + b"".join(_string(text.encode()) for text in (name, value))


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, head = len(text) - 127, b"\x7f"
    while rest >= 128:
        head += bytes([rest % 128 + 128])
        rest //= 128
    return head + bytes([rest]) + text


def headers(stream: int, path: str, *more: tuple[str, str]) -> bytes:
    """What begins a call."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
    block = b"".join(field(*pair) for pair in (*fields, ("content-type", "application/grpc"), *more))
    return frame(HEADERS, stream, block, END_HEADERS)


def grpc_message(message: bytes, *, length: int | None = None) -> bytes:
    """One message as gRPC frames it; `length` may lie."""
    return struct.pack("!BI", 0, len(message) if length is None else length) + message


def data(stream: int, message: bytes, *, end: bool = False) -> bytes:
    """DATA frames of at most 16 KiB, the most that may come unasked."""
    parts = [message[at : at + 16384] for at in range(0, len(message), 16384)]
    return b"".join(
        frame(DATA, stream, part, END_STREAM if end and n == len(parts) - 1 else 0) for n, part in enumerate(parts)
    )


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, greeted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS, 0))
    return reader, writer


async def cut(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
