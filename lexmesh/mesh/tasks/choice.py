"""Which node is given the next task of a kind.

The power of two choices (Mitzenmacher, 2001): of two nodes drawn at random the less busy one. How busy a node is the
submitter knows best itself, since it counts what it has given to each and not got back: heartbeats are up to 30 s old,
and a burst would all go to the one that was idle then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from lexmesh.mesh.registry.pool import Pool

__all__ = ["NodeChoice"]

MOST_DRAWN = 16
"""Of thousands of nodes so many are looked at."""

WINDOW_FACTOR = 2
"""Tasks that one submitter gives a node at a time, as a multiple of its places: what runs, and as much again that is
there when a place is free. What is more waits here, for whichever node is free first: so a slow one gets less."""

FIRST_WINDOW = 2
"""Until a node has said how many places it has."""

ALIKE = 2.0
"""Nodes whose speeds differ by less than this factor are taken for equal: measurements vary."""

LEAST_SERVICE = 5.0
"""Milliseconds; below, what a task takes says nothing of the node."""

WEIGHT = 0.2  # of the latest measurement in the mean

FORGET_SECONDS = 30.0
"""A measurement that is older counts no more, so that a node that was slow once is tried again."""

REPORT_SECONDS = 1.0
"""So long a node's word counts on what others have given it."""

BUSY_SECONDS = 0.05
"""A node that was too busy is given nothing more for so long."""

SHUN_SECONDS = 0.25
"""After a failure, twice as long after each further one: a node that fails fast would be idle, and get everything."""

MOST_SHUN_SECONDS = 5.0


class Standing:
    """What a submitter knows of one node, for one capability."""

    __slots__ = (
        "failures",
        "full_until",
        "measured_at",
        "others",
        "outstanding",
        "places",
        "said_at",
        "service",
        "shunned_until",
    )

    def __init__(self) -> None:
        self.outstanding = 0
        self.others = 0
        self.said_at = float("-inf")
        self.places: int | None = None
        self.service = LEAST_SERVICE
        self.measured_at = float("-inf")
        self.failures = 0
        self.shunned_until = self.full_until = float("-inf")

    def has_room(self, now: float) -> bool:
        window = FIRST_WINDOW if self.places is None else WINDOW_FACTOR * self.places
        return self.outstanding < window and now >= self.full_until

    def queue(self, now: float) -> int:
        return self.outstanding + (self.others if now - self.said_at <= REPORT_SECONDS else 0)


class NodeChoice:
    """The nodes with one capability, as one submitter sees them.

    Args:
        pick: where chance comes from.
        burden: callable(name), what else speaks against a node, from 0; see `registry.choice.total_cost`.
    """

    def __init__(self, pick: random.Random, burden: Callable[[str], float]) -> None:
        self._pick = pick
        self._burden = burden
        self._known: dict[str, Standing] = {}

    def choose(self, pool: Pool, exclude: Collection[str], now: float) -> str | None:
        """The node for the next task; None if none has room.

        Args:
            pool: the nodes that take it.
            exclude: those that must not be chosen.
            now: seconds.
        """
        fit = self._fit(pool.draw(MOST_DRAWN, self._pick), exclude, now)
        if not fit and len(pool) > MOST_DRAWN:
            fit = self._fit(pool.names(), exclude, now)
        trusted = [name for name in fit if name not in self._known or now >= self._known[name].shunned_until]
        fit = trusted or fit
        if len(fit) < 2:
            return fit[0] if fit else None
        one, other = self._pick.sample(fit, 2)
        return self._better(one, other, now)

    def _fit(self, names: Collection[str], exclude: Collection[str], now: float) -> list[str]:
        known = self._known
        return [name for name in names if name not in exclude and (name not in known or known[name].has_room(now))]

    def _better(self, one: str, other: str, now: float) -> str:
        """Of two nodes in no particular order the one that will be done sooner; the first where they are alike."""
        a, b = self._standing(one), self._standing(other)
        slower = self._speed(one, a, b, now) / self._speed(other, b, a, now)
        if 1 / ALIKE < slower < ALIKE:
            slower = 1.0
        return one if (a.queue(now) + 1) * slower <= b.queue(now) + 1 else other

    def _speed(self, name: str, standing: Standing, beside: Standing, now: float) -> float:
        """Milliseconds a task; the other node's where nothing is known."""
        measured = standing if now - standing.measured_at <= FORGET_SECONDS else beside
        return measured.service * (1 + self._burden(name))

    def _standing(self, name: str) -> Standing:
        return self._known.setdefault(name, Standing())

    # -- what has become of tasks -----------------------------------------------------------------------------------

    def asked(self, name: str) -> None:
        """A node has been given a task."""
        self._standing(name).outstanding += 1

    def ended(self, name: str) -> None:
        """A node has given a task back, or it was taken away."""
        standing = self._standing(name)
        standing.outstanding = max(0, standing.outstanding - 1)

    def said(self, name: str, load: int, places: int, now: float) -> None:
        """A node has said how much it has.

        Args:
            name: the node.
            load: tasks of this capability that run or wait there, whoever gave them.
            places: how many it runs at a time.
            now: seconds.
        """
        standing = self._standing(name)
        standing.others, standing.said_at = max(0, load - standing.outstanding), now
        standing.places = places

    def took(self, name: str, milliseconds: float, now: float) -> None:
        """A node has done a task."""
        standing = self._standing(name)
        service = max(LEAST_SERVICE, milliseconds)
        is_fresh = now - standing.measured_at <= FORGET_SECONDS
        standing.service = standing.service + WEIGHT * (service - standing.service) if is_fresh else service
        standing.measured_at = now
        standing.failures = 0
        standing.shunned_until = float("-inf")

    def failed(self, name: str, now: float) -> None:
        """A node has failed, or is silent: others come first for a while."""
        standing = self._standing(name)
        standing.shunned_until = now + min(MOST_SHUN_SECONDS, SHUN_SECONDS * 2 ** min(standing.failures, 10))
        standing.failures += 1

    def busy(self, name: str, now: float, seconds: float = BUSY_SECONDS) -> None:
        """A node takes nothing more for the moment."""
        self._standing(name).full_until = now + seconds

    def forget(self, name: str) -> None:
        """A node is gone; one of that name is a new one."""
        self._known.pop(name, None)
