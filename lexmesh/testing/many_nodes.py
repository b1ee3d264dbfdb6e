"""How long many nodes take to find each other, and what they say to each other for it and afterwards."""

from __future__ import annotations

import logging
import time
from typing import Any

from lexmesh.testing.mesh_network import MeshNetwork

__all__ = ["report"]

LONGEST = 600.0  # virtual seconds until it is given up

SETTLED = 10.0
"""Virtual seconds after which the links that nodes make by themselves are as they stay."""

LISTENED = 3.0
"""Virtual seconds of an idle mesh that are counted: heartbeats are spread over their interval."""

_LEN = 0x80  # of a varint: more follows


def messages_in(batch: bytes) -> int:
    """How many events a serialised Batch has: each is a tag of one byte, a length, and so many bytes."""
    count = at = 0
    while at < len(batch):
        at, size, shift = at + 1, 0, 0
        while True:
            byte = batch[at]
            at, size, shift = at + 1, size | (byte & (_LEN - 1)) << shift, shift + 7
            if byte < _LEN:
                break
        at += size
        count += 1
    return count


class _Counting:
    """What nodes have sent since the last look."""

    def __init__(self, net: MeshNetwork) -> None:
        self._net = net
        self.messages = 0
        self._bytes = 0
        note = net.trace.note

        def counting(time: float, kind: str, source: str, target: str, content: bytes = b"") -> None:
            self.messages += messages_in(content)
            note(time, kind, source, target, content)

        net.trace.note = counting  # type: ignore[method-assign]

    def per_node(self, nodes: int) -> dict[str, float]:
        """Messages and bytes that a node has sent on average since the last call."""
        messages, self.messages = self.messages, 0
        total = sum(self._net.trace.bytes.values())
        size, self._bytes = total - self._bytes, total
        return {"messages_per_node": round(messages / nodes, 1), "bytes_per_node": round(size / nodes)}


async def _measure(net: MeshNetwork, nodes: int, learned_links: int, interval: float) -> dict[str, Any]:
    counting = _Counting(net)
    net.shape(delay=0.0005, jitter=0.0005)
    for number in range(nodes):
        peers = [f"n{net.random.randrange(number)}"] if number else []
        await net.node(f"n{number}", peers, learned_links=learned_links)
    found: dict[str, Any] = {"convergence_seconds": round(await net.converged(timeout=LONGEST), 2)}
    found["join"] = counting.per_node(nodes)
    net["n0"].state.update_local_state("bench", "key", 1)
    found["state_seconds"] = round(await net.converged(timeout=LONGEST), 2)
    await net.run(SETTLED)
    counting.per_node(nodes)
    seconds = min(interval, LISTENED)
    await net.run(seconds)
    idle = {name: round(value / seconds, 1) for name, value in counting.per_node(nodes).items()}
    links = sum(len(net[name].links) for name in net.names) / nodes
    return {**found, "idle_per_second": idle, "links_per_node": round(links, 1)}


def report(nodes: int, seed: int, learned_links: int = 4, heartbeat_interval: float = 30.0) -> dict[str, Any]:
    """Simulates a mesh, and says how it fared.

    Args:
        nodes: how many there are; each is told of one that started before it.
        seed: of all chance.
        learned_links: as in MeshConfig.
        heartbeat_interval: as in MeshConfig, seconds.

    Returns:
        `convergence_seconds` from the last start until all know all, `state_seconds` for a key to be everywhere (both
        virtual); `join` and `idle_per_second`, messages and bytes that a node sends; `links_per_node`; what it cost:
        `cpu_seconds`; and what was asked for.
    """
    logging.disable(logging.CRITICAL)
    begun = time.process_time()
    net = MeshNetwork(seed, heartbeat_interval=heartbeat_interval)
    found = net.play(_measure(net, nodes, learned_links, heartbeat_interval))
    asked = {"nodes": nodes, "seed": seed, "learned_links": learned_links, "heartbeat_interval": heartbeat_interval}
    return {**asked, **found, "cpu_seconds": round(time.process_time() - begun, 1)}
