"""Heartbeats: each reaches every node, passed on by each once, at once.

They are flooded rather than gossiped as ages: gossip adds up to an interval a hop, so that far nodes would learn late
who is gone, and a node that is gone would go on being talked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.node_links import NodeLinks
from lexmesh.mesh.parts import MOST_ITEMS, in_parts

__all__ = ["BEAT", "Heartbeats"]

BEAT = RESERVED_PREFIX + "mesh.beat"

MOST_EARLY = 1024
"""Heartbeats that are kept until their nodes' entries come."""


class Heartbeats:
    """The heartbeats of one node, and those it has heard.

    Args:
        registry: learns of them.
        links: carry them.
        load: makes the fields of Load, and is called once a heartbeat.
        interval: milliseconds between two of one node.

    Attributes:
        on_beat: callable(name of the node), told of each that is taken in.
    """

    def __init__(
        self, registry: MeshRegistry, links: NodeLinks, load: Callable[[], dict[str, Any]], interval: float
    ) -> None:
        self._table = registry.table
        self._links = links
        self._load = load
        self._interval = interval
        self._number = 0
        self.on_beat: Callable[[str], object] = lambda _name: None
        self._early: dict[str, tuple[Correspondent, dict[str, Any]]] = {}  # of nodes whose entry has not come yet
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
        self.on_beat(own.node_id)

    def greet(self, link: Correspondent, now: int) -> None:
        """Tells a node that has just been linked whose heartbeats are fresh."""
        for part in in_parts([data for _, data in self._fresh(now)]):
            link.send_piece(BEAT, {"beats": part})

    def introduce(self, link: Correspondent, versions: Mapping[str, Any], now: int) -> None:
        """Tells a node of the fresh heartbeats of those whom it has only just learned of.

        Args:
            link: to the node, which has been sent their entries.
            versions: what it knew before, as `NodeTable.digest` returns it; anything.
            now: milliseconds since 1970-01-01 UTC.
        """
        known = {name: rank[:1] for name, rank in versions.items() if isinstance(rank, list)}
        for part in in_parts([data for name, data in self._fresh(now) if known.get(name) != [data["epoch"]]]):
            link.send_piece(BEAT, {"beats": part})

    def _fresh(self, now: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, (heard, data) in list(self._latest.items()):
            if self._table.get(name) is None:
                del self._latest[name]
            elif now - heard <= self._interval:
                yield name, data

    def present(self, link: Correspondent) -> None:
        """Tells a node of this one's own latest heartbeat."""
        latest = self._latest.get(self._table.own.node_id)
        if latest is not None:
            link.send(BEAT, latest[1])

    def receive(self, link: Correspondent, data: Any, now: int) -> bool:
        """Takes in a heartbeat, or several, and passes on those that are new.

        Args:
            link: where it came from.
            data: its data; anything.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Whether each was of a node that is known, in the life that is known.
        """
        several = data.get("beats") if isinstance(data, dict) else None
        beats = [beat for beat in (several if isinstance(several, list) else [data]) if _is_beat(beat)]
        unknown = [beat for beat in beats[:MOST_ITEMS] if not self._is_known(link, beat)]
        self._pass_on(link, [beat for beat in beats[:MOST_ITEMS] if self._take(beat, now)])
        return not unknown

    def _is_known(self, link: Correspondent, beat: dict[str, Any]) -> bool:
        """Whether a heartbeat is of a node that is known; one that is not is kept until its entry comes."""
        node = self._table.get(beat["node"])
        if node is not None and node.entry.epoch >= beat["epoch"]:
            return True
        if len(self._early) < MOST_EARLY:
            self._early[beat["node"]] = link, beat
        return False

    def _take(self, beat: dict[str, Any], now: int) -> bool:
        """Takes in one heartbeat; whether it is news to others."""
        name, epoch = beat["node"], beat["epoch"]
        if name == self._table.own.node_id or not self._is_new(name, epoch, beat["number"]):
            return False
        if not self._table.heartbeat(name, epoch, beat["load"], now):
            return False
        self._latest[name] = now, beat
        self.on_beat(name)
        return True

    def _pass_on(self, link: Correspondent, beats: list[dict[str, Any]]) -> None:
        if len(beats) == 1:
            self._links.tell(BEAT, beats[0], but=link)
        elif beats:
            self._links.tell(BEAT, {"beats": beats}, but=link)

    def catch_up(self, now: int) -> None:
        """Takes in again what came before its node's entry: else a new node would not be active for an interval."""
        early, self._early = self._early, {}
        by_link: dict[Correspondent, list[dict[str, Any]]] = {}
        for link, beat in early.values():
            by_link.setdefault(link, []).append(beat)
        for link, beats in by_link.items():
            for part in in_parts(beats):
                self.receive(link, {"beats": part}, now)

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
