"""Meshes of real nodes that have a Redis between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mesh_nodes import knows_all, node, running
from raw_ws import eventually
from redis_servers import RedisServer

from lexmesh import MeshCore

Got = dict[str, list[Any]]


def redis_node(name: str, url: str, *peers: MeshCore, **options: Any) -> MeshCore:
    return node(name, *peers, **{"enable_redis": True, "redis_url": url, "heartbeat_interval": 1.0, **options})


@asynccontextmanager
async def redis_mesh(url: str, count: int, **options: Any) -> AsyncIterator[list[MeshCore]]:
    """Nodes n0, n1, … that have nothing but Redis between them, and know each other."""
    nodes = [redis_node(f"n{number}", url, **options) for number in range(count)]
    async with running(*nodes):
        await all_meet(nodes)
        yield nodes


async def all_meet(nodes: list[MeshCore]) -> None:
    await knows_all(nodes)
    await eventually(lambda: all(on_redis(one)["up"] for one in nodes), "all connected")
    await eventually(lambda: all(len(on_redis(one)["nodes"]) == len(nodes) - 1 for one in nodes), "all on Redis")


def on_redis(one: MeshCore) -> dict[str, Any]:
    status: dict[str, Any] = one.get_mesh_status()["redis"]
    return status


def listen(nodes: list[MeshCore], *subjects: str) -> Got:
    """What each node's handler of some subjects gets."""
    got: Got = {one.node_id: [] for one in nodes}
    for one in nodes:
        for subject in subjects:
            one.subscribe(subject, lambda event, name=one.node_id: got[name].append(event.data))
    return got


async def listening(server: RedisServer, channel: str, count: int) -> None:
    """Waits until so many connections are subscribed to a channel."""
    await eventually(lambda: server.say("PUBSUB", "NUMSUB", channel)[1] == count, f"{count} listening to {channel}")


async def all_got(got: Got, wanted: list[Any]) -> None:
    await eventually(lambda: all(sorted(map(str, one)) == sorted(map(str, wanted)) for one in got.values()), f"{got}")


async def each_hears_each(nodes: list[MeshCore], got: Got, subject: str = "a") -> None:
    """All nodes say something on a subject until everybody has heard everybody."""
    for one in got.values():
        one.clear()

    def all_said() -> bool:
        for one in nodes:
            one.publish(subject, one.node_id)
        return all(set(found) == {one.node_id for one in nodes} for found in got.values())

    await eventually(all_said, f"each hears each: {got}, {[on_redis(one) for one in nodes]}", 30)


def balanced(nodes: list[MeshCore]) -> bool:
    return all(one.ledger()["balanced"] and one.ledger()["egress"]["in_flight"] == 0 for one in nodes)
