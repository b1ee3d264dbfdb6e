"""Why a gRPC call failed, in one line with what to do about it."""

from __future__ import annotations

from lexmesh.errors import (
    ConnectError,
    DisconnectedError,
    HandshakeError,
    MalformedError,
    RequestTimeoutError,
    TransportError,
)
from lexmesh.transports.grpc_core import grpc

MOST_QUOTED = 200
"""Characters of what a gateway says that are repeated, if all can be printed."""

WRITTEN_WHILE_IT_ENDED = "Internal error from Core"
"""What grpc.aio puts in place of a call's status when something is written while the call ends."""

NO_SERVICE = "what answers there is a gRPC server, but no lexmesh gateway; correct the host and port"

PROBE_SECONDS = 0.1
"""What it may take to learn, after a deadline, whether there is a connection; without one grpc says so at once."""

# What grpc says of a connection that could not be made, and what it means.
_REASONS = (
    ("Connection refused", "connection refused; is a gateway running there?"),
    ("DNS resolution failed", "no such host"),
    ("Domain name not found", "no such host"),
    ("could not resolve", "no such host"),
    (
        "Hostname Verification",
        "its certificate bears another name; connect to that name, or give server_name",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; ca_file or SSL_CERT_FILE names those that are"),
    ("Handshake", "the TLS handshake failed; does the gateway speak TLS, and does it ask for a certificate?"),
    ("SSL", "the TLS handshake failed; does the gateway speak TLS, and does it ask for a certificate?"),
    ("handshaker", "the TLS handshake failed; does the gateway speak TLS, and does it ask for a certificate?"),
    ("Failed to connect", "no gRPC server answers; is it a lexmesh gateway? if it speaks TLS, use grpcs://"),
    ("Socket closed", "no gRPC server answers; is it a lexmesh gateway? if it speaks TLS, use grpcs://"),
    ("Trying to connect an http1.x server", "that is a web server but no gRPC gateway; correct the host and port"),
)


def unreachable(url: str, details: str) -> ConnectError:
    """The error for a connection that could not be made.

    Args:
        url: where to.
        details: what grpc says of it.
    """
    reason = next((told for sign, told in _REASONS if sign.lower() in details.lower()), "")
    return ConnectError(url, reason or f"no answer; is a lexmesh gateway running there? ({quoted(details)})")


def not_in_time(url: str) -> ConnectError:
    """The error for a connection that was not there in time."""
    return ConnectError(url, "no answer in time; is a lexmesh gateway running there?")


def unanswered(url: str, what: str, seconds: float, probed: grpc.RpcError | None) -> TransportError:
    """The error for a call that has waited until its deadline: for an answer, or in vain for a connection.

    Args:
        url, what, seconds: as for `explained`.
        probed: how a second call failed that does not wait for a connection; None if it did not.
    """
    if probed is not None and probed.code() is grpc.StatusCode.UNAVAILABLE:
        return unreachable(url, probed.details() or "")
    return RequestTimeoutError(what, seconds)


def explained(url: str, what: str, seconds: float, error: grpc.RpcError) -> Exception:
    """What to raise for a call that failed.

    Args:
        url: the gateway.
        what: what was called, as an error would name it.
        seconds: the call's deadline.
        error: what grpc raised.
    """
    code, details = error.code(), quoted(error.details() or "")
    known: dict[grpc.StatusCode, Exception] = {
        grpc.StatusCode.DEADLINE_EXCEEDED: RequestTimeoutError(what, seconds),
        grpc.StatusCode.INVALID_ARGUMENT: MalformedError(details or "refused by the gateway"),
        grpc.StatusCode.RESOURCE_EXHAUSTED: TransportError(f"{what} was refused: {details or 'too big'}"),
        grpc.StatusCode.UNIMPLEMENTED: HandshakeError(url, NO_SERVICE),
        grpc.StatusCode.UNAVAILABLE: DisconnectedError(1006, details or "connection lost"),
        grpc.StatusCode.CANCELLED: DisconnectedError(1006, "the call was cancelled"),
    }
    if code is grpc.StatusCode.INTERNAL and details == WRITTEN_WHILE_IT_ENDED:
        return DisconnectedError(1006, "the gateway ended the call")
    return known.get(code) or TransportError(f"{what} failed: {code.name}{f' ({details})' if details else ''}")


def cut_short(url: str, seconds: float | None, error: grpc.RpcError, unanswered: int) -> Exception:
    """What to raise for a stream of events that ended too soon.

    Args:
        url: the gateway.
        seconds: the stream's deadline, None without.
        error: what grpc raised.
        unanswered: events that left and were not answered.
    """
    found = explained(url, "stream_events", seconds or 0, error)
    if isinstance(found, DisconnectedError):
        return DisconnectedError(found.code, f"{found.reason}; {unanswered} events that had left were not answered")
    return found


def refused(url: str, code: grpc.StatusCode, details: str) -> TransportError:
    """What to raise for the first call over a connection, which the gateway, or nobody, has answered."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return unreachable(url, details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return not_in_time(url)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return HandshakeError(url, NO_SERVICE)
    return HandshakeError(url, f"it answers {code.name} ({quoted(details)})")


def quoted(text: str) -> str:
    """A peer's words as they may be shown: one line, nothing that a terminal would obey."""
    shown = "".join(mark if mark.isprintable() else "?" for mark in text)
    return shown if len(shown) <= MOST_QUOTED else f"{shown[:MOST_QUOTED]}…"
