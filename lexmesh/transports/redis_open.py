"""Opens clients of Redis: one place that knows redis-py's ways."""

from __future__ import annotations

import contextlib
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from lexmesh.transports.redis_faults import GONE
from lexmesh.transports.redis_url import RedisAddress

__all__ = ["REPLY_SECONDS", "AnyRedis", "add_publication", "close_redis", "open_pubsub", "open_redis"]

CONNECT_SECONDS = 2.0
REPLY_SECONDS = 3.0
"""How long a server may take to answer; one that is paused longer counts as gone, and is asked again."""

READ_BYTES = 256 * 1024

AnyRedis = Redis | RedisCluster


def open_redis(address: RedisAddress) -> AnyRedis:
    """A client that connects when it is first used.

    It does not repeat what failed: who uses it counts each loss, and comes back.

    Args:
        address: where.

    Raises:
        redis.exceptions.RedisError, OSError: from its use, not from here.
    """
    options: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": REPLY_SECONDS,
        "socket_read_size": READ_BYTES,
        "socket_keepalive": True,
    }
    if address.tls:
        options["ssl"] = True
        if address.ca:
            options["ssl_ca_certs"] = address.ca
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 0), **options)
    options |= {"db": address.database, "retry": Retry(NoBackoff(), 0)}
    if address.kind == "sentinel":
        wanted = {key: options[key] for key in ("socket_connect_timeout", "socket_timeout")}
        sentinels = Sentinel(list(address.hosts), sentinel_kwargs=wanted, **options)  # type: ignore[no-untyped-call]
        master: Redis = sentinels.master_for(address.service)
        return master
    if address.kind == "unix":
        options.pop("socket_keepalive")
        return Redis(unix_socket_path=address.path, **options)
    host, port = address.hosts[0]
    return Redis(host=host, port=port, **options)


async def close_redis(client: AnyRedis) -> None:
    """Ends all connections of a client; those to sentinels too, which redis-py leaves open."""
    with contextlib.suppress(*GONE):
        await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            with contextlib.suppress(*GONE):
                await sentinel.aclose()


def add_publication(pipe: Any, client: AnyRedis, channel: str, publication: bytes) -> None:
    """Adds one to what is sent in one write.

    In a cluster all that one node publishes goes to the same server of it, which hands it on: so it keeps its order.
    """
    if isinstance(client, RedisCluster):
        pipe.execute_command("PUBLISH", channel, publication, target_nodes=client.get_default_node())
    else:
        pipe.publish(channel, publication)


async def open_pubsub(client: AnyRedis) -> PubSub:
    """What subscribes; in a cluster, once it is known where its servers are.

    Raises:
        redis.exceptions.RedisError, OSError: if none of them answers.
    """
    if isinstance(client, RedisCluster):
        await client.initialize()
        return client.pubsub(node=client.get_default_node())
    return client.pubsub()
