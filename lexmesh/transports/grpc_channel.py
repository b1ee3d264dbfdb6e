"""Where a gRPC gateway is and how to get there: URLs, TLS, and the options that every channel has."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lexmesh.config import MeshConfig
from lexmesh.errors import ConfigError
from lexmesh.transports.arguments import check_host, check_port
from lexmesh.transports.backoff import CAP_SECONDS, FIRST_SECONDS
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_url import host_and_port
from lexmesh.transports.handshake import largest_relayed
from lexmesh.transports.tls_files import TlsFileError, read_authority, read_pair

LINK_MARGIN = 65536
"""Bytes that a Batch may have over the largest message: it holds one, or as much as this."""

KEEPALIVE_MS = 30_000
"""Idle time after which a peer is asked whether it is there."""

KEEPALIVE_PATIENCE_MS = 10_000
"""How long its answer may take."""

OPTIONS = {"authority": "ca_file", "certificate": "certificate_file", "key": "key_file"}
"""The argument of GrpcTls that names each file."""

Option = tuple[str, int | str]


@dataclass(frozen=True, slots=True)
class GrpcTls:
    """What a client needs to speak TLS.

    Args:
        ca_file: certificates (PEM) that the gateway's must be signed by; those of `SSL_CERT_FILE`, else grpc's own,
            when None.
        certificate_file, key_file: this client's own certificate chain and key (PEM), for gateways that ask for one.
        server_name: the name that the gateway's certificate must bear; the URL's host when empty.
    """

    ca_file: str | os.PathLike[str] | None = None
    certificate_file: str | os.PathLike[str] | None = None
    key_file: str | os.PathLike[str] | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """What grpc takes.

        Raises:
            ConfigError: if a file cannot be read or used, or there is a certificate without a key.
        """
        if (self.certificate_file is None) != (self.key_file is None):
            raise ConfigError("tls", None, "a certificate needs its key, and a key its certificate")
        ca_file = self.ca_file or os.environ.get("SSL_CERT_FILE") or None
        files = {"authority": ca_file, "certificate": self.certificate_file, "key": self.key_file}
        try:
            trusted = None if ca_file is None else read_authority(ca_file)
            chain = secret = None
            if self.certificate_file is not None and self.key_file is not None:
                chain, secret = read_pair(self.certificate_file, self.key_file)
        except TlsFileError as error:
            source = "SSL_CERT_FILE" if error.kind == "authority" and not self.ca_file else ""
            shown = f"'{os.fspath(files[error.kind] or '')}'"
            raise ConfigError(f"tls.{OPTIONS[error.kind]}", shown, error.reason, source) from None
        return grpc.ssl_channel_credentials(trusted, secret, chain)


def check_tls(tls: object) -> None:
    """Raises TypeError for what does not say how to speak TLS."""
    if tls is not None and not isinstance(tls, GrpcTls):
        kind = type(tls).__name__
        raise TypeError(f"tls must be a GrpcTls, {kind} is not; GrpcTls() trusts those whom SSL_CERT_FILE names")


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """A gateway's address.

    Args:
        target: host:port, as grpc takes it.
        tls: how to speak TLS; None for plain text.
    """

    target: str
    tls: GrpcTls | None

    @property
    def url(self) -> str:
        """The address as a person writes it."""
        return f"{'grpc' if self.tls is None else 'grpcs'}://{self.target}"

    @classmethod
    def of_url(cls, url: str, tls: GrpcTls | None = None) -> GrpcAddress:
        """Reads grpc://host:port or grpcs://host:port.

        Args:
            url: the URL; without a port 50051 is meant.
            tls: for grpcs; grpc's defaults when None.

        Raises:
            ConnectError: if it is no such URL.
        """
        scheme, host, port = host_and_port(url)
        return cls._of(host, port, (tls or GrpcTls()) if scheme == "grpcs" else None)

    @classmethod
    def of_host(cls, host: str, port: int, tls: GrpcTls | None = None) -> GrpcAddress:
        """An address by host and port.

        Raises:
            ConfigError: if either is none.
        """
        check_tls(tls)
        check_host(host)
        check_port(port, 1)
        return cls._of(host, port, tls)

    @classmethod
    def _of(cls, host: str, port: int, tls: GrpcTls | None) -> GrpcAddress:
        return cls(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls)


def channel_options(config: MeshConfig, tls: GrpcTls | None) -> list[Option]:
    """What every channel of a client is made with.

    Reconnects follow the backoff of the other transports; the gateway's limits hold for what it sends, ours for what
    it gets.
    """
    options: list[Option] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", largest_relayed(config.max_message_size) + LINK_MARGIN),
        ("grpc.initial_reconnect_backoff_ms", int(FIRST_SECONDS * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(CAP_SECONDS * 1000)),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_PATIENCE_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_PATIENCE_MS),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def open_aio_channel(address: GrpcAddress, config: MeshConfig) -> grpc.aio.Channel:
    """A channel for the running loop."""
    options = channel_options(config, address.tls)
    if address.tls is None:
        return grpc.aio.insecure_channel(address.target, options)
    return grpc.aio.secure_channel(address.target, address.tls.credentials(), options)


def open_channel(address: GrpcAddress, config: MeshConfig) -> grpc.Channel:
    """A channel for any thread."""
    options = channel_options(config, address.tls)
    if address.tls is None:
        return grpc.insecure_channel(address.target, options)
    return grpc.secure_channel(address.target, address.tls.credentials(), options)
