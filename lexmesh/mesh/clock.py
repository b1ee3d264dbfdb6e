"""The mesh's common phase: 0.0043 Hz, a tick each 232.558 s, the same on every node without a leader.

The phase is a function of wall time, so nodes whose clocks agree are in step without a word. Heartbeats measure how far
others' mesh time is from ours (RFC 5905, section 8: half the round trip is the error), and each node moves to the mean
of what it measured, itself included, so that neighbours who see each other only in part still meet (Olfati-Saber, Fax
and Murray, "Consensus and Cooperation in Networked Multi-Agent Systems", 2007). Who measures five and more leaves out
the farthest fifth at either end: a clock that lies moves nobody far.
"""

from __future__ import annotations

import cmath
import math
from hashlib import blake2b
from statistics import fmean
from typing import Any

from lexmesh.node_names import check_node_id

__all__ = ["FREQUENCY", "MOST_OFFSET_MS", "MOST_ROUND_TRIP_MS", "FrequencySync"]

FREQUENCY = 0.0043
"""Hertz."""

MOST_ROUND_TRIP_MS = 2_000
"""Slower heartbeats measure too badly to be used."""

MOST_OFFSET_MS = 60_000
"""A clock further off is broken, and left to itself."""

MOST_NODES = 10_000


class FrequencySync:
    """A node's part of the common phase.

    Args:
        node_id: this node's name.
        frequency: hertz, 1e-6 to 1000.

    Attributes:
        frequency: hertz.
        period: milliseconds of one turn.
        correction: milliseconds that mesh time is ahead of this node's clock.

    Raises:
        TypeError: if the name is no text or the frequency no number.
        ValueError: if the name is none or the frequency out of range.
    """

    def __init__(self, node_id: str, frequency: float = FREQUENCY) -> None:
        if not isinstance(frequency, int | float) or isinstance(frequency, bool):
            raise TypeError(f"frequency must be a number of hertz, {type(frequency).__name__} is not")
        if not 1e-6 <= frequency <= 1000:
            raise ValueError(f"frequency = {frequency!r}: must be 0.000001 to 1000 Hz")
        self.node_id = check_node_id(node_id)
        self.frequency = frequency
        self.period = 1000 / frequency
        self.correction = 0.0
        self._offsets: dict[str, float] = {}
        self._slot = int.from_bytes(blake2b(node_id.encode(), digest_size=6).digest(), "big") / (1 << 48)

    # -- where we are -----------------------------------------------------------------------------------------------

    def time(self, now: float) -> float:
        """Mesh time in milliseconds since 1970-01-01 UTC; `now` is this node's."""
        return now + self.correction

    def tick(self, now: float) -> int:
        """How many turns there were since 1970-01-01 UTC."""
        return math.floor(self.time(now) * self.frequency / 1000)

    def phase(self, now: float) -> float:
        """Where in the turn we are: 0 at a tick, below 1."""
        turns = self.time(now) * self.frequency / 1000
        return turns - math.floor(turns)

    def when(self, tick: int) -> float:
        """When a tick is, in milliseconds of this node's clock.

        It is reckoned from its number, not from the tick before, so no error adds up.
        """
        return tick * 1000 / self.frequency - self.correction

    def next_slot(self, interval: float, now: float) -> float:
        """When this node's turn at periodic work comes next: nodes have slots spread over the interval by their names.

        Args:
            interval: milliseconds between two turns of a node.
            now: milliseconds of this node's clock.

        Returns:
            Milliseconds of this node's clock, after now.
        """
        mesh_time = self.time(now)
        offset = self._slot * interval
        number = math.floor((mesh_time - offset) / interval) + 1
        return number * interval + offset - self.correction

    # -- what others say --------------------------------------------------------------------------------------------

    def measure(self, node: str, sent: float, their_time: float, received: float) -> float | None:
        """Takes in one exchange with another node, and moves towards it.

        Args:
            node: its name.
            sent: when this node asked, milliseconds of its clock.
            their_time: mesh time there when it answered.
            received: when the answer came.

        Returns:
            How far the other's mesh time is ahead, milliseconds; None if it was not used.
        """
        round_trip = received - sent
        if not 0 <= round_trip <= MOST_ROUND_TRIP_MS or (
            node not in self._offsets and len(self._offsets) >= MOST_NODES
        ):
            return None
        offset = their_time - self.time(sent + round_trip / 2)
        if not abs(offset) <= MOST_OFFSET_MS:  # NaN is not used either
            return None
        self._offsets[node] = offset
        self._move(_middle([0.0, *self._offsets.values()]))
        return offset

    def forget(self, node: str) -> None:
        """A node is gone: it counts no more."""
        self._offsets.pop(node, None)

    def _move(self, by: float) -> None:
        """Corrects mesh time; what was measured before is now off by as much less."""
        self.correction += by
        for node in self._offsets:
            self._offsets[node] -= by

    # -- for metrics and events -------------------------------------------------------------------------------------

    def coherence(self) -> float:
        """How well phases agree, as last measured: 1 in step, near 0 when spread over the turn.

        The order parameter of Kuramoto, "Chemical Oscillations, Waves, and Turbulence" (1984).
        """
        offsets = [0.0, *self._offsets.values()]
        return abs(sum(cmath.exp(2j * math.pi * offset / self.period) for offset in offsets)) / len(offsets)

    def event(self, tick: int, now: float) -> dict[str, Any]:
        """Data of the `bio_sync` event for a tick.

        Returns:
            `frequency` (Hz), `tick`, `phase` (0 to 1), `coherence` (0 to 1), `correction` (ms), `nodes` measured.
        """
        return {
            "frequency": self.frequency,
            "tick": tick,
            "phase": round(self.phase(now), 6),
            "coherence": round(self.coherence(), 6),
            "correction": round(self.correction, 3),
            "nodes": len(self._offsets),
        }


def _middle(offsets: list[float]) -> float:
    spare = len(offsets) // 5 if len(offsets) > 5 else 0
    return fmean(sorted(offsets)[spare : len(offsets) - spare])
