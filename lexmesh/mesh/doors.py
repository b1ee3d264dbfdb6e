"""How a node is reached besides its WebSocket gateway: gRPC, and from its own process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.memory import MemoryListener

if TYPE_CHECKING:
    from lexmesh.transports.grpc_server import GrpcServer

__all__ = ["Doors"]

MEMORY_SHARE = 0.5
"""Of a close's time, what links in memory may take."""


class Doors:
    """The listeners of one node that its configuration asks for.

    Args:
        config: the node's.
        pipeline: the gateway's.
    """

    def __init__(self, config: MeshConfig, pipeline: StreamPipeline) -> None:
        self._config = config
        self._pipeline = pipeline
        self._grpc: GrpcServer | None = None
        self._memory: MemoryListener | None = None

    async def open(self) -> None:
        """Listens.

        Raises:
            ConfigError: if a certificate cannot be read, or another node of the process has the name.
            PortInUseError: if another process has the port.
            TransportError: if the address cannot be listened on.
        """
        try:
            self._open_memory()
            await self._open_grpc()
        except BaseException:
            await self.close(0)
            raise

    def _open_memory(self) -> None:
        if self._config.memory_name is not None:
            memory = MemoryListener(self._config.memory_name, self._pipeline, self._config)
            memory.open()
            self._memory = memory

    async def _open_grpc(self) -> None:
        if self._config.grpc_port is None:
            return
        from lexmesh.transports.grpc_server import GrpcServer  # noqa: PLC0415 - grpc takes a while to load

        grpc = GrpcServer(self._pipeline.node_id, config=self._config, pipeline=self._pipeline)
        await grpc.open()
        self._grpc = grpc

    async def close(self, seconds: float) -> None:
        """Drains and closes, for so many seconds at most."""
        now = asyncio.get_running_loop().time
        end = now() + seconds
        if self._memory is not None:
            memory, self._memory = self._memory, None
            await memory.close(MEMORY_SHARE * seconds)
        if self._grpc is not None:
            grpc, self._grpc = self._grpc, None
            await grpc.close(max(0.0, end - now()))

    @property
    def grpc_port(self) -> int | None:
        """The TCP port for gRPC; None while it is not offered."""
        return None if self._grpc is None else self._grpc.port

    @property
    def memory_urls(self) -> list[str]:
        """Under which nodes of this process reach this one."""
        return [] if self._memory is None else [self._memory.url]

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        served = self._grpc.endpoints() if self._grpc is not None else []
        return [*served, *(self._memory.endpoints if self._memory is not None else [])]
