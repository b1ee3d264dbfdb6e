"""Opens clients of Redis: one place that knows redis-py's ways."""

from __future__ import annotations

import contextlib
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from lexmesh.redis_address import RedisAddress
from lexmesh.transports.redis_faults import GONE, NoCertificatesError
from lexmesh.transports.redis_sentinels import Sentinels

__all__ = ["REPLY_SECONDS", "AnyRedis", "close_redis", "open_redis", "open_server"]

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
        redis.exceptions.RedisError, OSError: from its use; from here only for a CA file that cannot be read.
    """
    options = _options(address)
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
    options["db"] = address.database
    if address.kind == "sentinel":
        kept = ("socket_connect_timeout", "socket_timeout", "socket_keepalive", "retry")
        asking = {key: options[key] for key in kept} | _secrets(address.sentinel_username, address.sentinel_password)
        sentinels = Sentinels(list(address.hosts), sentinel_kwargs=asking, **options)  # type: ignore[no-untyped-call]
        master: Redis = sentinels.master_for(address.service)
        return master
    if address.kind == "unix":
        options.pop("socket_keepalive")
        return Redis(unix_socket_path=address.path, **options)
    host, port = address.hosts[0]
    return Redis(host=host, port=port, **options)


def open_server(address: RedisAddress, host: str, port: int) -> Redis:
    """A client of one of a cluster's servers, or of those that sentinels know."""
    return Redis(host=host, port=port, db=address.database, **_options(address))


def _options(address: RedisAddress) -> dict[str, Any]:
    options: dict[str, Any] = {
        **_secrets(address.username, address.password),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": REPLY_SECONDS,
        "socket_read_size": READ_BYTES,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.tls:
        options["ssl"] = True
        if address.ca:
            _check_readable(address.ca)
            options["ssl_ca_certs"] = address.ca
    return options


def _check_readable(file: str) -> None:
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        raise NoCertificatesError(error.errno, error.strerror or "unreadable", file) from None


def _secrets(username: str, password: str) -> dict[str, Any]:
    return {"username": username or None, "password": password or None}


async def close_redis(client: AnyRedis) -> None:
    """Ends all connections of a client; those to sentinels too, which redis-py leaves open."""
    with contextlib.suppress(*GONE):
        await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            with contextlib.suppress(*GONE):
                await sentinel.aclose()
