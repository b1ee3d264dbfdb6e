"""What both gRPC clients are, but for how they wait."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from lexmesh.config import MeshConfig
from lexmesh.errors import NotConnectedError
from lexmesh.nsr import NsrPolicy
from lexmesh.transports.arguments import check_seconds
from lexmesh.transports.grpc_channel import GrpcAddress, GrpcTls
from lexmesh.transports.grpc_exchange import Headers, Requests
from lexmesh.transports.grpc_url import DEFAULT_PORT

Channel = TypeVar("Channel")


class CallingClient(Generic[Channel]):
    """A client whose every message is a call; its arguments are described at GrpcClient."""

    def __init__(
        self,
        node_id: str,
        host: str = "localhost",
        port: int = DEFAULT_PORT,
        *,
        tls: GrpcTls | None = None,
        headers: Headers | None = None,
        timeout: float = 10.0,
        reconnect: bool = True,
        config: MeshConfig | None = None,
        policy: NsrPolicy | None = None,
    ) -> None:
        self.node_id = node_id
        self.config = config or MeshConfig()
        check_seconds("timeout", timeout)
        self.timeout = timeout
        self.address = GrpcAddress.of_host(host, port, tls)
        self._reconnect = reconnect
        self._requests = Requests(node_id, self.config, policy, headers)
        self._channel: Channel | None = None

    @property
    def connected(self) -> bool:
        """Whether `connect` has been called and `disconnect` has not; a break in between mends itself."""
        return self._channel is not None

    def ledger(self) -> dict[str, Any]:
        """What was sent, by outcome."""
        return self._requests.ledger()

    def _seconds(self, timeout: float | None) -> float:
        """A call's time, before anything is counted."""
        if timeout is None:
            return self.timeout
        check_seconds("timeout", timeout)
        return timeout

    def _open(self) -> Channel:
        if self._channel is None:
            raise NotConnectedError
        return self._channel
