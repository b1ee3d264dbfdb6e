"""Makes a client's connection, and makes it again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import picows

from lexmesh._link import MAX_FRAME_MARGIN
from lexmesh.errors import ConnectError, HandshakeError, TransportError
from lexmesh.transports.backoff import Backoff
from lexmesh.transports.connect_failure import NO_HTTP, explained
from lexmesh.transports.handshake import SUBPROTOCOL_PROTO, largest_relayed
from lexmesh.transports.loop import foreign_transports
from lexmesh.transports.session import Session

if TYPE_CHECKING:
    from lexmesh.transports.ws_client import WebSocketClient

ATTEMPT_SECONDS = 10.0
READ_BUFFER = 4096  # bytes; only the handshake and the first frames go through it

FINAL_CODES = frozenset({1002, 1003, 1007, 1008, 1009})
"""Close codes by which a gateway refuses what this client sends: coming back would only repeat it."""


class Connector:
    """Keeps one client connected.

    Args:
        client: told of sessions and states.
        url: the gateway.
        subprotocol: what to offer.
        reconnect: whether to come back after a break.
    """

    def __init__(self, client: WebSocketClient, url: str, subprotocol: str, reconnect: bool) -> None:
        self._client = client
        self._url = url
        self._subprotocol = subprotocol
        self._reconnect = reconnect
        self._backoff = Backoff()
        self._stopped = False
        self._connecting = False
        self._retry: asyncio.Task[None] | None = None
        self._last_epoch = 0
        self._session: Session | None = None
        self.connections = 0

    @property
    def session(self) -> Session | None:
        """The connection there is now; its client hears of each change."""
        return self._session

    @session.setter
    def session(self, session: Session | None) -> None:
        self._session = session
        self._client.session_changed(session)

    async def connect(self, timeout: float) -> None:
        """Connects once; raises ConnectError or HandshakeError."""
        self._stopped = False
        self._connecting = True
        try:
            session = await self._attempt(timeout)
            if session is not self.session:
                raise HandshakeError(self._url, f"closed at once: {session.close_code} {session.close_reason}".strip())
        except BaseException:
            self.session = None
            raise
        finally:
            self._connecting = False
        self.connections += 1
        self._client.state_changed("connected", self._url)

    async def stop(self) -> None:
        """Closes and stays closed."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        session = self.session
        if session is not None:
            session.outbox.flush()
            await session.drained(self._client.config.drain_seconds)
            session.close(1000)
            await session.ended.wait()
        self._client.state_changed("closed", "")

    def lost(self, session: Session) -> None:
        """A session ended; try again unless it was meant to."""
        if session is not self.session:
            return
        self.session = None
        if self._stopped or self._connecting:
            return
        self._client.state_changed("disconnected", f"{session.close_code} {session.close_reason}".strip())
        if session.is_proven(asyncio.get_running_loop().time()):
            self._backoff.reset()
        if self._reconnect and session.close_code not in FINAL_CODES:
            self._retry = asyncio.get_running_loop().create_task(self._try_again())
        else:
            self._client.state_changed("closed", f"{session.close_code} {session.close_reason}".strip())

    async def _try_again(self) -> None:
        while not self._stopped:
            delay = self._backoff.next_delay()
            self._client.state_changed("retrying", f"in {delay:.1f} s")
            await asyncio.sleep(delay)
            try:
                await self.connect(ATTEMPT_SECONDS)
            except TransportError:
                continue
            return

    async def _attempt(self, timeout: float) -> Session:
        _check_url(self._url)
        session: Session | None = None
        self._last_epoch = max(self._last_epoch + 1, time.time_ns() // 1_000_000)

        def make_link(_request: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> picows.WSListener:
            nonlocal session
            proto = response.headers.get("sec-websocket-protocol") == SUBPROTOCOL_PROTO
            session = Session(self._client, proto=proto, masked=True, epoch=self._last_epoch)
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
