"""`python -m redis_ends (lexmesh|plain) (publish|subscribe) URL COUNT`: prints `ready`, then what it did as JSON."""

import asyncio
import json
import sys
import time
from typing import Any

import redis.asyncio

from lexmesh import MeshConfig, MeshCore

BODY = {"payload": "x" * 90}
WARM = 200
PATIENCE = 120.0


def tell(**found: Any) -> None:
    print(json.dumps(found), flush=True)


async def told() -> None:
    """Waits for a line on standard input."""
    await asyncio.to_thread(sys.stdin.readline)


class Tally:
    """What comes: numbers that must be 0, 1, 2, …"""

    def __init__(self, count: int) -> None:
        self.next = 0
        self.count = count
        self.begun = 0.0
        self.done = asyncio.Event()

    def take(self, number: int) -> None:
        assert number == self.next, f"{number} came for {self.next}"
        if number == 0:
            self.begun = time.monotonic()
        self.next += 1
        if self.next == self.count:
            tell(count=self.count, seconds=time.monotonic() - self.begun)
            self.done.set()


def node(name: str, url: str) -> MeshCore:
    return MeshCore(MeshConfig(node_id=name, websocket_port=0, redis_url=url, enable_redis=True, learned_links=0))


async def lexmesh_subscribe(url: str, count: int) -> None:
    tally = Tally(count)
    async with node("subscriber", url) as mesh:
        mesh.subscribe("sensor_reading", lambda event: tally.take(event.data["n"]))
        await asyncio.sleep(1)
        tell(ready=True)
        await asyncio.wait_for(tally.done.wait(), PATIENCE)


async def lexmesh_publish(url: str, count: int) -> None:
    async with node("publisher", url) as mesh:
        while not mesh.get_mesh_status()["redis"]["nodes"]:  # noqa: ASYNC110 - a status has no event
            await asyncio.sleep(0.01)
        tell(ready=True)
        await told()
        for number in range(count):
            mesh.publish("sensor_reading", {"n": number, **BODY})
            if number % 512 == 511:
                await mesh.flush()
        await mesh.flush()
        await told()


async def plain_subscribe(url: str, count: int) -> None:
    tally = Tally(count)
    async with redis.asyncio.from_url(url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("sensor_reading")
        await pubsub.get_message(timeout=5)
        tell(ready=True)
        async for message in pubsub.listen():
            tally.take(json.loads(message["data"])["data"]["n"])
            if tally.done.is_set():
                return


async def plain_publish(url: str, count: int) -> None:
    """One call a message, as redis-py's documentation has it."""
    async with redis.asyncio.from_url(url) as client:
        await client.ping()
        tell(ready=True)
        await told()
        for number in range(count):
            event = {
                "type": "sensor_reading",
                "source_node": "publisher",
                "data": {"n": number, **BODY},
                "id": "x" * 20,
            }
            await client.publish("sensor_reading", json.dumps(event))
        await told()


ENDS = {
    ("lexmesh", "subscribe"): lexmesh_subscribe,
    ("lexmesh", "publish"): lexmesh_publish,
    ("plain", "subscribe"): plain_subscribe,
    ("plain", "publish"): plain_publish,
}

if __name__ == "__main__":
    import uvloop

    uvloop.run(ENDS[sys.argv[1], sys.argv[2]](sys.argv[3], int(sys.argv[4])))
