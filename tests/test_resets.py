"""Peers that vanish in a reset, on uvloop, which the programs run on and which tells only its own transports."""

import asyncio
import base64
import hashlib
import socket
import struct

import orjson
import pytest
from cli_process import PATIENCE, Running, gateway, until
from raw_ws import TEXT, RawClient, eventually, frame, text
from raw_ws import gateway as gateway_here

from lexmesh.transports.session import Session

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
TCP_CLOSE = 7  # of tcp_info's state, as the kernel has it once the reset is there
KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def reset(client: RawClient) -> None:
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    client.writer.transport.abort()


def tcp_state(session: Session) -> int:
    transport = session.link.transport
    assert transport is not None
    sock = transport.underlying_transport.get_extra_info("socket")
    return int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(text({"type": "a"}), id="a message"),
        pytest.param(text({"type": "a"}) + frame(TEXT, b"{", fin=False), id="a fragment"),
        pytest.param(text({"type": "a"})[:5], id="half a frame"),
    ],
)
async def test_a_gateway_forgets_a_client_that_reset_its_connection(sent: bytes) -> None:
    with gateway() as running:
        for _ in range(5):
            client = await RawClient.connect(running.port)
            client.send(sent)
            await client.drain()
            reset(client)
            await asyncio.sleep(0)
        await asyncio.to_thread(until, lambda: orjson.loads(running.get("/health"))["connections"] == 0, "none left")


def test_what_came_before_the_reset_is_taken_in_while_reading_stood_still() -> None:
    import uvloop

    async def main() -> None:
        async with gateway_here() as server:
            client = await RawClient.connect(server.port)
            (session,) = server._sessions
            session.pause()
            client.send(*[text({"type": "a"})] * 1000)
            await client.drain()
            await eventually(lambda: not client.writer.transport.get_write_buffer_size())
            reset(client)
            await eventually(lambda: tcp_state(session) == TCP_CLOSE)
            assert server.ledger()["taken"] == 0
            session.resume()
            await eventually(lambda: server.ledger()["connections"] == 0)
            assert server.ledger()["taken"] == 1000

    uvloop.run(main())


def test_a_client_hears_that_its_gateway_reset_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        with Running("sub", f"ws://127.0.0.1:{listener.getsockname()[1]}", ">") as running:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                accept_upgrade(peer)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            running.line(of="stderr", having=b"connection lost")


def accept_upgrade(peer: socket.socket) -> None:
    """The server's half of a handshake, up to the client's first frame."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.recv(4096)
    (key,) = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
    accept = base64.b64encode(hashlib.sha1(key + KEY_SUFFIX).digest())
    peer.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    assert peer.recv(4096), "its subscription"
