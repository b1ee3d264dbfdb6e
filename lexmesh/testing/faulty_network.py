"""A network in memory that is as slow, lossy and parted as it is told to be, by one seed.

Links are streams, as over TCP: what is lost on the way is sent again, so it comes late and all that follows it waits;
what is parted waits until somebody gives up or the network heals; a connection that breaks takes along what was under
way. Nothing overtakes anything within a connection, but another connection may. Batches may come twice in a row, as a
transport that repeats what was not confirmed would have them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass, replace

from lexmesh.testing.trace import Trace
from lexmesh.transports.memory_network import MemoryNetwork
from lexmesh.transports.memory_stream import RESET, Answer, Opening, Pipe, Segment

__all__ = ["FaultyNetwork", "Path"]

FIRST_RETRY = 0.2
LONGEST_RETRY = 60.0
"""Seconds until what was lost is sent again, doubled each time (RFC 6298; Linux begins with 0.2 s)."""

MOST_RETRIES = 6
"""In a row, of a segment that chance loses: a path that is to carry nothing is parted."""


@dataclass(frozen=True, slots=True)
class Path:
    """How one direction between two nodes is.

    Args:
        delay: seconds that a segment takes.
        jitter: seconds that it may take longer, drawn evenly.
        loss: share of segments that are lost, and sent again; 0 to 1.
        duplication: share of Batches that come twice; 0 to 1.
    """

    delay: float = 0.001
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


class Flow:
    """What the network knows of one direction of a connection."""

    __slots__ = ("lives", "retry", "retrying", "until", "waiting")

    def __init__(self, lives: tuple[int, int]) -> None:
        self.lives = lives  # of source and target, which a crash ends
        self.until = 0.0  # when the last segment under way arrives
        self.waiting: deque[Segment] = deque()  # what the network has not taken
        self.retry = FIRST_RETRY
        self.retrying = False


class FaultyNetwork(MemoryNetwork):
    """Carries what nodes say to each other.

    Args:
        chance: decides what is lost, delayed and repeated.
        trace: learns of all that arrives.

    Attributes:
        default: how paths are that `paths` does not name, by source and target.
        is_over: whether nothing is carried any more.
    """

    def __init__(self, chance: random.Random, trace: Trace) -> None:
        super().__init__()
        self.default = Path()
        self.paths: dict[tuple[str, str], Path] = {}
        self.is_over = False
        self._chance = chance
        self._trace = trace
        self._parted: dict[tuple[str, str], None] = {}
        self._lives: dict[str, int] = {}
        self._off: dict[str, None] = {}
        self._pipes: dict[Pipe, None] = {}  # one of each connection
        self._prune_at = 64
        self._context: Context = copy_context()

    # -- faults -----------------------------------------------------------------------------------------------------

    def shape(self, source: str | None, target: str | None, **fields: float) -> None:
        """Changes how a path is, fields as in Path; None for all names."""
        if source is None and target is None:
            self.default = replace(self.default, **fields)
        for way in [way for way in self.paths if source in (None, way[0]) and target in (None, way[1])]:
            self.paths[way] = replace(self.paths[way], **fields)
        if source is not None and target is not None:
            self.paths[source, target] = replace(self._path(source, target), **fields)

    def part(self, sources: Iterable[str], targets: Iterable[str]) -> None:
        """Lets nothing through in one direction."""
        targets = list(targets)
        self._parted.update(((source, target), None) for source in sources for target in targets if source != target)

    def heal(self) -> None:
        """Lets everything through."""
        self._parted.clear()

    def reset(self, touches: Callable[[Pipe], bool]) -> None:
        """Breaks connections: both ends learn of it at once, and what was under way is lost."""
        for pipe in [pipe for pipe in self._pipes if touches(pipe)]:
            del self._pipes[pipe]
            pipe.lose()
            pipe.back.lose()

    def crash(self, name: str, *, silent: bool) -> None:
        """Ends a node's life: its connections are reset by its machine, or, if that is gone too, silent."""
        self.stop_listening(name)
        if silent:
            self._off[name] = None
        ways = [way for pipe in self._pipes for way in (pipe, pipe.back) if way.source == name]
        for way in () if silent else ways:
            self.carry(way, RESET)
        self._lives[name] = self._lives.get(name, 0) + 1

    def switch_on(self, name: str) -> None:
        """A machine that was gone is back."""
        self._off.pop(name, None)

    # -- carrying ---------------------------------------------------------------------------------------------------

    def carry(self, pipe: Pipe, segment: Segment) -> None:
        """Takes a segment to the end of a pipe, sooner or later or never."""
        if self.is_over:
            return
        if pipe.flow is None:
            self._begin(pipe)
        flow: Flow = pipe.flow
        loop = asyncio.get_running_loop()
        flow.until = max(flow.until, loop.time() + self._delay(self._path(pipe.source, pipe.target)))
        loop.call_at(flow.until, self._arrive, pipe, segment, context=self._context)

    def _begin(self, pipe: Pipe) -> None:
        source, target = self._lives.get(pipe.source, 0), self._lives.get(pipe.target, 0)
        pipe.flow, pipe.back.flow = Flow((source, target)), Flow((target, source))
        self._pipes[pipe] = None
        if len(self._pipes) > self._prune_at:
            self._pipes = {one: None for one in self._pipes if not (one.is_broken and one.back.is_broken)}
            self._prune_at = 2 * len(self._pipes) + 64

    def _path(self, source: str, target: str) -> Path:
        return self.paths.get((source, target), self.default)

    def _delay(self, path: Path) -> float:
        delay, retry = path.delay, FIRST_RETRY
        if path.jitter:
            delay += self._chance.uniform(0, path.jitter)
        for _ in range(MOST_RETRIES if path.loss else 0):
            if self._chance.random() >= path.loss:
                break
            delay += retry
            retry *= 2
        return delay

    def _is_parted(self, pipe: Pipe) -> bool:
        way = (pipe.source, pipe.target)
        return way in self._parted or pipe.source in self._off or pipe.target in self._off

    def _arrive(self, pipe: Pipe, segment: Segment) -> None:
        flow: Flow = pipe.flow
        if pipe.is_broken or self.is_over:
            return
        if not flow.waiting and not self._is_parted(pipe):
            self._hand_over(pipe, segment)
            return
        flow.waiting.append(segment)
        if not flow.retrying:
            flow.retrying = True
            flow.retry = FIRST_RETRY
            self._retry_later(pipe, flow)

    def _retry_later(self, pipe: Pipe, flow: Flow) -> None:
        asyncio.get_running_loop().call_later(flow.retry, self._retry, pipe, flow, context=self._context)

    def _retry(self, pipe: Pipe, flow: Flow) -> None:
        if pipe.is_broken or self._lives.get(pipe.source, 0) != flow.lives[0]:  # nobody is left to send it again
            flow.waiting.clear()
        elif self._is_parted(pipe):
            flow.retry = min(2 * flow.retry, LONGEST_RETRY)
            self._retry_later(pipe, flow)
            return
        flow.retrying = False
        while flow.waiting:
            self._hand_over(pipe, flow.waiting.popleft())

    def _hand_over(self, pipe: Pipe, segment: Segment) -> None:
        flow: Flow = pipe.flow
        if isinstance(segment, Opening):  # for whoever is there now
            flow.lives = flow.lives[0], self._lives.get(pipe.target, 0)
            pipe.back.flow.lives = flow.lives[::-1]
        if self._lives.get(pipe.target, 0) != flow.lives[1]:
            if segment is not RESET:  # the machine knows of no such connection
                self.carry(pipe.back, RESET)
            return
        self._note(pipe, segment)
        self.deliver(pipe, segment)
        if isinstance(segment, bytes):
            duplication = self._path(pipe.source, pipe.target).duplication
            if duplication and self._chance.random() < duplication:
                self._note(pipe, segment)
                pipe.repeat(segment)

    def _note(self, pipe: Pipe, segment: Segment) -> None:
        kind, content = "batch", b""
        if isinstance(segment, bytes):
            content = segment
        elif isinstance(segment, Opening | Answer):
            kind = "open" if isinstance(segment, Opening) else "answer"
        else:
            kind = "reset" if segment.is_reset else "end"
        self._trace.note(asyncio.get_running_loop().time(), kind, pipe.source, pipe.target, content)
