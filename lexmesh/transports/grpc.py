"""The gRPC transport: server, clients and the links between nodes."""

from lexmesh.transports.grpc_aio_client import AsyncGrpcClient
from lexmesh.transports.grpc_channel import GrpcTls
from lexmesh.transports.grpc_client import GrpcClient
from lexmesh.transports.grpc_link import GrpcLink
from lexmesh.transports.grpc_server import GrpcServer
from lexmesh.transports.link_client import LinkClient

__all__ = ["AsyncGrpcClient", "GrpcClient", "GrpcLink", "GrpcServer", "GrpcTls", "LinkClient"]
