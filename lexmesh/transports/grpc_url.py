"""grpc://host:port and grpcs://host:port, read; a URL that is refused is repeated without what may be secret in it."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from lexmesh.errors import ConnectError

__all__ = ["DEFAULT_PORT", "SCHEMES", "host_and_port"]

DEFAULT_PORT = 50051

SCHEMES = ("grpc", "grpcs")

_FORM = "give grpc://host:port or grpcs://host:port"


def host_and_port(url: str) -> tuple[str, str, int]:
    """Reads a URL; without a port 50051 is meant.

    Returns:
        Scheme, host and port.

    Raises:
        ConnectError: if it is no such URL.
    """
    try:
        parts = urlsplit(url)
        wrong = _too_much(parts) or _wrong_place(parts)
    except ValueError:
        wrong = "the host or the port is none"
    if wrong:
        raise ConnectError(_shown(url), f"not a gRPC URL: {wrong}; {_FORM}")
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORT


def _too_much(parts: SplitResult) -> str:
    """What a URL has that it must not have; empty for nothing."""
    if parts.scheme not in SCHEMES:
        return "it has another scheme"
    if "@" in parts.netloc:
        return "it holds a name or password, which the gateway does not ask for"
    if parts.query or parts.fragment:
        return "it has a query or fragment"
    return "it has a path" if parts.path not in ("", "/") else ""


def _wrong_place(parts: SplitResult) -> str:
    """What is wrong with the host or the port of a URL; empty for nothing."""
    if parts.netloc.count(":") > 1 and "[" not in parts.netloc:
        host, _, port = parts.netloc.rpartition(":")
        return f"an IPv6 address stands in brackets, [::1]; is [{host}]:{port} or [{parts.netloc}] meant?"
    if not (parts.hostname or "").encode("idna"):
        return "it names no host"
    return "the port must be 1 to 65535" if parts.port == 0 else ""


def _shown(url: str) -> str:
    """A URL up to its query, and without a name and password: whatever stands before the last @."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}" if separator else url.rpartition("@")[2]
