"""Clusters of real servers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis_servers import POLL, RedisServer, redis_servers

PATIENCE = 30.0


def text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@contextmanager
def cluster_of(masters: int, replicas: int, **others: Any) -> Iterator[list[RedisServer]]:
    """A cluster; its masters first, then their replicas."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": 2000, "repl_diskless_sync_delay": 0, **others}
    with redis_servers([options] * (masters + replicas)) as servers:
        each = 16_384 // masters
        for at, one in enumerate(servers[:masters]):
            last = 16_383 if at == masters - 1 else (at + 1) * each - 1
            one.say("CLUSTER", "ADDSLOTS", *range(at * each, last + 1))
            one.say("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for one in servers[1:]:
            one.say("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        until(lambda: all(_knows(one) == len(servers) for one in servers))
        for at, one in enumerate(servers[masters:]):
            one.say("CLUSTER", "REPLICATE", text(servers[at % masters].say("CLUSTER", "MYID")))
        until(lambda: all(b"cluster_state:ok" in _cluster(one) for one in servers))
        until(lambda: all(b"master_link_status:up" in info(one, "replication") for one in servers[masters:]))
        yield servers


def _cluster(one: RedisServer) -> bytes:
    found = one.say("CLUSTER", "INFO")
    if isinstance(found, dict):
        return b"\r\n".join(f"{text(key)}:{text(value)}".encode() for key, value in found.items())
    return found if isinstance(found, bytes) else str(found).encode()


def _knows(one: RedisServer) -> int:
    text = _cluster(one)
    return int(text.partition(b"cluster_known_nodes:")[2].split()[0])


def until(condition: Callable[[], bool]) -> None:
    """Waits for something of other processes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        POLL.wait(0.05)


def info(server: RedisServer, section: str) -> bytes:
    """What INFO says, as `key:value`."""
    import redis

    with redis.Redis(port=server.port) as client:
        return str(client.info(section)).replace("'", "").replace(": ", ":").encode()


def owner(servers: list[RedisServer], slot: int) -> RedisServer:
    """The master that has a slot."""
    for first, last, master, *_ in servers[0].say("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(one for one in servers if one.port == master[1])
    raise AssertionError(f"nobody has slot {slot}")


def move_slot(slot: int, source: RedisServer, target: RedisServer) -> None:
    """Gives a slot, with all its keys, to another master, as redis-cli --cluster reshard does."""
    ids = {one: text(one.say("CLUSTER", "MYID")) for one in (source, target)}
    target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := source.say("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.say("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for one in (target, source):
        one.say("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
