"""Heartbeats: each reaches every node, passed on by each once, at once.

They are flooded rather than gossiped as ages: gossip adds up to an interval a hop, so that far nodes would learn late
who is gone, and a node that is gone would go on being talked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.node_links import NodeLinks

__all__ = ["BEAT", "Heartbeats"]

BEAT = RESERVED_PREFIX + "mesh.beat"


class Heartbeats:
    """The heartbeats of one node, and those it has heard.

    Args:
        registry: learns of them.
        links: carry them.
        load: makes the fields of Load, and is called once a heartbeat.
        interval: milliseconds between two of one node.
    """

    def __init__(
        self, registry: MeshRegistry, links: NodeLinks, load: Callable[[], dict[str, Any]], interval: float
    ) -> None:
        self._table = registry.table
        self._links = links
        self._load = load
        self._interval = interval
        self._number = 0
        self._latest: dict[str, tuple[int, dict[str, Any]]] = {}  # by node: when it came, and the message

    def beat(self, now: int) -> None:
        """Tells the mesh that this node is well."""
        own = self._table.own
        self._number += 1
        load = self._load()
        data = {"node": own.node_id, "epoch": own.epoch, "number": self._number, "load": load}
        self._table.heartbeat(own.node_id, own.epoch, load, now)
        self._latest[own.node_id] = now, data
        self._links.tell(BEAT, data)

    def greet(self, link: Correspondent, now: int) -> None:
        """Tells a node that has just been linked whose heartbeats are fresh."""
        for name, (heard, data) in list(self._latest.items()):
            if self._table.get(name) is None:
                del self._latest[name]
            elif now - heard <= self._interval:
                link.send(BEAT, data)

    def introduce(self, link: Correspondent) -> None:
        """Tells a node of this one's own latest heartbeat."""
        latest = self._latest.get(self._table.own.node_id)
        if latest is not None:
            link.send(BEAT, latest[1])

    def receive(self, link: Correspondent, data: Any, now: int) -> bool:
        """Takes in a heartbeat, and passes it on if it is new.

        Args:
            link: where it came from.
            data: its data; anything.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Whether it was of a node that is known, in the life that is known.
        """
        if not _is_beat(data):
            return True
        name, epoch, number = data["node"], data["epoch"], data["number"]
        node = self._table.get(name)
        if node is None or node.entry.epoch < epoch:
            return False
        if node.entry.epoch > epoch or name == self._table.own.node_id or not self._is_new(name, epoch, number):
            return True
        if self._table.heartbeat(name, epoch, data["load"], now):
            self._latest[name] = now, data
            self._links.tell(BEAT, data, but=link)
        return True

    def _is_new(self, name: str, epoch: int, number: int) -> bool:
        known = self._latest.get(name)
        return known is None or (known[1]["epoch"], known[1]["number"]) < (epoch, number)


def _is_beat(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and isinstance(data.get("node"), str)
        and isinstance(data.get("load"), dict)
        and all(type(data.get(name)) is int for name in ("epoch", "number"))
    )
