"""A member of a durable group in a process of its own; prints what it is ready with, and what it has done."""

import asyncio
import sys

from lexmesh import MeshConfig, MeshCore, StreamEvent

SUBJECT, GROUP = "work.todo", "workers"


async def work(url: str, name: str, how: str) -> None:
    async def handler(event: StreamEvent) -> None:
        if how == "hangs":
            await asyncio.Event().wait()
        print(event.data, flush=True)

    config = MeshConfig(
        node_id=name,
        websocket_port=0,
        redis_url=url,
        heartbeat_interval=1.0,
        durable_seconds=3600 if how == "hangs" else 2,
    )
    async with MeshCore(config) as mesh:
        mesh.subscribe(SUBJECT, handler, group=GROUP, durable=True)
        await mesh.stored()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
