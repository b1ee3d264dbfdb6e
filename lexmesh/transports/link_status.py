"""What a gRPC call that ends says in place of a WebSocket's close code, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

from lexmesh.transports.grpc_core import grpc

TOKEN_KEY = "lexmesh-link"  # noqa: S105 - the name of a header
"""Metadata of a call that names the link, so that a later call can go on with it: 32 hexadecimal digits, secret."""

RESUMED_KEY = "lexmesh-resumed"
"""Metadata of the answer: 1 if the link of that name was still known."""

CLOSE_KEY = "lexmesh-close"
"""Trailing metadata: the close code, as on a WebSocket (RFC 6455, section 7.4)."""

_STATUS_OF = {
    1000: grpc.StatusCode.OK,
    1002: grpc.StatusCode.INVALID_ARGUMENT,
    1003: grpc.StatusCode.INVALID_ARGUMENT,
    1007: grpc.StatusCode.INVALID_ARGUMENT,
    1008: grpc.StatusCode.PERMISSION_DENIED,
    1009: grpc.StatusCode.RESOURCE_EXHAUSTED,
    4008: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

_CODE_OF = {
    grpc.StatusCode.OK: 1000,
    grpc.StatusCode.INVALID_ARGUMENT: 1007,
    grpc.StatusCode.PERMISSION_DENIED: 1008,
    grpc.StatusCode.UNAUTHENTICATED: 1008,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 1009,
}


def status_of(close_code: int) -> grpc.StatusCode:
    """The status of a call that ends for what a WebSocket would be closed for."""
    return _STATUS_OF.get(close_code, grpc.StatusCode.UNAVAILABLE)


def close_code_of(code: grpc.StatusCode, trailing_metadata: Mapping[str, str | bytes]) -> int:
    """The close code that a call ended with; what grpc itself says where the peer named none."""
    told = trailing_metadata.get(CLOSE_KEY, "")
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) == 4:
        return int(told)
    return _CODE_OF.get(code, 1006)
