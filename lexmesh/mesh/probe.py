"""Whether a linked node answers, how long that takes, and what time of the mesh it has."""

from __future__ import annotations

from typing import Any

from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.clock import FrequencySync
from lexmesh.mesh.node_link import NodeLink
from lexmesh.mesh.node_links import NodeLinks
from lexmesh.mesh.registry.table import NodeTable
from lexmesh.transports.wall_clock import wall_ms

__all__ = ["ANSWER", "PROBE", "Probes"]

PROBE = RESERVED_PREFIX + "mesh.probe"
ANSWER = RESERVED_PREFIX + "mesh.answer"

MOST_UNANSWERED = 4
"""Probes after which a link is cut: TCP itself would take many minutes to notice that nobody is there. Counted in
probes sent and not in time, so that a node that was held up itself does not blame the others."""

SMOOTHING = 0.25
"""Share of a new round trip in the one that is kept (RFC 6298 takes an eighth, of many more)."""


class Probes:
    """Questions to linked nodes, each answered by them at once.

    Args:
        links: the node's.
        table: learns round trips.
        phase: learns whose time is how far off.
    """

    def __init__(self, links: NodeLinks, table: NodeTable, phase: FrequencySync) -> None:
        self._links = links
        self._table = table
        self._phase = phase

    def ask(self, link: NodeLink) -> None:
        """Asks one node."""
        link.unanswered += 1
        link.send(PROBE, {"sent": wall_ms()})

    def ask_all(self) -> None:
        """Asks all linked nodes, and cuts the links to those that are silent."""
        for link in self._links:
            if link.unanswered >= MOST_UNANSWERED:
                link.session.cut()
                if not link.session.is_open:  # a link that outlives its streams, and has none
                    link.session.close()
            else:
                self.ask(link)

    def receive(self, link: NodeLink, kind: str, data: Any) -> None:
        """Answers a probe, or takes in the answer to one."""
        sent, their_time = _number_in(data, "sent"), _number_in(data, "time")
        now = wall_ms()
        if sent is None:
            return
        if kind == PROBE:
            link.send(ANSWER, {"sent": sent, "time": self._phase.time(now)})
        elif their_time is not None and sent <= now:
            self._phase.measure(link.name, sent, their_time, now)
            self._took(link.name, now - sent)

    def _took(self, name: str, round_trip: float) -> None:
        node = self._table.get(name)
        if node is not None:
            known = round_trip if node.rtt is None else node.rtt
            node.rtt = known + SMOOTHING * (round_trip - known)

    def forget(self, name: str) -> None:
        """A node is linked no more."""
        self._phase.forget(name)


def _number_in(data: Any, name: str) -> float | None:
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
