"""The HTTP side of a WebSocket server: which request gets which answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from lexmesh.config import MeshConfig

SUBPROTOCOL_JSON = "lexmesh.v1.json"
SUBPROTOCOL_PROTO = "lexmesh.v1.proto"
SUBPROTOCOLS = (SUBPROTOCOL_PROTO, SUBPROTOCOL_JSON)

WEBSOCKET_VERSION = "13"

RELAY_GROWTH = 6
"""How much larger a gateway may make a message: a control character of a text becomes six bytes of JSON."""

STAMP_BYTES = 4096
"""More than a gateway adds to a message: its source, id, time and depth."""

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Makes a page: status, content type, body."""


def wants_upgrade(request: WSUpgradeRequest) -> bool:
    """Whether a request asks for a WebSocket."""
    return "websocket" in request.headers.get("upgrade", "").lower()


def speaks_our_version(request: WSUpgradeRequest) -> bool:
    """Whether a request is for RFC 6455's version; the frame layer would also take the drafts 7 and 8."""
    return request.headers.getall("sec-websocket-version", []) == [WEBSOCKET_VERSION]


def may_connect(request: WSUpgradeRequest, allowed_origins: Sequence[str]) -> bool:
    """Whether the page that a browser says it asks for may connect (RFC 6455, section 10.2).

    Args:
        request: the upgrade; without an Origin it is no browser's, and may.
        allowed_origins: in lower case; none: every page may.
    """
    origins = request.headers.getall("origin", [])
    return not allowed_origins or all(origin.lower() in allowed_origins for origin in origins)


def normalise_connection(request: WSUpgradeRequest) -> None:
    """Reduces a `Connection` list that holds `upgrade` to just that: browsers send `keep-alive, Upgrade`.

    The header is a comma-separated list (RFC 9110, section 7.6.1), the frame layer compares it whole.
    """
    values = ",".join(request.headers.getall("connection", []))
    if "upgrade" in (token.strip().lower() for token in values.split(",")):
        request.headers["Connection"] = "upgrade"


def choose_subprotocol(request: WSUpgradeRequest) -> str | None:
    """The first offered subprotocol that is ours, None if none is (RFC 6455, section 4.2.2)."""
    offered = ",".join(request.headers.getall("sec-websocket-protocol", []))
    return next((name for token in offered.split(",") if (name := token.strip()) in SUBPROTOCOLS), None)


def accepted(listener: Any, subprotocol: str | None) -> WSUpgradeResponseWithListener:
    """The answer that switches protocols."""
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), listener)


def page(
    status: HTTPStatus, content_type: str, body: bytes, more_headers: Mapping[str, str] | None = None
) -> WSUpgradeResponseWithListener:
    """An answer that is a page; the connection ends after it."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", **(more_headers or {})}
    if status < HTTPStatus.BAD_REQUEST:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)


def refused(status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> WSUpgradeResponseWithListener:
    """A refusal in one line of text."""
    return page(status, "text/plain; charset=utf-8", f"{reason}\n".encode(), headers)


def upgrade_required(reason: str) -> WSUpgradeResponseWithListener:
    """426, with what would be right (RFC 6455, section 4.4; RFC 9110, section 15.5.22)."""
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": WEBSOCKET_VERSION}
    return refused(HTTPStatus.UPGRADE_REQUIRED, reason, headers)


def fault_of(request: WSUpgradeRequest, config: MeshConfig) -> WSUpgradeResponseWithListener | None:
    """The refusal that an upgrade's path, version or origin earns, None if they are fine."""
    if path_of(request) != config.websocket_path:
        return refused(HTTPStatus.NOT_FOUND, f"no such path: the gateway is at {config.websocket_path}")
    if not speaks_our_version(request):
        return upgrade_required(f"Sec-WebSocket-Version must be {WEBSOCKET_VERSION}")
    if not may_connect(request, config.allowed_origins):
        return refused(HTTPStatus.FORBIDDEN, "this page's origin may not connect; see allowed_origins")
    return None


def path_of(request: WSUpgradeRequest) -> str:
    """The request's path without its query."""
    return request.path.decode("ascii", "replace").partition("?")[0]


def largest_relayed(max_message_size: int) -> int:
    """Bytes of the largest message that a gateway with this limit may pass on to its clients."""
    return RELAY_GROWTH * max_message_size + STAMP_BYTES
