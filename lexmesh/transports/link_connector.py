"""Makes the streams of a link that this side dials, one after the other, whatever carries them."""

from __future__ import annotations

import asyncio
import secrets
from abc import abstractmethod
from typing import Protocol

from lexmesh.transports.connector import FINAL_CODES, Connector
from lexmesh.transports.link_session import LinkSession

__all__ = ["DialledStream", "LinkConnector"]


class DialledStream(Protocol):
    """A stream of Batches that an acceptor has answered.

    Attributes:
        resumed: whether the acceptor remembers the link.
    """

    resumed: bool

    async def carry(self, session: LinkSession) -> None:
        """Carries a link until the stream ends; that it broke is no error."""

    async def why(self) -> tuple[int, str]:
        """The close code and the reason that it has ended with."""

    async def close(self) -> None:
        """Ends it, whatever is still under way."""


class LinkConnector(Connector[LinkSession]):
    """Keeps one link connected. The link outlives its streams: what waits, waits for the next one.

    Args:
        client, url, reconnect: as for Connector.
    """

    _token = ""
    _carrying: asyncio.Task[None] | None = None

    @abstractmethod
    async def _open(self, token: str, timeout: float) -> DialledStream:
        """Makes a stream for the link of a secret name; raises ConnectError or HandshakeError."""

    async def _attempt(self, timeout: float) -> LinkSession:
        session = self.session
        if session is None or session.closing:
            session = LinkSession(self._client, epoch=self._next_epoch(), dials=True)
            self._token = secrets.token_hex(16)
        stream = await self._open(self._token, timeout)
        session.resumed = stream.resumed
        self.session = session
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._carrying = asyncio.ensure_future(self._carry(session, stream, begun))
        await begun
        return session

    async def _carry(self, session: LinkSession, stream: DialledStream, begun: asyncio.Future[None]) -> None:
        """Carries the session over one stream, and sees to what follows."""
        asyncio.get_running_loop().call_soon(begun.set_result, None)
        try:
            await stream.carry(session)
            if not session.closing:
                session.close_code, session.close_reason = await stream.why()
        finally:
            await stream.close()
        self._ended(session)

    def _ended(self, session: LinkSession) -> None:
        if session.closing or not self._reconnect or session.close_code in FINAL_CODES:
            session.end()
        else:
            session.broken()
            self._client.session_broken(session)
            self._broken(session)

    def _failed(self) -> None:
        """An attempt came to nothing: the link goes on waiting."""
