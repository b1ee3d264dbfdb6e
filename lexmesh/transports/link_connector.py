"""Makes the streams of a link that this side dials, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping

from lexmesh.transports.connector import FINAL_CODES, Connector, Dialler
from lexmesh.transports.grpc_channel import GrpcAddress, GrpcTls, check_tls, open_aio_channel
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_failure import not_in_time, quoted, refused
from lexmesh.transports.grpc_methods import LINK
from lexmesh.transports.link_session import LinkSession
from lexmesh.transports.link_status import RESUMED_KEY, TOKEN_KEY, close_code_of

Call = grpc.aio.StreamStreamCall[bytes, bytes]


class LinkConnector(Connector[LinkSession]):
    """Keeps one link connected. The link outlives its streams: what waits, waits for the next one.

    Args:
        client, url, reconnect: as for Connector.
        tls: for grpcs.
    """

    def __init__(self, client: Dialler, url: str, reconnect: bool, tls: GrpcTls | None = None) -> None:
        super().__init__(client, url, reconnect)
        check_tls(tls)
        self._tls = tls
        self._token = ""
        self._carrying: asyncio.Task[None] | None = None

    async def _attempt(self, timeout: float) -> LinkSession:
        address = GrpcAddress.of_url(self._url, self._tls)
        session = self.session
        if session is None or session.closing:
            session = LinkSession(self._client, epoch=self._next_epoch(), dials=True)
            self._token = secrets.token_hex(16)
        channel = open_aio_channel(address, self._client.config)
        try:
            call, session.resumed = await self._answered(channel, address.url, timeout)
        except BaseException:
            await channel.close()
            raise
        self.session = session
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._carrying = asyncio.ensure_future(self._carry(session, channel, call, address.target, begun))
        await begun
        return session

    async def _answered(self, channel: grpc.aio.Channel, url: str, timeout: float) -> tuple[Call, bool]:
        """A call that the gateway has answered, and whether it remembers the link."""
        link: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(LINK)
        call = link(metadata=((TOKEN_KEY, self._token),), wait_for_ready=False)
        try:
            async with asyncio.timeout(timeout):
                told: Mapping[str, str | bytes] = dict(await call.initial_metadata())
                if RESUMED_KEY in told:  # a call that has failed has metadata too, empty ones
                    return call, told[RESUMED_KEY] == "1"
                raise refused(url, await call.code(), await call.details() or "")
        except TimeoutError:
            call.cancel()
            raise not_in_time(url) from None
        except grpc.aio.AioRpcError as error:
            raise refused(url, error.code(), error.details() or "") from None

    async def _carry(
        self, session: LinkSession, channel: grpc.aio.Channel, call: Call, address: str, begun: asyncio.Future[None]
    ) -> None:
        """Carries the session over one call, and sees to what follows."""
        asyncio.get_running_loop().call_soon(begun.set_result, None)
        try:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call itself knows more
                await session.carry(call.read, call.write, address, call.done_writing)
            if not session.closing:
                session.close_code, session.close_reason = await _why(call)
        finally:
            call.cancel()
            await channel.close()
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


async def _why(call: Call) -> tuple[int, str]:
    """The close code and reason that a call has ended with."""
    if not call.done():
        return 1006, "connection lost"
    code, told = await call.code(), dict(await call.trailing_metadata() or ())
    if code is grpc.StatusCode.OK:
        return 1000, "the gateway has ended the link"
    return close_code_of(code, told), quoted(await call.details() or "")
