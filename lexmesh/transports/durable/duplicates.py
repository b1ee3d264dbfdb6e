"""Finds events that are in a stream more than once.

Of an event's entries the first that is looked at owns it, and that is written down for all members of a group: so the
others are passed over, while the owner can be tried again, by whomever. Owners are kept in a sorted set for each span
of time, by event, the entry's number as the score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import DurableKeys, EntryId, entry_id

__all__ = ["duplicates"]

COUNTER_BITS = 20
"""Of an entry's counter in a score, which with the milliseconds of a day fits a double's 53 bits."""


async def duplicates(
    client: StreamClient,
    keys: DurableKeys,
    group: tuple[str, str],
    seconds: float,
    entries: Sequence[tuple[bytes, str]],
) -> set[bytes]:
    """Which entries hold an event that another entry owns; the others own theirs from now on.

    Args:
        client: a connected client.
        keys: the mesh's.
        group: subject pattern and name.
        seconds: how far apart the entries of one event may be to be found, at least; a day at most.
        entries: number of each entry, and id of its event.

    Raises:
        redis.exceptions.RedisError, OSError: if the server did not do all of it; then nothing has been decided.
    """
    pattern, name = group
    span = max(1, int(seconds * 1000))
    buckets: dict[int, list[tuple[bytes, str]]] = defaultdict(list)
    for entry, event in entries:
        buckets[entry_id(entry)[0] // span].append((entry, event))
    pipe = client.pipeline(transaction=False)
    for bucket, found in buckets.items():
        here, before = keys.seen(bucket, name, pattern), keys.seen(bucket - 1, name, pattern)
        events = [event for _, event in found]
        firsts = {event: _score(entry_id(entry), span) for entry, event in reversed(found)}
        pipe.zadd(here, firsts, nx=True)
        pipe.pexpire(here, 3 * span)
        pipe.zmscore(here, events)
        pipe.zmscore(before, events)
    results = iter(await pipe.execute())
    twice = set()
    for found in buckets.values():
        _added, _expires, owners, earlier = next(results), next(results), next(results), next(results)
        for (entry, _), owner, other in zip(found, owners, earlier, strict=True):
            if other is not None or owner != _score(entry_id(entry), span):
                twice.add(entry)
    return twice


def _score(id: EntryId, span: int) -> float:
    return float((id[0] % span << COUNTER_BITS) + id[1] % (1 << COUNTER_BITS))
