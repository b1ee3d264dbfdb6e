"""What the keys of Redis are called that hold a mesh's durable work, and how a stream's entries are numbered."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["ATTEMPTS", "ENTRY", "GROUP", "MESSAGE", "PATTERN", "REASON", "REPLAY", "DurableKeys", "EntryId", "entry_id"]

MESSAGE = b"message"
"""Field of an entry: a serialised EventMessage."""

GROUP = b"group"
"""Field of an entry: the only group that it is for; of a dead letter: the group that did not get it done."""

REPLAY = b"replay"
"""Field of an entry: the dead letter that it was, so that it is no duplicate of what it was before."""

PATTERN = b"subject"
"""Field of a dead letter: the subject pattern of its stream."""

ENTRY = b"entry"
"""Field of a dead letter: what it was numbered in that stream."""

ATTEMPTS = b"attempts"
"""Field of a dead letter: how often it was tried."""

REASON = b"reason"
"""Field of a dead letter: why it was given up, in one line."""

EntryId = tuple[int, int]
"""Milliseconds since 1970-01-01 UTC and a counter within them: entries of a stream are in this order."""


def entry_id(text: bytes) -> EntryId:
    """Reads the number of an entry, such as b"1700000000000-0"."""
    milliseconds, _, counter = text.partition(b"-")
    return int(milliseconds), int(counter or 0)


class DurableKeys:
    """The keys of one mesh.

    Args:
        mesh: what all its keys begin with; see ChannelNames.
    """

    def __init__(self, mesh: str) -> None:
        self._mesh = mesh
        self.registry = f"{self._mesh}:durable"
        self.dead = f"{self._mesh}:dead"

    def stream(self, pattern: str) -> str:
        """What is to be done on a subject pattern."""
        return f"{self._mesh}:stream:{pattern}"

    def seen(self, bucket: int, group: str, pattern: str) -> str:
        """Which entry owns an event, for entries of one span of time."""
        return f"{self._mesh}:seen:{bucket}:{quote(group, safe='')}:{pattern}"
