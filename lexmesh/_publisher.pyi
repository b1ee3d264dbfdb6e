"""The publishing half of a client, compiled."""

from typing import Any

from lexmesh._handlers import cause_depth as cause_depth
from lexmesh._sender import Sender

class Publisher:
    @property
    def sent(self) -> int: ...
    def publish_through(self, sender: Sender) -> None: ...
    def publish(
        self,
        event_type: str,
        data: Any = None,
        *,
        metadata: dict[str, str] | None = None,
        target_node: str = "",
        ttl: int | None = None,
        priority: int = 0,
        reply_to: str = "",
    ) -> str: ...
    def publish_json(self, event_type: str, line: bytes, *, metadata: dict[str, str] | None = None) -> str: ...
