"""The event that Python sees: decoded field by field, when a field is read."""

from collections.abc import Mapping
from typing import Any, Self

class StreamEvent:
    """An event: a subject, its data, and where it comes from."""

    def __init__(
        self,
        event_type: str,
        data: Any = None,
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
    event_type: str
    source_node: str
    target_node: str
    data: Any
    @property
    def metadata(self) -> dict[str, str]: ...
    @metadata.setter
    def metadata(self, value: Mapping[str, str]) -> None: ...
    reply_to: str
    timestamp: int
    depth: int
    priority: int
    ttl: int | None
    id: str
    @property
    def content_type(self) -> str: ...
    def to_proto(self) -> bytes: ...
    def to_json(self) -> bytes: ...
    @classmethod
    def from_proto(cls, message: bytes) -> Self: ...
    @classmethod
    def from_json(cls, message: bytes) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
