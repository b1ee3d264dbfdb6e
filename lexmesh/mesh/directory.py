"""How nodes tell each other who is in the mesh: news at once, digests now and then for what was missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import orjson

from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.node_links import NodeLinks
from lexmesh.mesh.parts import in_parts
from lexmesh.mesh.registry.node import NodeEntry
from lexmesh.mesh.registry.table import NodeTable

__all__ = ["DIGEST", "NODES", "Directory"]

NODES = RESERVED_PREFIX + "mesh.nodes"
DIGEST = RESERVED_PREFIX + "mesh.digest"


class Directory:
    """A node's entries and those of others, exchanged over its links.

    Args:
        table: what is known.
        links: carry it.

    Attributes:
        on_news: each a callable(), told when entries have changed.
    """

    def __init__(self, table: NodeTable, links: NodeLinks) -> None:
        self._table = table
        self._links = links
        self.on_news: list[Callable[[], None]] = []

    def announce(self) -> None:
        """Tells all of this node's own entry, which has changed."""
        self._links.tell(NODES, {"entries": [self._table.own.data()]})

    def introduce(self, link: Correspondent) -> None:
        """Tells one node of this one's own entry."""
        link.send(NODES, {"entries": [self._table.own.data()]})

    def learn(self, link: Correspondent, entry: NodeEntry, now: int) -> None:
        """Takes the entry that came with a hello, and passes it on."""
        self._merge(link, [entry.data()], now)

    def compare(self, link: Correspondent) -> None:
        """Asks a node what it knows that is not known here; what both know the same costs 16 hex digits."""
        link.send(DIGEST, {"whole": self._whole()})

    def receive(self, link: Correspondent, kind: str, data: Any, now: int) -> bool:
        """Takes in what another node's directory sent, and answers it.

        Args:
            link: where it came from.
            kind: the message's type.
            data: its data; anything.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Whether this node has begun anew for the others: it goes by another epoch now, of which they know no
            heartbeat.
        """
        epoch = self._table.own.epoch
        if not isinstance(data, dict):
            return False
        if kind == NODES and isinstance(data.get("entries"), list):
            link.epoch = _epoch_of(link.name, data["entries"]) or link.epoch
            self._merge(link, data["entries"], now)
        elif kind == DIGEST and isinstance(data.get("versions"), dict):
            self._answer(link, data["versions"], is_answer=data.get("answer") is True)
        elif kind == DIGEST and data.get("whole") != self._whole():
            link.send(DIGEST, {"versions": self._table.digest()})
        return self._table.own.epoch != epoch

    def _answer(self, link: Correspondent, versions: dict[str, Any], *, is_answer: bool) -> None:
        for entries in in_parts(self._table.newer_than(versions)):
            link.send_piece(NODES, {"entries": entries})
        if not is_answer:
            link.send(DIGEST, {"versions": self._table.digest(), "answer": True})

    def _merge(self, link: Correspondent, entries: Iterable[Any], now: int) -> None:
        names = self._table.merge(entries, now)
        if self._table.own.node_id in names:  # who sent that entry has to hear that there is a later one
            link.send(NODES, {"entries": [self._table.own.data()]})
        changed = [self._table.get(name) for name in names]
        for part in in_parts([node.entry.data() for node in changed if node is not None]):
            self._links.tell(NODES, {"entries": part}, but=link)
        for told in self.on_news if changed else ():
            told()

    def _whole(self) -> str:
        versions = orjson.dumps(self._table.digest(), option=orjson.OPT_SORT_KEYS)
        return blake2b(versions, digest_size=8).hexdigest()


def _epoch_of(name: str, entries: Iterable[Any]) -> int:
    """By which epoch a node goes that has sent its own entry, among others perhaps; 0 if it has not."""
    epochs = (one.get("epoch") for one in entries if isinstance(one, dict) and one.get("node_id") == name)
    return max((epoch for epoch in epochs if type(epoch) is int), default=0)
