"""The WebSocket client: publishes to a gateway, gets what it subscribes to, comes back when the gateway does."""

from __future__ import annotations

from collections.abc import Callable

from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.nsr import NsrPolicy
from lexmesh.transports.gateway_client import GatewayClient
from lexmesh.transports.handshake import SUBPROTOCOL_PROTO, SUBPROTOCOLS
from lexmesh.transports.ws_connector import WebSocketConnector


class WebSocketClient(GatewayClient):
    """A node that speaks to a gateway.

    Args:
        node_id: this node's name, to which answers and receipts are addressed.
        url: the gateway, ws://host:port or wss://host:port.
        subprotocol: lexmesh.v1.proto (batches, the fast one) or lexmesh.v1.json.
        reconnect: whether to come back after the connection breaks, with backoff and jitter, and to subscribe again.
        on_state: callable(state, detail), state one of connected, disconnected, retrying, closed.
        on_refused: callable(id, error), told of each event that the gateway refused and nobody waits for, up to 100 a
            second; the receipts count them all. The id is empty where the gateway cannot tell it.
        on_denied: callable(error), told of each event that arrived and that this end's policy denied, up to 100 a
            second; when None, these are logged.
        config: limits and overflow policy; from the environment when None.
        policy: the consent policy that what leaves and what arrives must pass; the configured file or the default
            policy when None. A laxer one is laxer at this end alone: the gateway has its own.

    Attributes:
        sent, reconnects: events published; times the connection was made again.
        unconfirmed: events that no receipt covered when a connection broke; they may be lost.
        receipt: the gateway's last receipt over this connection; a gateway that closes for policy sends one before.

    Raises:
        ValueError: if the name is none (see `node_names`) or the subprotocol is neither of the two.
        PolicyError: if the configured policy cannot be loaded.
    """

    def __init__(
        self,
        node_id: str,
        url: str,
        *,
        subprotocol: str = SUBPROTOCOL_PROTO,
        reconnect: bool = True,
        on_state: Callable[[str, str], None] | None = None,
        on_refused: Callable[[str, Exception], None] | None = None,
        on_denied: Callable[[DeniedError], None] | None = None,
        config: MeshConfig | None = None,
        policy: NsrPolicy | None = None,
    ) -> None:
        if subprotocol not in SUBPROTOCOLS:
            raise ValueError(f"subprotocol is one of {', '.join(SUBPROTOCOLS)}, not {subprotocol!r}")
        self.url = url
        super().__init__(
            node_id,
            lambda client: WebSocketConnector(client, url, subprotocol, reconnect),
            proto=subprotocol == SUBPROTOCOL_PROTO,
            on_state=on_state,
            on_refused=on_refused,
            on_denied=on_denied,
            config=config,
            policy=policy,
        )
