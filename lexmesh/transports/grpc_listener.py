"""A grpc.aio server with lexmesh's limits, TLS, health and reflection."""

from __future__ import annotations

import errno
import os
import socket

from lexmesh._link import MAX_FRAME_MARGIN
from lexmesh.config import MeshConfig
from lexmesh.errors import ConfigError, PortInUseError, TransportError
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_service import SERVICE, GrpcService
from lexmesh.transports.grpc_standard import StandardServices
from lexmesh.transports.tls_files import TlsFileError, read_authority, read_pair

KEEPALIVE_ANSWER_MS = 10_000
"""How long a peer may leave a keepalive ping unanswered."""

LEAST_PING_MS = 5_000
"""A client that pings more often is sent away (GOAWAY, ENHANCE_YOUR_CALM)."""

OPTIONS = {"certificate": "grpc_tls_certificate", "key": "grpc_tls_key", "authority": "grpc_tls_client_ca"}
"""The option that names each of TLS's files."""

METADATA_BYTES = 16 * 1024
"""Of one call; more is RESOURCE_EXHAUSTED."""


def options(config: MeshConfig) -> list[tuple[str, int]]:
    """What a server is told of its limits; the names are grpc_types.h's."""
    return [
        # A batch of the largest message; what is too big for a call that takes one is refused by the core.
        ("grpc.max_receive_message_length", config.max_message_size + MAX_FRAME_MARGIN),
        ("grpc.max_concurrent_streams", config.grpc_max_streams),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.keepalive_time_ms", int(config.grpc_keepalive * 1000)),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_ANSWER_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_ANSWER_MS),  # that of keepalive alone cuts nobody who acknowledges TCP
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_MS),
        ("grpc.so_reuseport", 0),  # else two nodes would share a port, and each get some of the calls
    ]


class GrpcListener:
    """Listens for the calls of one service, on the running event loop.

    Args:
        service: handles them.
        host: address to listen on.
        port: TCP port, 0 for any free one.
        config: limits and certificates.
    """

    def __init__(self, service: GrpcService, host: str, port: int, config: MeshConfig) -> None:
        self._service = service
        self._host = host
        self._config = config
        self._server: grpc.aio.Server | None = None
        self._standard = StandardServices((SERVICE,))
        self.port = port

    async def start(self) -> None:
        """Listens.

        Raises:
            ConfigError: if a certificate or key cannot be read.
            PortInUseError: if another process has the port.
            TransportError: if the address cannot be listened on.
        """
        credentials = credentials_of(self._config)
        _check_address(self._host, self.port)
        server = grpc.aio.server(options=options(self._config), maximum_concurrent_rpcs=self._config.max_connections)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._service.methods),))
        await self._standard.add_to(server)
        self.port = self._bound(server, credentials)
        await server.start()
        self._server = server

    def _bound(self, server: grpc.aio.Server, credentials: grpc.ServerCredentials | None) -> int:
        address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        try:
            if credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, credentials)
        except RuntimeError:
            raise TransportError(f"cannot listen on {address}") from None

    async def stop(self, seconds: float) -> None:
        """Takes no more calls, and lets those that are open end.

        Args:
            seconds: how long they may take; then they are cut.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._standard.stop()
        self._service.stopping.set()
        self._service.end_streams()
        await server.stop(seconds)


def credentials_of(config: MeshConfig) -> grpc.ServerCredentials | None:
    """The configured certificates; None for no TLS.

    Raises:
        ConfigError: if only half of them is there, or a file cannot be read or used.
    """
    certificate, key, ca = config.grpc_tls_certificate, config.grpc_tls_key, config.grpc_tls_client_ca
    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None:
        lacking = "grpc_tls_certificate" if certificate is None else "grpc_tls_key"
        raise ConfigError(lacking, None, "TLS needs both a certificate and its key", config.source_of(lacking))
    try:
        chain, secret = read_pair(certificate, key)
        clients = None if ca is None else read_authority(ca)
    except TlsFileError as error:
        option = OPTIONS[error.kind]
        raise ConfigError(option, f"'{getattr(config, option)}'", error.reason, config.source_of(option)) from None
    return grpc.ssl_server_credentials([(secret, chain)], clients, require_client_auth=clients is not None)


def _check_address(host: str, port: int) -> None:
    """Raises what keeps an address from being listened on: grpc itself would only say so on stderr."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere it would let two share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OverflowError:
        raise TransportError(f"cannot listen on port {port}: it must be 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from None
        raise TransportError(f"cannot listen on {host}:{port}: {(error.strerror or str(error)).lower()}") from None
