"""A reading: an event seen as a kind of data and its value."""

from collections.abc import Mapping
from typing import Any

from lexmesh._codec import StreamEvent

class StreamData(StreamEvent):
    """A reading: an event whose type is a data type and whose data is the value."""

    def __init__(
        self,
        data_type: str,
        value: Any = None,
        *,
        source_node: str = "",
        target_node: str = "",
        metadata: Mapping[str, str] | None = None,
        timestamp: int | None = None,
        id: str = "",
        depth: int = 0,
        ttl: int | None = None,
        priority: int = 0,
        reply_to: str = "",
    ) -> None: ...
    data_type: str
    value: Any
