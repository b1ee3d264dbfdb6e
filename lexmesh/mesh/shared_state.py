"""Carries a node's shared state over its links."""

from __future__ import annotations

import asyncio
from typing import Any

from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.node_links import NodeLinks
from lexmesh.mesh.state.anti_entropy import DELTA
from lexmesh.mesh.synchronizer import StateSynchronizer

__all__ = ["SharedState"]

SETTLE_SECONDS = 0.2
"""How long after a round that brought something new the other neighbours are compared with: one comparison for all."""


class SharedState:
    """What the synchronizer says to others, and what they say to it.

    A change is passed on by each node for which it is new, so it crosses a mesh of any shape in as many hops as that is
    wide. What a round brings is not passed on piece by piece, since a new node would repeat all of it to all others:
    they compare digests with it.

    Args:
        state: the synchronizer.
        links: the node's.
    """

    def __init__(self, state: StateSynchronizer, links: NodeLinks) -> None:
        self._state = state
        self._links = links
        self._settling: set[str] | None = None  # whom what is new now came from
        state.send_with(self._send, self._flush_soon)

    def compare(self, link: Correspondent) -> None:
        """Begins a round with a node: what differs is exchanged."""
        self._state.begin_round(link.name)

    def receive(self, link: Correspondent, kind: str, data: Any) -> None:
        """Takes in what another node's synchronizer said."""
        if not self._state.receive(link.name, kind, data):
            return
        if kind == DELTA:
            self._links.tell(kind, data, but=link)
        elif self._settling is None:
            self._settling = {link.name}
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settled)
        else:
            self._settling.add(link.name)

    def _settled(self) -> None:
        sources, self._settling = self._settling or set(), None
        for link in self._links:
            if sources != {link.name}:
                self.compare(link)

    def _flush_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._state.flush)

    def _send(self, target: str, kind: str, data: Any) -> None:
        if not target:
            self._links.tell(kind, data)
        elif (link := self._links.reach(target)) is not None:
            link.send_piece(kind, data)
