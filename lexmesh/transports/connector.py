"""Makes a client's connection, and makes it again."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from lexmesh.config import MeshConfig
from lexmesh.errors import HandshakeError, TransportError
from lexmesh.transports.backoff import Backoff
from lexmesh.transports.peer import Peer, PeerOwner
from lexmesh.transports.wall_clock import now_ms

ATTEMPT_SECONDS = 10.0

FINAL_CODES = frozenset({1002, 1003, 1007, 1008, 1009})
"""Close codes by which a gateway refuses what this client sends: coming back would only repeat it."""

P = TypeVar("P", bound=Peer)


class Dialler(PeerOwner, Protocol):
    """What is kept connected."""

    config: MeshConfig

    def session_changed(self, session: Any) -> None: ...
    def session_broken(self, session: Any) -> None: ...
    def state_changed(self, state: str, detail: str) -> None: ...


class Connector(ABC, Generic[P]):
    """Keeps one client connected.

    Args:
        client: told of sessions and states.
        url: the gateway.
        reconnect: whether to come back after a break.
    """

    def __init__(self, client: Dialler, url: str, reconnect: bool) -> None:
        self._client = client
        self._url = url
        self._reconnect = reconnect
        self._backoff = Backoff()
        self._stopped = False
        self._connecting = False
        self._retry: asyncio.Task[None] | None = None
        self._last_epoch = 0
        self._session: P | None = None
        self.connections = 0

    @property
    def session(self) -> P | None:
        """The connection there is now; its client hears of each change."""
        return self._session

    @session.setter
    def session(self, session: P | None) -> None:
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
            self._failed()
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

    def lost(self, session: Peer) -> None:
        """A session ended; try again unless it was meant to."""
        if session is not self.session:
            return
        self.session = None
        self._broken(session)

    def _broken(self, session: Peer) -> None:
        """Tells that a connection is gone, and makes it again if that is of use."""
        if self._stopped or self._connecting:
            return
        told = f"{session.close_code} {session.close_reason}".strip()
        self._client.state_changed("disconnected", told)
        if session.is_proven(asyncio.get_running_loop().time()):
            self._backoff.reset()
        if self._reconnect and session.close_code not in FINAL_CODES:
            self._retry = asyncio.get_running_loop().create_task(self._try_again())
        else:
            self._client.state_changed("closed", told)

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

    def _next_epoch(self) -> int:
        """A stamp for what a new connection brings without a name, greater than that of any before."""
        self._last_epoch = max(self._last_epoch + 1, now_ms())
        return self._last_epoch

    def _failed(self) -> None:
        """An attempt came to nothing."""
        self.session = None

    @abstractmethod
    async def _attempt(self, timeout: float) -> P:
        """Connects once and makes the session known; raises ConnectError or HandshakeError."""
