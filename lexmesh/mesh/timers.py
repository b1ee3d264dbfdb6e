"""What a node does when it is time, whatever messages come."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial

from lexmesh.config import MeshConfig
from lexmesh.mesh.clock import FrequencySync
from lexmesh.mesh.membership import Membership
from lexmesh.mesh.registry.table import NodeTable
from lexmesh.transports.wall_clock import now_ms, wall_ms

__all__ = ["MeshTimers"]

PROBE_SECONDS = 1.5
"""Between two questions to each linked node: one that vanished is noticed after four to five of them."""

MISSED_LOOKS = 2
"""A node that comes so many turns late to look for silent ones was held up itself."""

logger = logging.getLogger("lexmesh.mesh")


class MeshTimers:
    """The periodic work of one node.

    Args:
        config: intervals.
        phase: when a tick is, and this node's slot in an interval.
        members: beats, compares and looks after links.
        table: looked through for nodes that are silent.
        tick: callable(number), at each tick of the common phase.
    """

    def __init__(
        self,
        config: MeshConfig,
        phase: FrequencySync,
        members: Membership,
        table: NodeTable,
        tick: Callable[[int], None],
    ) -> None:
        self._config = config
        self._phase = phase
        self._members = members
        self._table = table
        self._tick = tick
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def running(self) -> bool:
        """Whether they have been started and not stopped."""
        return bool(self._tasks)

    def start(self) -> None:
        """Begins, on the running event loop."""
        loop = asyncio.get_running_loop()
        beat_seconds = self._config.heartbeat_interval
        look_seconds = min(PROBE_SECONDS, beat_seconds / 4)
        self._table.most_pause = MISSED_LOOKS * look_seconds * 1000
        work = (
            self._in_slots(beat_seconds, lambda: self._members.heartbeats.beat(now_ms())),
            self._in_slots(self._config.sync_interval, self._members.compare),
            self._every(PROBE_SECONDS, self._members.look_after),
            self._every(look_seconds, lambda: self._table.sweep(now_ms())),
            self._ticks(),
        )
        self._tasks = [loop.create_task(one) for one in work]

    def stop(self) -> None:
        """Ends all."""
        self._table.most_pause = math.inf
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            _safely(work)

    async def _in_slots(self, seconds: float, work: Callable[[], None]) -> None:
        """Works once an interval, at this node's slot of it."""
        interval = seconds * 1000
        when = 0.0
        while True:
            now, earliest = wall_ms(), when + interval / 2
            if earliest > now + interval:  # the clock was set back
                earliest = now
            # moving to the others' time must not bring two turns in a row
            when = self._phase.next_slot(interval, max(now, earliest))
            await _until(when)
            _safely(work)

    async def _ticks(self) -> None:
        tick = 0
        while True:
            # corrected backwards, mesh time comes by the same tick once more
            tick = max(tick, self._phase.tick(wall_ms())) + 1
            await _until(self._phase.when(tick))
            _safely(partial(self._tick, tick))


async def _until(when: float) -> None:
    """Sleeps until a time of this node's wall clock, in milliseconds."""
    await asyncio.sleep(max(0.0, when - wall_ms()) / 1000)


def _safely(work: Callable[[], None]) -> None:
    """Does a timer's work; what goes wrong there, in a user's discovery callback perhaps, ends no timer."""
    try:
        work()
    except Exception:
        logger.exception("a timer of the mesh failed")
