"""The services that gRPC's own tools ask every server for: health (grpc.health.v1) and reflection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from lexmesh.transports.grpc_descriptors import add_descriptors

if TYPE_CHECKING:
    from lexmesh.transports.grpc_core import grpc


class StandardServices:
    """Health and reflection of one server.

    Args:
        services: names of the services that it offers.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = tuple(services)
        self._health = health.aio.HealthServicer()

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Has a server offer them."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        pool = descriptor_pool.DescriptorPool()
        add_descriptors(pool)
        for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
            pool.AddSerializedFile(file.serialized_pb)
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool)
        for name in ("", *self._services):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Tells whoever asks that the services are going away."""
        await self._health.enter_graceful_shutdown()
