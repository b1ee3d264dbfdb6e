"""What a node says in calls that are answered one by one."""

from typing import Any

from lexmesh._pipeline import Core
from lexmesh._sender import Sender

class Caller(Sender):
    def __init__(self, core: Core) -> None: ...
    def open(self) -> None: ...
    def close(self) -> None: ...
    def event(
        self,
        event_type: str,
        data: Any,
        metadata: dict[str, str] | None,
        target_node: str,
        now: int,
        ttl: int | None,
        priority: int,
        reply_to: str,
        depth: int,
    ) -> bytes: ...
    def datum(
        self, data_type: str, data: bytes, metadata: dict[str, str] | None, target_node: str, now: int
    ) -> bytes: ...
    def settle(self, event_type: str, answered: bool) -> None: ...
