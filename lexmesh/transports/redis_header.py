"""What begins each publication on Redis: whose it is, and how many messages that node has published there before."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lexmesh._codec import StreamEvent
from lexmesh.errors import LexmeshError
from lexmesh.events import RESERVED_PREFIX

__all__ = ["HEADER", "Gaps", "Header", "header_bytes", "split"]

HEADER = RESERVED_PREFIX + "redis"

MOST_HEADER = 512
"""Bytes: a node's name has 255 at most."""

MOST_STREAMS = 16_384
"""Pairs of channel and node whose numbers are remembered."""

_ELEMENT = 0x0A  # field 1 of Batch, length-delimited (Protocol Buffers, "Encoding")


@dataclass(frozen=True, slots=True)
class Header:
    """Who published, and what came before.

    Args:
        node: the publishing node.
        epoch: its start, milliseconds since 1970-01-01 UTC.
        before: messages that it had published on this channel since then.
    """

    node: str
    epoch: int
    before: int


def header_bytes(header: Header) -> bytes:
    """A header as the first element of a Batch."""
    id = f"{header.node}:{header.epoch}:{header.before}"
    message = StreamEvent(HEADER, source_node=header.node, timestamp=0, id=id).to_proto()
    return bytes((_ELEMENT,)) + _varint(len(message)) + message


def split(publication: bytes) -> tuple[Header, int] | None:
    """Reads the header of a publication.

    Returns:
        The header, and where the messages begin; None if it has none.
    """
    if len(publication) < 3 or publication[0] != _ELEMENT:
        return None
    size, at = publication[1], 2
    if size >= 0x80:
        size, at = (size & 0x7F) | publication[2] << 7, 3
    if size > MOST_HEADER or at + size > len(publication):
        return None
    try:
        event = StreamEvent.from_proto(publication[at : at + size])
        node, epoch, before = event.id.rsplit(":", 2)
    except (LexmeshError, ValueError):
        return None
    if event.event_type != HEADER or not node:
        return None
    return Header(node, int(epoch), int(before)), at + size


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80, number >> 7))


class Gaps:
    """What was published and has not come, found by the numbers in headers.

    Attributes:
        lost: messages.
    """

    def __init__(self) -> None:
        self._expected: OrderedDict[tuple[bytes, str], tuple[int, int]] = OrderedDict()
        self.lost = 0

    def came(self, channel: bytes, header: Header, messages: int) -> int:
        """A publication has come.

        Args:
            channel: where.
            header: its header.
            messages: how many it has.

        Returns:
            How many messages before it were lost.
        """
        key = (channel, header.node)
        epoch, expected = self._expected.pop(key, (0, 0))
        missing = max(0, header.before - expected) if epoch == header.epoch else 0
        if header.epoch >= epoch:
            epoch, expected = header.epoch, max(header.before + messages, expected if epoch == header.epoch else 0)
        self._expected[key] = epoch, expected
        if len(self._expected) > MOST_STREAMS:
            self._expected.popitem(last=False)
        self.lost += missing
        return missing

    def forget(self, channel: bytes) -> None:
        """What comes on a channel next follows nothing: it was not listened to."""
        for key in [key for key in self._expected if key[0] == channel]:
            del self._expected[key]
