"""Why a connection could not be made: what the socket, TLS or HTTP said, in one line with what to do about it."""

from __future__ import annotations

import re
import socket
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import picows

from lexmesh.errors import ConnectError, HandshakeError, TransportError

__all__ = ["NO_HTTP", "explained"]

MOST_QUOTED = 160
"""Characters of what a server says that are repeated, if all can be printed."""

NO_GATEWAY = "that is a web server but no lexmesh gateway; correct the host and port"

ADVICE = {
    HTTPStatus.UNAUTHORIZED: "something in front of the gateway wants credentials",
    HTTPStatus.FORBIDDEN: "ask the operator to let this client in",
    HTTPStatus.NOT_FOUND: "correct the path of the URL, or the host and port",
    HTTPStatus.UPGRADE_REQUIRED: "it wants another WebSocket version",
    HTTPStatus.TOO_MANY_REQUESTS: "try again later",
    HTTPStatus.BAD_GATEWAY: "a proxy is there, but no gateway behind it; start the gateway",
    HTTPStatus.SERVICE_UNAVAILABLE: "try again later",
    HTTPStatus.GATEWAY_TIMEOUT: "a proxy is there, but no gateway behind it; start the gateway",
}

NO_HTTP = "it ended the connection without an HTTP answer; is it a lexmesh gateway? if it speaks TLS, use wss://"

_NO_TLS = "the TLS handshake failed; does the gateway speak TLS? else use ws://"
_REFUSED = "connection refused; is a gateway running there?"
_LATE = "no answer in time; is a lexmesh gateway running there?"

# The error, what it means for ws://, and for wss://.
_SOCKET_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (TimeoutError, _LATE, "no answer in time; does it speak TLS? else use ws://"),
    (socket.gaierror, "no such host", "no such host"),
    (ConnectionRefusedError, _REFUSED, _REFUSED),
    (ConnectionResetError, NO_HTTP, _NO_TLS),
    (ssl.SSLError, _NO_TLS, _NO_TLS),
)

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})\b")


def explained(url: str, error: Exception) -> TransportError:
    """One clear line for what the socket or the handshake raised.

    Args:
        url: where to.
        error: an OSError, a TimeoutError or one of the frame layer.

    Returns:
        What to raise instead: a ConnectError if nothing answers there, a HandshakeError if no gateway does.
    """
    if isinstance(error, picows.WSHandshakeError):
        return HandshakeError(url, _of_answer(error))
    if isinstance(error, picows.WSError):
        return HandshakeError(url, str(error))
    return ConnectError(url, _of_socket(url, error))


def _of_answer(error: picows.WSHandshakeError) -> str:
    found = _STATUS_LINE.match(error.raw_header or b"")
    if found is None:
        return "what answers there is no web server; correct the host and port"
    status = int(found[1])
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        return f"it does not shake hands as RFC 6455 asks ({error}); correct the host and port"
    name = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    answer = f"it answers {status} {name}".rstrip()
    return f"{answer}{_quoted(error)}; {_advice(status)}"


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "connect to where it redirects to"
    if status == HTTPStatus.BAD_REQUEST:
        return "if it speaks TLS, use wss://; else correct the host and port"
    return next((advice for known, advice in ADVICE.items() if known == status), NO_GATEWAY)


def _quoted(error: picows.WSHandshakeError) -> str:
    """What the server itself says is wrong, in brackets: a gateway's reason, or where a redirect goes to."""
    headers = error.response.headers if error.response is not None else {}
    if "location" in headers:
        text = headers["location"].partition("?")[0]  # a query may hold a secret
    elif headers.get("content-type", "").startswith("text/plain"):
        text = (error.raw_body or b"").decode("utf-8", "replace").strip()
    else:
        text = ""
    return f" ({text})" if text and len(text) <= MOST_QUOTED and text.isprintable() else ""


def _of_socket(url: str, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names those that are"
    for kind, plain, over_tls in _SOCKET_REASONS:
        if isinstance(error, kind):
            return (over_tls if url.startswith("wss:") else plain) + _port_tried(url)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _port_tried(url: str) -> str:
    """Which port a URL without one stands for, since a gateway's default is another."""
    parts = urlsplit(url)
    if parts.port is not None:
        return ""
    port = 443 if parts.scheme == "wss" else 80
    return f" (port {port}, for the URL names none; a gateway's default is {parts.scheme}://{parts.hostname}:8765)"
