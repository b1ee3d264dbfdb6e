"""`python -m redis_ends KIND (publish|subscribe) URL COUNT`: prints `ready`, then what it did as JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
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


def event_of(number: int) -> dict[str, Any]:
    return {"type": "sensor_reading", "source_node": "publisher", "data": {"n": number, **BODY}, "id": "x" * 20}


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


async def publish_from_node(url: str, count: int, until: Callable[[MeshCore], Awaitable[None]]) -> None:
    """Publishes, and waits every so often."""
    async with node("publisher", url) as mesh:
        while not mesh.get_mesh_status()["redis"]["nodes"]:  # noqa: ASYNC110 - a status has no event
            await asyncio.sleep(0.01)
        tell(ready=True)
        await told()
        for number in range(count):
            mesh.publish("sensor_reading", {"n": number, **BODY})
            if number % 512 == 511:
                await until(mesh)
        await until(mesh)
        await told()


async def lexmesh_publish(url: str, count: int) -> None:
    await publish_from_node(url, count, MeshCore.flush)


async def durable_publish(url: str, count: int) -> None:
    await publish_from_node(url, count, MeshCore.stored)


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


async def publish_plainly(url: str, count: int, say: Callable[[redis.asyncio.Redis, str], Awaitable[object]]) -> None:
    """One call a message, as redis-py's documentation has it."""
    async with redis.asyncio.from_url(url) as client:
        await client.ping()
        tell(ready=True)
        await told()
        for number in range(count):
            await say(client, json.dumps(event_of(number)))
        await told()


async def plain_publish(url: str, count: int) -> None:
    await publish_plainly(url, count, lambda client, event: client.publish("sensor_reading", event))


async def stream_publish(url: str, count: int) -> None:
    await publish_plainly(url, count, lambda client, event: client.xadd("stream", {"event": event}))


async def durable_subscribe(url: str, count: int) -> None:
    tally = Tally(count)
    async with node("subscriber", url) as mesh:
        mesh.subscribe("sensor_reading", lambda event: tally.take(event.data["n"]), group="workers", durable=True)
        await mesh.stored()
        tell(ready=True)
        await asyncio.wait_for(tally.done.wait(), PATIENCE)


async def stream_subscribe(url: str, count: int) -> None:
    """Reads a hundred at a time, acknowledges each, as redis-py's documentation has it."""
    tally = Tally(count)
    async with redis.asyncio.from_url(url) as client:
        await client.delete("stream")
        await client.xgroup_create("stream", "workers", mkstream=True)
        tell(ready=True)
        while not tally.done.is_set():
            for _, entries in await client.xreadgroup("workers", "one", {"stream": ">"}, count=100, block=1000):
                for entry, fields in entries:
                    tally.take(json.loads(fields[b"event"])["data"]["n"])
                    await client.xack("stream", "workers", entry)


ENDS = {
    ("durable", "subscribe"): durable_subscribe,
    ("durable", "publish"): durable_publish,
    ("stream", "subscribe"): stream_subscribe,
    ("stream", "publish"): stream_publish,
    ("lexmesh", "subscribe"): lexmesh_subscribe,
    ("lexmesh", "publish"): lexmesh_publish,
    ("plain", "subscribe"): plain_subscribe,
    ("plain", "publish"): plain_publish,
}

if __name__ == "__main__":
    import uvloop

    uvloop.run(ENDS[sys.argv[1], sys.argv[2]](sys.argv[3], int(sys.argv[4])))
