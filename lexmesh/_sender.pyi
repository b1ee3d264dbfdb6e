from typing import Any

from lexmesh._backlog import Backlog
from lexmesh._pipeline import Core

class Sender(Backlog):
    @property
    def format(self) -> int: ...
    def __init__(self, core: Core, proto: bool) -> None: ...
    def publish(
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
    ) -> str: ...
    def publish_json(self, event_type: str, line: bytes, metadata: dict[str, str] | None, now: int) -> str: ...
