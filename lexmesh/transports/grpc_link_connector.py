"""Dials links over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from lexmesh.transports.connector import Dialler
from lexmesh.transports.grpc_channel import GrpcAddress, GrpcTls, check_tls, open_aio_channel
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_failure import not_in_time, quoted, refused
from lexmesh.transports.grpc_methods import LINK
from lexmesh.transports.link_connector import LinkConnector
from lexmesh.transports.link_session import LinkSession
from lexmesh.transports.link_status import RESUMED_KEY, TOKEN_KEY, close_code_of

Call = grpc.aio.StreamStreamCall[bytes, bytes]


class GrpcLinkConnector(LinkConnector):
    """Keeps one link connected over gRPC.

    Args:
        client, url, reconnect: as for Connector.
        tls: for grpcs.
    """

    def __init__(self, client: Dialler, url: str, reconnect: bool, tls: GrpcTls | None = None) -> None:
        super().__init__(client, url, reconnect)
        check_tls(tls)
        self._tls = tls

    async def _open(self, token: str, timeout: float) -> _LinkCall:
        address = GrpcAddress.of_url(self._url, self._tls)
        channel = open_aio_channel(address, self._client.config)
        try:
            call, resumed = await _answered(channel, address.url, token, timeout)
        except BaseException:
            await channel.close()
            raise
        return _LinkCall(channel, call, address.target, resumed)


class _LinkCall:
    """A call of Link that the gateway has answered."""

    def __init__(self, channel: grpc.aio.Channel, call: Call, address: str, resumed: bool) -> None:
        self.resumed = resumed
        self._channel = channel
        self._call = call
        self._address = address

    async def carry(self, session: LinkSession) -> None:
        call = self._call
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the call itself knows more
            await session.carry(call.read, call.write, self._address, call.done_writing)

    async def why(self) -> tuple[int, str]:
        call = self._call
        if not call.done():
            return 1006, "connection lost"
        code, told = await call.code(), dict(await call.trailing_metadata() or ())
        if code is grpc.StatusCode.OK:
            return 1000, "the gateway has ended the link"
        return close_code_of(code, told), quoted(await call.details() or "")

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close()


async def _answered(channel: grpc.aio.Channel, url: str, token: str, timeout: float) -> tuple[Call, bool]:
    """A call that the gateway has answered, and whether it remembers the link."""
    link: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(LINK)
    call = link(metadata=((TOKEN_KEY, token),), wait_for_ready=False)
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
