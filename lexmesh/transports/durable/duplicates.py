"""Finds events that are in a stream more than once.

Of an event's entries the first that is looked at owns it, and that is written down for all members of a group: so the
others are passed over, while the owner can be tried again, by whomever. Owners are kept in one hash a span of time.
"""

from __future__ import annotations

from collections.abc import Sequence

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import DurableKeys, entry_id

__all__ = ["duplicates"]


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
        seconds: how far apart the entries of one event may be to be found, at least.
        entries: number of each entry, and id of its event.

    Raises:
        redis.exceptions.RedisError, OSError: if the server did not do all of it; then nothing has been decided.
    """
    pattern, name = group
    span = max(1, int(seconds * 1000))
    pipe = client.pipeline(transaction=False)
    used = set()
    for entry, event in entries:
        bucket = entry_id(entry)[0] // span
        here, before = keys.seen(bucket, name, pattern), keys.seen(bucket - 1, name, pattern)
        pipe.hsetnx(here, event, entry)
        pipe.hget(here, event)
        pipe.hget(before, event)
        used.add(here)
    for key in sorted(used):
        pipe.pexpire(key, 3 * span)
    results = await pipe.execute()
    owners = [results[at + 2] or results[at + 1] for at in range(0, 3 * len(entries), 3)]
    return {entry for (entry, _), owner in zip(entries, owners, strict=True) if owner != entry}
