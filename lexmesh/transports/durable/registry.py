"""Which durable groups a mesh has: written down on Redis, so that they outlast all their members."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from redis.exceptions import ResponseError

from lexmesh._router import check_pattern
from lexmesh.errors import SubjectError
from lexmesh.queue_groups import check_group
from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import DurableKeys

__all__ = [
    "FROM_NOW",
    "FROM_THE_BEGINNING",
    "MOST_DURABLE",
    "DurableKey",
    "Registered",
    "create_group",
    "forget",
    "read_registry",
]

MOST_DURABLE = 256
"""Pairs of subject and group that a mesh may have: each node stores what it publishes in the stream of each subject."""

FROM_NOW = "$"
"""A new group gets what is stored from now on."""

FROM_THE_BEGINNING = "0"
"""A new group gets all that the stream holds."""

DurableKey = tuple[str, str]
"""Subject pattern and name of a group."""

_LIFE = b"life"
_ALIVE = b"1"
_FORGOTTEN = b"0"
"""Of a group that has ended, before when that was, in milliseconds since 1970-01-01 UTC."""

_FORGOTTEN_SECONDS = 86_400
"""After which nobody is taken to know of it any more: who did since then was without Redis for so long."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry says.

    Args:
        groups: those that there are.
        forgotten: those that an operator has ended.
        refused: entries that name no group, or are too many.
        life: another one says that Redis has lost all there was.
    """

    groups: frozenset[DurableKey]
    forgotten: frozenset[DurableKey]
    refused: int = 0
    life: bytes = b""


async def create_group(client: StreamClient, keys: DurableKeys, key: DurableKey, start: str) -> None:
    """Sees to it that a group is there, and is written down; in this order, so that nothing is stored before it.

    Args:
        client: a connected client.
        keys: the mesh's.
        key: subject pattern and name.
        start: FROM_NOW or FROM_THE_BEGINNING, if it has to be made.
    """
    pattern, group = key
    try:
        await client.xgroup_create(keys.stream(pattern), group, start, mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    await client.hset(keys.registry, _field(key), _ALIVE.decode())
    await client.hsetnx(keys.registry, _LIFE.decode(), secrets.token_hex(8))


async def forget(client: StreamClient, keys: DurableKeys, key: DurableKey, now: int) -> None:
    """Notes that a group has ended: nodes that know it tell that from a registry that was lost.

    Args:
        client: a connected client.
        keys: the mesh's.
        key: subject pattern and name.
        now: milliseconds since 1970-01-01 UTC; what was noted long before is noted no more.
    """
    await client.hset(keys.registry, _field(key), f"{_FORGOTTEN.decode()}{now}")
    found = await client.hgetall(keys.registry)
    old = [field for field, value in found.items() if 0 < _ended_at(value) < now - 1000 * _FORGOTTEN_SECONDS]
    if old:
        await client.hdel(keys.registry, *old)


async def read_registry(client: StreamClient, keys: DurableKeys) -> Registered:
    """Reads it; whoever can write to the server may have written anything there."""
    if await client.hlen(keys.registry) > 4 * MOST_DURABLE:
        return Registered(frozenset(), frozenset(), 1, await client.hget(keys.registry, _LIFE.decode()) or b"")
    found = await client.hgetall(keys.registry)
    life = found.pop(_LIFE, b"")
    read = {field: _key(field) for field in found}
    alive = [key for field, key in read.items() if key is not None and not found[field].startswith(_FORGOTTEN)]
    ended = [key for field, key in read.items() if key is not None and found[field].startswith(_FORGOTTEN)]
    kept = sorted(alive)[:MOST_DURABLE]
    return Registered(frozenset(kept), frozenset(ended), len(found) - len(ended) - len(kept), life)


def _ended_at(value: bytes) -> int:
    """When a group has ended; 0 if it has not, or nobody knows."""
    at = value.removeprefix(_FORGOTTEN)
    return int(at) if value != at and at.isdigit() and len(at) < 20 else 0


def _field(key: DurableKey) -> str:
    pattern, group = key
    return f"{group} {pattern}"


def _key(field: bytes) -> DurableKey | None:
    group, _, pattern = field.decode(errors="replace").partition(" ")
    try:
        check_pattern(pattern)
        return pattern, check_group(group)
    except (SubjectError, ValueError):
        return None
