"""What begins each publication on Redis: whose it is, and how many messages that node has published there before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from lexmesh._codec import StreamEvent
from lexmesh.errors import LexmeshError
from lexmesh.events import RESERVED_PREFIX
from lexmesh.node_names import check_name

__all__ = ["HEADER", "MOST_HEADER", "Gaps", "Header", "header_bytes", "split"]

HEADER = RESERVED_PREFIX + "redis"

MOST_HEADER = 512
"""Bytes: a node's name has 255 at most."""

MOST_STREAMS = 16_384
"""Pairs of channel and node whose numbers are remembered."""

MOST_AHEAD = 60_000
"""Milliseconds by which another node's clock may be ahead of this one's."""

MOST_BEFORE = 1 << 48
"""Messages that one start of a node can have published: at a million a second, those of nine years."""

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


def split(publication: bytes, now: int) -> tuple[Header, int] | None:
    """Reads the header of a publication.

    Args:
        publication: as it came.
        now: milliseconds since 1970-01-01 UTC.

    Returns:
        The header, and where the messages begin; None if it has none, or one that no node writes.
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
        header = Header(check_name(node), int(epoch), int(before))
    except (LexmeshError, ValueError):
        return None
    if event.event_type != HEADER or header.epoch > now + MOST_AHEAD or header.before > MOST_BEFORE:
        return None
    return header, at + size


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80, number >> 7))


class Gaps:
    """What was published and has not come, found by the numbers in headers.

    A publication's own numbers are believed, whatever came before: a forged one spoils the count once.

    Attributes:
        lost: messages.
    """

    def __init__(self) -> None:
        self._expected: OrderedDict[tuple[bytes, str], tuple[int, int]] = OrderedDict()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._expected)

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
        self._expected[key] = header.epoch, header.before + messages
        if len(self._expected) > MOST_STREAMS:
            self._expected.popitem(last=False)
        self.lost += missing
        return missing

    def keep(self, is_heard: Callable[[bytes], bool]) -> None:
        """Forgets channels that are not listened to any more: what comes there later follows nothing."""
        for key in [key for key in self._expected if not is_heard(key[0])]:
            del self._expected[key]
