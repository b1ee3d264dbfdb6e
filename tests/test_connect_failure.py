"""Every way in which there may be no gateway, as the user of a client or a command is told of it."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cli_process import assert_one_line, gateway, lexmesh
from raw_ws import gateway as gateway_here

from lexmesh import TransportError, WebSocketClient
from lexmesh.transports.connect_failure import explained

NO_HTTP = "it ended the connection without an HTTP answer; is it a lexmesh gateway? if it speaks TLS, use wss://"
NO_TLS = "the TLS handshake failed; does the gateway speak TLS? else use ws://"
NO_GATEWAY = "that is a web server but no lexmesh gateway; correct the host and port"
ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", f"it answers 200 OK; {NO_GATEWAY}"),
    (b"HTTP/1.0 501 Unsupported method\r\n\r\n", f"it answers 501 Not Implemented; {NO_GATEWAY}"),
    (b"HTTP/1.1 599 Odd\r\n\r\n", f"it answers 599; {NO_GATEWAY}"),
    (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<b>none</b>",
        "it answers 404 Not Found; correct the path of the URL, or the host and port",
    ),
    (
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://h/x?token=s3cr3t\r\n\r\n",
        "it answers 301 Moved Permanently (https://h/x); connect to where it redirects to",
    ),
    (
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        "it answers 502 Bad Gateway; a proxy is there, but no gateway behind it; start the gateway",
    ),
    (
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        "it answers 400 Bad Request; if it speaks TLS, use wss://; else correct the host and port",
    ),
    (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n\x1b[31mred",
        "it answers 503 Service Unavailable; try again later",
    ),
    (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "it does not shake hands as RFC 6455 asks (",
    ),
    (b"-ERR unknown command\r\n\r\n", "what answers there is no web server; correct the host and port"),
    (b"SSH-2.0-x\r\n", NO_HTTP),
    (b"", NO_HTTP),
]


@asynccontextmanager
async def answering(answer: bytes | None, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that gives one answer to whatever it is asked, or none at all; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read(1 if answer is not None else -1)
            writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def told(url: str, timeout: float = 5) -> str:
    """What a client that cannot connect says, without the URL."""
    client = WebSocketClient("c", url)
    with pytest.raises(TransportError) as caught:
        await client.connect(timeout)
    assert not client.connected
    await client.disconnect()
    _, separator, reason = str(caught.value).partition(f" {url}: ")
    assert separator
    assert reason.isprintable()
    return reason


@pytest.mark.parametrize(("answer", "reason"), ANSWERS, ids=lambda value: repr(value)[:24])
async def test_servers_that_are_no_gateway(answer: bytes, reason: str) -> None:
    async with answering(answer) as port:
        said = await told(f"ws://127.0.0.1:{port}")
        assert said.startswith(reason) if reason.endswith("(") else said == reason


async def test_a_gateway_says_itself_what_is_wrong() -> None:
    async with gateway_here(websocket_path="/mesh", max_connections=1) as server:
        path = await told(f"ws://127.0.0.1:{server.port}/other")
        assert path == (
            "it answers 404 Not Found (no such path: the gateway is at /mesh);"
            " correct the path of the URL, or the host and port"
        )
        async with WebSocketClient("d", f"ws://127.0.0.1:{server.port}/mesh"):
            full = await told(f"ws://127.0.0.1:{server.port}/mesh")
        assert full == "it answers 503 Service Unavailable (too many connections); try again later"


async def test_tls_where_there_is_none() -> None:
    async with answering(b"220 mail\r\n") as port:
        assert await told(f"wss://127.0.0.1:{port}") == NO_TLS
    async with answering(None) as port:
        waited = await told(f"wss://127.0.0.1:{port}", 0.2)
    assert waited == "no answer in time; does it speak TLS? else use ws://"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_none_where_there_is_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)  # noqa: ASYNC221
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with answering(b"", context) as port:
        assert await told(f"ws://127.0.0.1:{port}") == NO_HTTP
        assert (await told(f"wss://localhost:{port}")).startswith("its certificate is not trusted: ")


def test_commands_say_it_in_one_line() -> None:
    with gateway() as running:
        url = f"{running.url}/other"
        words = f"no WebSocket gateway at {url}: it answers 404 Not Found (no such path: the gateway is at /); correct"
        assert_one_line(lexmesh("pub", url, given=b"1\n"), 1, words)
        assert_one_line(lexmesh("sub", url, ">"), 1, words)


def test_a_url_without_a_port_is_told_which_was_tried() -> None:
    refused = ConnectionRefusedError()
    assert "(port 80, for the URL names none; a gateway's default is ws://h:8765)" in str(explained("ws://h", refused))
    assert "(port 443, " in str(explained("wss://h/path", refused))
    assert "(port" not in str(explained("ws://h:80", refused))
