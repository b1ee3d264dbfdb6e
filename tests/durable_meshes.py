"""Nodes that do durable work, and what they did."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durable_worker import GROUP, SUBJECT
from raw_ws import eventually
from redis_meshes import redis_node
from redis_servers import RedisServer

from lexmesh import MeshCore, StreamEvent

STREAM = "spiral_codex_mesh:stream:work.todo"


def durable_node(name: str, server: RedisServer, *peers: MeshCore, **options: Any) -> MeshCore:
    return redis_node(name, server.url, *peers, **{"durable_seconds": 2.0, **options})


class Worker:
    """Handles, and remembers: what it got by data, and how often."""

    def __init__(self, *nodes: MeshCore, subject: str = SUBJECT, group: str = GROUP) -> None:
        self.got: Counter[Any] = Counter()
        self.failing = 0
        for one in nodes:
            one.subscribe(subject, self, group=group, durable=True)

    def __call__(self, event: StreamEvent) -> None:
        if self.failing:
            self.failing -= 1
            raise ValueError("not now")
        self.got[event.data] += 1


async def known_to(nodes: list[MeshCore], *patterns: str) -> None:
    """Waits until all nodes store what is published on these."""

    def stores() -> bool:
        return all(set(one._redis._work._store._outlets) >= set(patterns or (SUBJECT,)) for one in nodes)

    await eventually(stores, "all know the groups")


def counts(one: MeshCore) -> dict[str, Any]:
    """How its first group stands."""
    found: dict[str, Any] = one.get_mesh_status()["redis"]["durable"][0]
    return found


def pending(server: RedisServer, group: str = GROUP) -> int:
    """Entries that have been given to somebody and not acknowledged."""
    found: int = server.say("XPENDING", STREAM, group)["pending"]
    return found


@contextmanager
def worker_process(server: RedisServer, name: str, *, hangs: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A node in a process of its own that is a member of the group; what it has done it writes, a line each."""
    command = [
        sys.executable,
        str(Path(__file__).parent / "durable_worker.py"),
        server.url,
        name,
        "hangs" if hangs else "works",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "LEXMESH_ENABLE_REDIS": "true"})
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()
