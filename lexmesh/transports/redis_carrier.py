"""The one server that carries a mesh: which of a cluster's it is, and whether it has shard channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import MovedError, ResponseError

from lexmesh.redis_address import RedisAddress
from lexmesh.transports.redis_open import REPLY_SECONDS, AnyRedis, close_redis, open_redis, open_server

__all__ = ["Carrier", "open_carrier"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """A server in use.

    Args:
        client: of it.
        is_sharded: whether it is a shard of a cluster that keeps to itself what is published there (SPUBLISH, Redis 7).
    """

    client: Redis
    is_sharded: bool


@asynccontextmanager
async def open_carrier(address: RedisAddress, channel: str) -> AsyncIterator[Carrier]:
    """A client of the server that a mesh is on, which is closed at the end.

    That is the master that sentinels name; of a cluster, the master of the slot in which the mesh has all channels and
    keys. Once another one is that, its connections end, or it ends the subscriptions and answers MOVED or READONLY:
    then the new one is to be looked for.

    Args:
        address: where Redis is.
        channel: one of the mesh's.

    Raises:
        redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError: if none answers.
    """
    found = open_redis(address)
    try:
        place = await _master_of(found, channel)
        if place is None:
            assert isinstance(found, Redis)
            yield Carrier(found, is_sharded=False)
            return
    finally:
        await close_redis(found)
    client = open_server(address, *place)
    try:
        is_sharded = address.kind == "cluster" and await _has_shard_channels(client, channel)
        yield Carrier(client, is_sharded)
    finally:
        await close_redis(client)


async def _master_of(found: AnyRedis, channel: str) -> tuple[str, int] | None:
    """Where the server is, if others have to be asked."""
    if isinstance(found, RedisCluster):
        await found.initialize()
        node = found.get_node_from_key(channel)
        assert node is not None  # only a replica may be None
        return node.host, int(node.port)
    if isinstance(found.connection_pool, SentinelConnectionPool):
        host, port = await found.connection_pool.get_master_address()  # type: ignore[no-untyped-call]
        return host, int(port)
    return None


async def _has_shard_channels(client: Redis, channel: str) -> bool:
    """Asks the server itself: all nodes ask the same one, so that they agree even while a cluster is being upgraded."""
    pubsub = client.pubsub()
    try:
        await pubsub.ssubscribe(channel)
        async with asyncio.timeout(REPLY_SECONDS):
            while await pubsub.get_message(timeout=REPLY_SECONDS) is None:
                pass
    except ResponseError as error:
        if isinstance(error, MovedError) or "unknown command" not in str(error).lower():
            raise
        return False
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    return True
