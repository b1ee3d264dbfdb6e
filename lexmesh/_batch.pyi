"""The protobuf Batch: several events in one frame."""

from collections.abc import Iterable

from lexmesh._codec import StreamEvent

def encode_batch(events: Iterable[StreamEvent]) -> bytes: ...
def decode_batch(batch: bytes) -> list[StreamEvent]: ...
