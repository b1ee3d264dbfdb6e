"""A client over TLS, on uvloop, which the programs run on."""

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import uvloop
import websockets
from raw_ws import eventually

from lexmesh import StreamEvent, TransportError, WebSocketClient

PADDING = "x" * 10_000
MOST = 10_000  # messages of PADDING: far more than the kernel's buffers and the client's queue hold

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture
def server_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server for `localhost` needs, whose certificate this process trusts."""
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_what_waited_for_a_slow_reader_arrives_once_and_in_order(server_side: ssl.SSLContext) -> None:
    async def main() -> None:
        may_read = asyncio.Event()
        numbers: list[str] = []

        async def read(peer: Any) -> None:
            await may_read.wait()
            async for message in peer:
                numbers.append(json.loads(message)["metadata"]["n"])

        async with websockets.serve(read, "127.0.0.1", 0, ssl=server_side) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            client = WebSocketClient("sensor", f"wss://localhost:{port}", reconnect=False)
            await client.connect()
            published = 0
            with pytest.raises(TransportError, match="wait for the peer"):
                for published in range(MOST):
                    client.publish("a", PADDING, metadata={"n": str(published)})
            may_read.set()
            await eventually(lambda: len(numbers) >= published)
            assert numbers == [str(n) for n in range(published)]
            client.publish("a", metadata={"n": "last"})
            await eventually(lambda: numbers[-1] == "last")
            await client.disconnect()

    uvloop.run(main())


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_what_a_server_sends_arrives_whole_and_in_order(server_side: ssl.SSLContext, run: Any) -> None:
    sizes = [0, 100, 16_000, 17_000, 70_000, 300_000, 5] * 20

    async def main() -> None:
        events: list[StreamEvent] = []

        async def send(peer: Any) -> None:
            for size in sizes:
                await peer.send(json.dumps({"type": "a", "data": "x" * size}))
            async for _message in peer:
                pass

        async with websockets.serve(send, "127.0.0.1", 0, ssl=server_side) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            client = WebSocketClient("sensor", f"wss://localhost:{port}", reconnect=False)
            client.register_handler("a", events.append)
            await client.connect()
            await eventually(lambda: len(events) >= len(sizes))
            assert [len(event.data) for event in events] == sizes
            await client.disconnect()

    run(main())
