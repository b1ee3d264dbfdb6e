"""Makes a client's WebSocket connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import picows

from lexmesh._link import MAX_FRAME_MARGIN
from lexmesh.errors import ConnectError, HandshakeError
from lexmesh.transports.connect_failure import NO_HTTP, explained
from lexmesh.transports.connector import Connector, Dialler
from lexmesh.transports.handshake import SUBPROTOCOL_PROTO, largest_relayed
from lexmesh.transports.loop import foreign_transports
from lexmesh.transports.session import Session

READ_BUFFER = 4096  # bytes; only the handshake and the first frames go through it


class WebSocketConnector(Connector[Session]):
    """Keeps one client connected over WebSocket.

    Args:
        client, url, reconnect: as for Connector.
        subprotocol: what to offer.
    """

    def __init__(self, client: Dialler, url: str, subprotocol: str, reconnect: bool) -> None:
        super().__init__(client, url, reconnect)
        self._subprotocol = subprotocol

    async def _attempt(self, timeout: float) -> Session:
        _check_url(self._url)
        session: Session | None = None
        epoch = self._next_epoch()

        def make_link(_request: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> picows.WSListener:
            nonlocal session
            proto = response.headers.get("sec-websocket-protocol") == SUBPROTOCOL_PROTO
            session = Session(self._client, proto=proto, masked=True, epoch=epoch)
            self.session = session
            return session.link

        try:
            async with asyncio.timeout(timeout), _quiet_tls_failure():
                await picows.ws_connect(
                    make_link,
                    self._url,
                    extra_headers={"Sec-WebSocket-Protocol": self._subprotocol},
                    max_frame_size=largest_relayed(self._client.config.max_message_size) + MAX_FRAME_MARGIN,
                    read_buffer_init_size=READ_BUFFER,
                    enable_auto_pong=False,
                    max_redirects=0,
                    websocket_handshake_timeout=timeout,
                    logger_name=logging.getLogger("lexmesh.frames"),
                    use_aiofastnet=foreign_transports(tls=urlsplit(self._url).scheme == "wss"),
                )
        except (TimeoutError, OSError, picows.WSError) as error:
            raise explained(self._url, error) from None
        if session is None:
            raise HandshakeError(self._url, NO_HTTP)
        return session


@contextlib.asynccontextmanager
async def _quiet_tls_failure() -> AsyncIterator[None]:
    """Keeps the loop from logging a failed TLS handshake with its traceback: connect raises it anyway."""
    loop = asyncio.get_running_loop()
    previous = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "SSL handshake failed" in str(context.get("message", "")):
            return
        if previous is None:
            loop.default_exception_handler(context)
        else:
            previous(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(previous)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        usable = parts.scheme in ("ws", "wss") and host and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ConnectError(url, "not a WebSocket URL; give ws://host:port or wss://host:port")
