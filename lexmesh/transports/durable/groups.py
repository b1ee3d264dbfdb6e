"""How the durable groups of a mesh stand, and the end of one; for operators."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redis.exceptions import ResponseError

from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.dead import dead_letters
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.registry import DurableKey, forget, read_registry
from lexmesh.transports.wall_clock import now_ms

__all__ = ["forget_group", "group_states"]

MOST_COUNTED = 1_000

MEMBER_SECONDS = 30
"""A member that has asked for nothing for longer is none: it asks twice a second."""


async def group_states(client: StreamClient, keys: DurableKeys) -> list[dict[str, Any]]:
    """All groups of a mesh.

    Returns:
        Of each `subject`, `group`, `not_begun` (events that no member has been given; None for more than MOST_COUNTED
        where the server does not tell), `under_way` (given and not acknowledged), `members` (heard of
        in MEMBER_SECONDS), and `dead` (letters).
    """
    groups = (await read_registry(client, keys)).groups
    dead = Counter([(letter.pattern, letter.group) async for letter in dead_letters(client, keys)])
    return [
        {
            "subject": pattern,
            "group": group,
            **await _state(client, keys.stream(pattern), group),
            "dead": dead[pattern, group],
        }
        for pattern, group in sorted(groups)
    ]


async def _state(client: StreamClient, stream: str, group: str) -> dict[str, Any]:
    try:
        found = {state["name"].decode(): state for state in await client.xinfo_groups(stream)}
        members = [
            one["name"].decode(errors="replace")
            for one in await client.xinfo_consumers(stream, group)
            if one["idle"] < 1000 * MEMBER_SECONDS
        ]
    except ResponseError:
        return {"not_begun": 0, "under_way": 0, "members": []}
    state = found.get(group, {})
    not_begun = state.get("lag")
    if state and not_begun is None:
        not_begun = await _counted(client, stream, state["last-delivered-id"].decode())
    return {"not_begun": not_begun, "under_way": state.get("pending", 0), "members": sorted(members)}


async def _counted(client: StreamClient, stream: str, last: str) -> int | None:
    """How many entries come after one; a server does not know that before version 7, and not of a trimmed stream."""
    found = await client.xrange(stream, f"({last}", "+", count=MOST_COUNTED)
    return len(found) if len(found) < MOST_COUNTED else None


async def forget_group(client: StreamClient, keys: DurableKeys, key: DurableKey) -> int | None:
    """Ends a group, and its stream if no other group has it.

    Returns:
        How many events were not done, as far as they can be counted; None if there is no such group.
    """
    pattern, group = key
    stream = keys.stream(pattern)
    registered = await read_registry(client, keys)
    if key not in registered.groups:
        return None
    state = await _state(client, stream, group)
    await forget(client, keys, key, now_ms())
    if await client.exists(stream):  # Redis may have lost it
        await client.xgroup_destroy(stream, group)
    if not any(other != key and other[0] == pattern for other in registered.groups):
        await client.delete(stream)
    waited: int = state["under_way"] + (state["not_begun"] or 0)
    return waited
