"""Keeps a stream short: what all its groups are done with goes, and what is too old or too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import EntryId, entry_id

__all__ = ["Trimmed", "trim"]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was done.

    Args:
        low: all groups are done with what is before.
        lost: entries that went although a group was not done with them.
    """

    low: EntryId
    lost: int


async def trim(client: StreamClient, stream: str, most: int, oldest: int) -> Trimmed:
    """Trims a stream.

    Args:
        client: a connected client.
        stream: the key.
        most: entries that may stay.
        oldest: what was stored before, in milliseconds since 1970-01-01 UTC, goes.

    Raises:
        redis.exceptions.ResponseError: if there is no such stream.
    """
    low = (0, 0)
    groups = await client.xinfo_groups(stream)
    if groups:
        low = min([await _done_before(client, stream, group) for group in groups])
        await client.xtrim(stream, minid=_text(low), approximate=False)
    lost = await client.xtrim(stream, minid=_text((oldest, 0)), approximate=False)
    lost += await client.xtrim(stream, maxlen=most, approximate=False)
    if lost:
        first = await client.xrange(stream, count=1)
        low = max(low, entry_id(first[0][0]) if first else low)
    return Trimmed(low, lost)


async def _done_before(client: StreamClient, stream: str, group: dict[str, Any]) -> EntryId:
    if group["pending"]:
        summary = await client.xpending(stream, group["name"])
        if summary["min"] is not None:
            return entry_id(summary["min"])
    milliseconds, counter = entry_id(group["last-delivered-id"])
    return milliseconds, counter + 1


def _text(id: EntryId) -> str:
    return f"{id[0]}-{id[1]}"
