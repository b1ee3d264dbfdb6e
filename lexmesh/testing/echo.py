"""A WebSocket echo server on the gateway's own links, for protocol suites such as Autobahn's."""

from __future__ import annotations

from lexmesh._echo import EchoLink
from lexmesh.config import MeshConfig
from lexmesh.transports.session import Session
from lexmesh.transports.ws_server import WebSocketServer


class EchoSession(Session):
    """A connection whose messages are sent back."""

    __slots__ = ()

    link_type = EchoLink


class EchoServer(WebSocketServer):
    """A gateway that sends every WebSocket message back as it came, text as text and binary as binary.

    Handshake, limits, fragments, control frames and the close handshake are the gateway's; only what it does with a
    message differs. Nothing is decoded, policed or counted: not for anything but tests.

    Args:
        host: address to listen on.
        port: TCP port, 0 for any free one.
        config: limits; from the environment when None.
        announce: print the URL once it listens.
    """

    session_type = EchoSession

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, config: MeshConfig | None = None, announce: bool = False
    ) -> None:
        super().__init__("echo", host, port, config=config)
        self._announce = announce

    async def start(self) -> None:
        """Listens; see WebSocketServer.start."""
        await super().start()
        if self._announce:
            print(f"echo listening on ws://{self.host}:{self.port}", flush=True)
