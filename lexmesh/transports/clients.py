"""The client that a URL asks for."""

from __future__ import annotations

from collections.abc import Callable

from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError
from lexmesh.nsr import NsrPolicy
from lexmesh.transports.gateway_client import GatewayClient


def client_of(
    node_id: str,
    url: str,
    *,
    on_state: Callable[[str, str], None] | None = None,
    on_refused: Callable[[str, Exception], None] | None = None,
    on_denied: Callable[[DeniedError], None] | None = None,
    config: MeshConfig | None = None,
    policy: NsrPolicy | None = None,
) -> GatewayClient:
    """A client over WebSocket or, for grpc:// and grpcs://, over gRPC's Link.

    Args:
        node_id, url, on_state, on_refused, on_denied, config, policy: as for WebSocketClient.
    """
    if url.lower().startswith(("grpc://", "grpcs://")):
        from lexmesh.transports.link_client import LinkClient  # noqa: PLC0415 - grpc is loaded where it is wanted

        return LinkClient(
            node_id, url, on_state=on_state, on_refused=on_refused, on_denied=on_denied, config=config, policy=policy
        )
    from lexmesh.transports.ws_client import WebSocketClient  # noqa: PLC0415

    return WebSocketClient(
        node_id, url, on_state=on_state, on_refused=on_refused, on_denied=on_denied, config=config, policy=policy
    )
