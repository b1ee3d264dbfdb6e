"""A client of a gateway over gRPC's Link: what a WebSocket client does, over a link that survives breaks."""

from __future__ import annotations

from collections.abc import Callable

from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.nsr import NsrPolicy
from lexmesh.transports.gateway_client import GatewayClient
from lexmesh.transports.grpc_channel import GrpcTls
from lexmesh.transports.grpc_link_connector import GrpcLinkConnector


class LinkClient(GatewayClient):
    """A node that speaks to a gateway over Link.

    What waits when the connection breaks waits for the next one, so `publish` goes on taking events until
    `overflow_bytes` wait. What had left and was not confirmed may have been lost: `unconfirmed` counts it, unless the
    gateway still knows the link.

    Args:
        node_id: this node's name, to which answers and receipts are addressed.
        url: the gateway, grpc://host:port or grpcs://host:port.
        tls: for grpcs; the system's certificates when None.
        reconnect, on_state, on_refused, on_denied, config, policy: as for WebSocketClient.

    Raises:
        ValueError: if the name is none (see `node_names`).
        PolicyError: if the configured policy cannot be loaded.
    """

    def __init__(
        self,
        node_id: str,
        url: str,
        *,
        tls: GrpcTls | None = None,
        reconnect: bool = True,
        on_state: Callable[[str, str], None] | None = None,
        on_refused: Callable[[str, Exception], None] | None = None,
        on_denied: Callable[[DeniedError], None] | None = None,
        config: MeshConfig | None = None,
        policy: NsrPolicy | None = None,
    ) -> None:
        self.url = url
        super().__init__(
            node_id,
            lambda client: GrpcLinkConnector(client, url, reconnect, tls),
            proto=True,
            on_state=on_state,
            on_refused=on_refused,
            on_denied=on_denied,
            config=config,
            policy=policy,
        )
