"""What this node has put in a stream, and does not know to be done: what Redis loses of it is noticed."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from redis.exceptions import ResponseError

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import EntryId, entry_id

__all__ = ["StoredEntries"]

MOST_REMEMBERED = 100_000
"""Entries, the latest; of more that are lost, so many are counted."""


class StoredEntries:
    """The entries of one stream that Redis has confirmed to this node, in order.

    A stream is trimmed at its beginning only. A server that comes back without its last seconds has lost its end, which
    is looked for before more is stored; one that has lost all may have been given more since.
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

    async def lost(self, client: StreamClient, stream: str, *, all_of_it: bool) -> int:
        """Looks what Redis has lost of them, and forgets that.

        Args:
            client: a connected client.
            stream: the key.
            all_of_it: Redis has lost all that was stored up to some time.

        Returns:
            How many; some of them may have been done already.
        """
        ids = list(self._ids)  # to which more is added meanwhile
        if not ids:
            return 0
        kept = await (_kept_end if all_of_it else _kept_beginning)(client, stream, ids)
        later = [id for id in self._ids if id > ids[-1]]
        self._ids = deque([*kept, *later], maxlen=MOST_REMEMBERED)
        return len(ids) - len(kept)


async def _kept_end(client: StreamClient, stream: str, ids: list[EntryId]) -> list[EntryId]:
    """Of entries in order those from the first on that is there: they have been stored since the others were lost."""
    at, end = 0, len(ids)
    while at < end:
        middle = (at + end) // 2
        if await _is_there(client, stream, ids[middle]):
            end = middle
        else:
            at = middle + 1
    return ids[at:]


async def _kept_beginning(client: StreamClient, stream: str, ids: list[EntryId]) -> list[EntryId]:
    """Those up to the last that is there; what was before the first that is there has been trimmed."""
    if await _is_there(client, stream, ids[-1]):
        return ids
    at, end = bisect_left(ids, await _first_kept(client, stream)), len(ids) - 1
    while at < end:
        middle = (at + end) // 2
        if await _is_there(client, stream, ids[middle]):
            at = middle + 1
        else:
            end = middle
    return ids[:at]


async def _first_kept(client: StreamClient, stream: str) -> EntryId:
    """The first entry of a stream; of one that has been trimmed to nothing, what the next one is at least."""
    first = await client.xrange(stream, count=1)
    if first:
        return entry_id(first[0][0])
    try:
        milliseconds, counter = entry_id((await client.xinfo_stream(stream))["last-generated-id"])
    except ResponseError:  # there is none
        return 0, 0
    return milliseconds, counter + 1


async def _is_there(client: StreamClient, stream: str, id: EntryId) -> bool:
    text = f"{id[0]}-{id[1]}"
    return bool(await client.xrange(stream, text, text, count=1))
