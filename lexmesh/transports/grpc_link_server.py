"""Serves Link over gRPC: nodes and clients that have dialled."""

from __future__ import annotations

import asyncio
from typing import Any

from lexmesh._asker import Asker
from lexmesh.errors import DeniedError
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.link_acceptor import TOKEN_CHARACTERS, LinkAcceptor, LinkRefusedError
from lexmesh.transports.link_session import LinkSession
from lexmesh.transports.link_status import CLOSE_KEY, RESUMED_KEY, TOKEN_KEY, status_of


class LinkService(LinkAcceptor):
    """Serves Link for one node; arguments as for LinkAcceptor."""

    async def serve(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Serves one call of Link: a stream_stream handler of raw bytes, with neither serializer nor deserializer."""
        refusal = Asker(self.core, None, 0).refusal_of(context.invocation_metadata())
        if refusal is not None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(DeniedError(*refusal)))
        token = _token_of(context)
        session = await self._session_of(token, context)
        try:
            await context.send_initial_metadata(((RESUMED_KEY, "1" if session.resumed else "0"),))
            await session.carry(context.read, context.write, _address_of(context))
        except asyncio.CancelledError:
            self.stream_ended(session, token)
            raise
        except Exception as error:  # what grpc raises for a call whose peer has gone is of no declared type
            session.log.debug("a link broke: %r", error)
        if session.closing:
            session.end()
            await self._say_why(session, context)
        self.stream_ended(session, token)

    async def _session_of(self, token: str, context: grpc.aio.ServicerContext[bytes, bytes]) -> LinkSession:
        try:
            return self.session_of(token)
        except LinkRefusedError as refusal:
            why = ((CLOSE_KEY, str(refusal.code)),) if refusal.code else ()
            await context.abort(grpc.StatusCode.UNAVAILABLE, refusal.reason, why)

    async def _say_why(self, session: LinkSession, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        status = status_of(session.close_code)
        if status != grpc.StatusCode.OK:
            await context.abort(status, session.close_reason, ((CLOSE_KEY, str(session.close_code)),))


def _token_of(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    """The secret name that a peer gives its link; empty where it gives none that can be one."""
    for key, value in context.invocation_metadata() or ():
        if key == TOKEN_KEY and isinstance(value, str) and len(value) == TOKEN_CHARACTERS:
            return value
    return ""


def _address_of(context: Any) -> str:
    """grpc's `ipv4:127.0.0.1:54321` as host:port."""
    return str(context.peer()).partition(":")[2]
