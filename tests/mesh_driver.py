"""A node as a process of its own that does what it is told: commands on stdin, a JSON array a line, answers on stdout.

python mesh_driver.py '{"node_id": "a", …}', then ["say", "hello"]
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
from collections.abc import Callable
from typing import Any

import orjson
from measured import received_bytes
from raw_ws import eventually

from lexmesh import MeshConfig, MeshCore, StreamEvent
from lexmesh.transports.loop import run
from lexmesh.transports.wall_clock import now_ms

NOTE = "note"
CATEGORY = "shared"
PATIENCE = 60.0


class Driver:
    """Does the commands; each method that is not private is one.

    Args:
        mesh: the node, not started.
    """

    def __init__(self, mesh: MeshCore) -> None:
        self._mesh = mesh
        self._heard: list[list[str]] = []
        self._statuses: list[list[Any]] = []
        mesh.subscribe(NOTE, self._note)
        mesh.registry.on_change(self._changed)

    def _note(self, event: StreamEvent) -> None:
        self._heard.append([event.source_node, event.data])

    def _changed(self, name: str, status: str, _before: str | None) -> None:
        self._statuses.append([name, str(status), now_ms()])

    def say(self, text: str, target: str = "") -> str:
        """Publishes a note to all, or to one node."""
        return self._mesh.publish(NOTE, text, target_node=target)

    def write(self, key: str, value: Any) -> int:
        """Writes shared state."""
        return self._mesh.state.update_local_state(CATEGORY, key, value)

    def delete(self, key: str) -> bool:
        """Deletes shared state."""
        return self._mesh.state.delete_local_state(CATEGORY, key)

    def heard(self) -> list[list[str]]:
        """Notes that came, each with its source."""
        return self._heard

    def state(self) -> dict[str, Any]:
        """The shared state as it is here."""
        return self._mesh.state.get_local_state(CATEGORY)

    def fill(self, count: int, value: Any) -> None:
        """Writes so many keys."""
        for number in range(count):
            self.write(f"key {number}", value)

    async def expect(self, key: str) -> Any:
        """Waits for a key; its value."""
        found = asyncio.get_running_loop().create_future()
        with self._mesh.state.watch(CATEGORY, key, lambda change: found.done() or found.set_result(change.value)):
            known = self._mesh.state.get_local_state(CATEGORY, key)
            return await found if known is None else known

    async def expect_digest(self, digest: str) -> None:
        """Waits until the shared state is that of another node, by its digest."""
        await eventually(lambda: self.digest() == digest, "the same state", PATIENCE)

    def digest(self) -> str:
        """The digest of the shared state."""
        return str(self._mesh.state.get_sync_status()["categories"].get(CATEGORY, {}).get("digest", ""))

    def link(self, url: str) -> None:
        """Links to another node."""
        self._mesh.link_to(url)

    def received(self) -> int:
        """Bytes that this node's open connections have received."""
        return received_bytes()

    def statuses(self) -> list[list[Any]]:
        """Each change of a node's status since the last time: name, status, milliseconds."""
        statuses, self._statuses = self._statuses, []
        return statuses

    def look(self) -> dict[str, Any]:
        """Links, statuses of nodes and when each was heard last."""
        nodes = self._mesh.registry.get_all_nodes()
        metrics = {node["node_id"]: self._mesh.registry.get_node_metrics(node["node_id"]) or {} for node in nodes}
        return {
            "links": self._mesh.links,
            "nodes": {node["node_id"]: node["status"] for node in nodes},
            "heartbeats": {name: found.get("last_heartbeat") for name, found in metrics.items()},
        }

    def ledger(self) -> dict[str, Any]:
        """The node's ledger."""
        return self._mesh.ledger()


def put(answer: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


async def main(options: dict[str, Any]) -> None:
    mesh = MeshCore(MeshConfig(**options))
    driver = Driver(mesh)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    async with mesh:
        put({"port": mesh.port})
        while line := await reader.readline():
            name, *arguments = orjson.loads(line)
            command: Callable[..., Any] = getattr(driver, name)
            answer = command(*arguments)
            put(await answer if inspect.isawaitable(answer) else answer)
    put(mesh.ledger())


if __name__ == "__main__":
    run(main(orjson.loads(sys.argv[1])))
