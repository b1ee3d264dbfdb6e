"""A WebSocket client that sends whatever bytes it is told to, and the smallest tools that tests of links share."""

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from lexmesh import MeshConfig, WebSocketServer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PATIENCE = 10.0
POLL = 0.002


@dataclass
class Frame:
    """One frame as it came."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def code(self) -> int:
        """A close frame's code, 1005 when it has none."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else 1005

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\1\2\3\4"
) -> bytes:
    """One frame (RFC 6455, section 5.2); masked unless `mask` is None."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += bytes([flag | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", len(payload))
    if mask is None:
        return head + payload
    key = mask * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key[: len(payload)], "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def text(value: Any) -> bytes:
    """A text frame of one JSON message."""
    return frame(TEXT, value if isinstance(value, bytes) else json.dumps(value).encode())


class RawClient:
    """A connection after its handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.seen: list[Frame] = []

    @classmethod
    async def connect(
        cls,
        port: int,
        *,
        subprotocol: str | None = None,
        path: str = "/",
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """Connects and shakes hands; `status` tells the answer."""
        if receive_buffer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        else:
            reader, writer = await _narrow_connection(port, receive_buffer)
        self = cls(reader, writer)
        wanted = {
            "Host": "127.0.0.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
        }
        if subprotocol:
            wanted["Sec-WebSocket-Protocol"] = subprotocol
        wanted |= headers or {}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value)]
        self.send("\r\n".join([*lines, "", ""]).encode())
        answer = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode().split("\r\n")
        self.status = int(answer[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in answer[1:] if line)}
        return self

    def send(self, *frames: bytes) -> None:
        """Puts bytes on the wire as they are."""
        self.writer.write(b"".join(frames))

    async def drain(self) -> None:
        await asyncio.wait_for(self.writer.drain(), PATIENCE)

    async def frame(self) -> Frame:
        """The next frame, control frames included; its mask bit must be clear."""
        return await asyncio.wait_for(self._frame(), PATIENCE)

    async def _frame(self) -> Frame:
        first, second = await self.reader.readexactly(2)
        assert not second & 0x80, "a server must not mask (RFC 6455, section 5.1)"
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", await self.reader.readexactly(2))[0]
            assert length >= 126, "not the shortest form of a length"
        elif length == 127:
            length = struct.unpack("!Q", await self.reader.readexactly(8))[0]
            assert length >= 65536, "not the shortest form of a length"
        assert not first & 0x70, "reserved bits without an extension"
        found = Frame(first & 0x0F, await self.reader.readexactly(length), bool(first & 0x80))
        self.seen.append(found)
        return found

    async def json(self) -> Any:
        """The next text message."""
        while True:
            found = await self.frame()
            if found.opcode == TEXT:
                return found.json
            assert found.opcode != CLOSE, f"closed: {found.code} {found.payload[2:]!r}"

    async def json_of(self, event_type: str) -> Any:
        """The next text message of a type; what comes before is passed over."""
        while (message := await self.json())["type"] != event_type:
            pass
        return message

    async def closed(self) -> int:
        """Reads until the close frame; returns its code, 1006 if the connection ends without one."""
        try:
            while (found := await self.frame()).opcode != CLOSE:
                pass
            self.send(frame(CLOSE, found.payload[:2]))  # as section 5.5.1 asks
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006
        return found.code

    async def ended(self) -> bool:
        """Whether the peer ends the TCP connection."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), PATIENCE) is not None
        except ConnectionError:
            return True

    async def subscribe(self, *subjects: str, **options: Any) -> Any:
        """Subscribes in JSON and waits for the gateway's word."""
        source = options.pop("source_node", None)
        message = {"type": "_lexmesh.subscribe", "data": {"subjects": list(subjects), **options}}
        self.send(text(message | ({"source_node": source} if source else {})))
        return await self.json_of("_lexmesh.subscribed")

    async def flush(self) -> Any:
        """Sends a flush and returns the receipt."""
        self.send(text({"type": "_lexmesh.flush"}))
        return (await self.json_of("_lexmesh.ack"))["data"]

    async def aclose(self) -> None:
        """Cuts the connection."""
        self.writer.transport.abort()
        await asyncio.sleep(0)


async def _narrow_connection(port: int, size: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose receive buffers, the kernel's and ours, hold little, so that not reading is soon felt."""
    import socket

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=sock, limit=size)


async def eventually(
    condition: Callable[[], Any], what: str | Callable[[], str] = "", seconds: float = PATIENCE
) -> Any:
    """Waits until a condition holds and returns its value; `what` says what is waited for, or how it stands then."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (value := condition()):
        told = what() if callable(what) and loop.time() >= deadline else what
        assert loop.time() < deadline, f"not within {seconds:g} s: {told or condition}"
        tick = loop.create_future()
        loop.call_later(POLL, tick.set_result, None)
        await tick
    return value


@dataclass
class Received:
    """A handler that keeps what it gets."""

    events: list[Any] = field(default_factory=list)

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    async def wait(self, count: int = 1) -> list[Any]:
        await eventually(lambda: len(self.events) >= count, f"{count} events, got {len(self.events)}")
        return self.events


@asynccontextmanager
async def gateway(port: int = 0, **options: Any) -> AsyncIterator[WebSocketServer]:
    """A server on a free port; afterwards its ledger must balance with nothing in flight."""
    server = WebSocketServer("gateway", "127.0.0.1", port, config=MeshConfig(**{"drain_seconds": 1.0, **options}))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
    ledger = server.ledger()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0, ledger
    assert ledger["undecided"] == 0, ledger
