"""Sentinels that make a replica the master, and a cluster that loses one of its three."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import all_meet, balanced, listen, on_redis, redis_mesh, redis_node
from redis_servers import POLL, RedisServer, needs, redis_server, redis_servers

from lexmesh import MeshCore

PATIENCE = 30.0

SENTINEL = """
sentinel monitor mymaster 127.0.0.1 {port} 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
"""


async def each_hears_each(nodes: list[MeshCore], got: dict[str, list[object]]) -> None:
    for one in got.values():
        one.clear()

    def all_said() -> bool:
        for one in nodes:
            one.publish("a", one.node_id)
        return all(set(found) == {one.node_id for one in nodes} for found in got.values())

    await eventually(all_said, f"each hears each: {got}, {[on_redis(one) for one in nodes]}", PATIENCE)


async def test_sentinel_failover() -> None:
    with redis_server() as master, redis_servers([{"replicaof": f"127.0.0.1 {master.port}"}] * 2) as replicas:
        await eventually(lambda: b"connected_slaves:2" in _info(master, "replication"), "both replicas", PATIENCE)
        with redis_servers([{"sentinel": SENTINEL.format(port=master.port)}] * 3) as sentinels:
            await eventually(lambda: all(_sees_all(one) for one in sentinels), "all sentinels and replicas", PATIENCE)
            hosts = ",".join(f"127.0.0.1:{one.port}" for one in sentinels)
            async with redis_mesh(f"redis+sentinel://{hosts}/mymaster", 3) as nodes:
                got = listen(nodes, "a")
                await each_hears_each(nodes, got)
                master.kill()
                await eventually(
                    lambda: any(b"role:master" in _info(one, "replication") for one in replicas), "", PATIENCE
                )
                ended = time.monotonic()
                await eventually(lambda: all(on_redis(one)["up"] for one in nodes), "all are back", PATIENCE)
                await each_hears_each(nodes, got)
                assert time.monotonic() - ended < 10
                await eventually(lambda: balanced(nodes), "balanced ledgers")
                assert all(on_redis(one)["reconnects"] > 0 for one in nodes)


def _info(server: RedisServer, section: str) -> bytes:
    import redis

    with redis.Redis(port=server.port) as client:
        return str(client.info(section)).replace("'", "").replace(": ", ":").encode()


def _sees_all(sentinel: RedisServer) -> bool:
    found = sentinel.say("SENTINEL", "MASTER", "mymaster")
    if isinstance(found, list):
        found = dict(zip(found[::2], found[1::2], strict=True))
    text = {_text(key): _text(value) for key, value in found.items()}
    return int(text["num-other-sentinels"]) == 2 and int(text["num-slaves"]) == 2


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@contextmanager
def cluster_of(masters: int, replicas: int) -> Iterator[list[RedisServer]]:
    """A cluster; its masters first, then their replicas."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": 2000, "repl_diskless_sync_delay": 0}
    with redis_servers([options] * (masters + replicas)) as servers:
        each = 16_384 // masters
        for at, one in enumerate(servers[:masters]):
            last = 16_383 if at == masters - 1 else (at + 1) * each - 1
            one.say("CLUSTER", "ADDSLOTSRANGE", at * each, last)
            one.say("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for one in servers[1:]:
            one.say("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        _wait(lambda: all(_knows(one) == len(servers) for one in servers))
        for at, one in enumerate(servers[masters:]):
            one.say("CLUSTER", "REPLICATE", _text(servers[at % masters].say("CLUSTER", "MYID")))
        _wait(lambda: all(b"cluster_state:ok" in _cluster(one) for one in servers))
        _wait(lambda: all(b"master_link_status:up" in _info(one, "replication") for one in servers[masters:]))
        yield servers


def _cluster(one: RedisServer) -> bytes:
    found = one.say("CLUSTER", "INFO")
    if isinstance(found, dict):
        return b"\r\n".join(f"{_text(key)}:{_text(value)}".encode() for key, value in found.items())
    return found if isinstance(found, bytes) else str(found).encode()


def _knows(one: RedisServer) -> int:
    text = _cluster(one)
    return int(text.partition(b"cluster_known_nodes:")[2].split()[0])


def _wait(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "no cluster in time"
        POLL.wait(0.05)


async def test_cluster_that_loses_a_master() -> None:
    needs(7)
    with cluster_of(3, 3) as servers:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in servers[:3])
        nodes = [redis_node(f"n{number}", url) for number in range(3)]
        async with running(*nodes):
            await all_meet(nodes)
            got = listen(nodes, "a")
            await each_hears_each(nodes, got)
            servers[0].kill()
            await eventually(lambda: b"role:master" in _info(servers[3], "replication"), "its replica", PATIENCE)
            await eventually(lambda: all(on_redis(one)["up"] for one in nodes), "all are back", PATIENCE)
            await each_hears_each(nodes, got)
            await eventually(lambda: balanced(nodes), "balanced ledgers")
