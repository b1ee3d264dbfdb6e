"""What this node has put in a stream, and does not know to be done: what Redis loses of it is noticed."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import EntryId, entry_id

__all__ = ["StoredEntries"]

MOST_REMEMBERED = 100_000
"""Entries, the latest; of more that are lost, so many are counted."""


class StoredEntries:
    """The entries of one stream that Redis has confirmed to this node, in order.

    A stream is trimmed at its beginning, and a server that comes back without its last seconds has lost its end: so
    what is there is one piece, and its end is found by bisection.
    """

    def __init__(self) -> None:
        self._ids: deque[EntryId] = deque(maxlen=MOST_REMEMBERED)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, confirmed: Iterable[bytes]) -> None:
        """Notes entries that have been confirmed."""
        self._ids.extend(map(entry_id, confirmed))

    def done_before(self, low: EntryId) -> None:
        """Forgets entries that all groups are done with, or that have been trimmed."""
        while self._ids and self._ids[0] < low:
            self._ids.popleft()

    async def lost(self, client: StreamClient, stream: str) -> int:
        """Looks what Redis has lost of them, and forgets that.

        Args:
            client: a connected client.
            stream: the key.

        Returns:
            How many; some of them may have been done already.
        """
        if not self._ids or await _is_there(client, stream, self._ids[-1]):
            return 0
        first = await client.xrange(stream, count=1)
        low = entry_id(first[0][0]) if first else (1 << 63, 0)
        ids = list(self._ids)
        at, end = bisect_left(ids, low), len(ids) - 1
        while at < end:
            middle = (at + end) // 2
            if await _is_there(client, stream, ids[middle]):
                at = middle + 1
            else:
                end = middle
        kept = ids[:at] if first else []
        self._ids = deque(kept, maxlen=MOST_REMEMBERED)
        return len(ids) - len(kept)


async def _is_there(client: StreamClient, stream: str, id: EntryId) -> bool:
    text = f"{id[0]}-{id[1]}"
    return bool(await client.xrange(stream, text, text, count=1))
