"""Links between nodes of one process, without sockets."""

from __future__ import annotations

import asyncio

from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.link_acceptor import LinkAcceptor, LinkRefusedError
from lexmesh.transports.link_connector import LinkConnector
from lexmesh.transports.memory_network import SCHEME, current_network
from lexmesh.transports.memory_stream import MemoryStream

__all__ = ["MemoryConnector", "MemoryListener"]

LOOK_SECONDS = 1.0
"""How often links are looked after."""


class MemoryConnector(LinkConnector):
    """Keeps one link connected to a node of this process; arguments as for Connector."""

    async def _open(self, token: str, timeout: float) -> MemoryStream:
        network, target = current_network(), self._url[len(SCHEME) :]
        return await network.dial(self._client.core.node_id, target, token, timeout)


class MemoryListener:
    """Lets nodes of this process link to one of them.

    Args:
        name: the name under which it is dialled.
        pipeline: the node's.
        config: limits and overflow policy.
    """

    def __init__(self, name: str, pipeline: StreamPipeline, config: MeshConfig) -> None:
        self._name = name
        self._links = LinkAcceptor(pipeline, config)
        self._network = current_network()
        self._looking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Listens, on the running loop; raises TransportError if the name is taken."""
        self._links.start()
        self._network = current_network()
        self._network.listen(self._name, self._serve)
        self._looking = asyncio.get_running_loop().create_task(self._look_after())

    async def close(self, seconds: float) -> None:
        """Drains and ends all links.

        Args:
            seconds: how long that may take.
        """
        if self._looking is None:
            return
        self._looking.cancel()
        self._looking = None
        self._network.stop_listening(self._name)
        await self._links.stop(seconds)

    @property
    def url(self) -> str:
        """Where others dial."""
        return SCHEME + self._name

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return self._links.endpoints

    async def _serve(self, stream: MemoryStream, token: str) -> None:
        try:
            session = self._links.session_of(token)
        except LinkRefusedError as refusal:
            stream.end(refusal.code or 1013, refusal.reason)
            return
        stream.answer(session.resumed)
        try:
            await session.carry(stream.read, stream.write, stream.peer)
        except ConnectionResetError:
            session.log.debug("the connection from %s is lost", stream.peer)
        finally:
            if session.closing:
                session.end()
            stream.end(session.close_code if session.closing else 1000, session.close_reason)
            stream.abort()
            self._links.stream_ended(session, token)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._links.look_after()
