"""The desk of a node that works: what it has been given, what runs, and what became of it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from lexmesh.mesh.tasks.attempt import (
    ACCEPTED,
    BUSY,
    NO_HANDLER,
    REFUSED,
    RUNNING,
    STOPPING,
    UNKNOWN,
    TaskAttempt,
)

__all__ = ["Answer", "Bench", "Desk", "Job"]

QUEUE_FACTOR = 16
"""Tasks that may wait for each place."""

MOST_REMEMBERED = 4096
"""Attempts that are over and whose answers are kept, for whoever asks again."""

MOST_REMEMBERED_BYTES = 16 << 20

Answer = tuple[str, dict[str, Any]]
"""Type and data of a message to the submitter."""


@dataclass(slots=True, eq=False)
class Bench:
    """One handler and its places."""

    handler: Any
    places: int
    running: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """One attempt that this node has accepted."""

    attempt: TaskAttempt
    event: Any  # the message that brought it
    bench: Bench | None = None  # None while it waits


@dataclass(slots=True)
class Work:
    """All of one capability."""

    benches: list[Bench] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)

    @property
    def places(self) -> int:
        return sum(bench.places for bench in self.benches)

    def free(self) -> Bench | None:
        """The bench with the most room, if any has."""
        best = min(self.benches, key=lambda bench: bench.running / bench.places, default=None)
        return best if best is not None and best.running < best.places else None


class Desk:
    """Takes attempts, says which handler runs each when, and answers about them."""

    def __init__(self) -> None:
        self._work: dict[str, Work] = {}
        self._jobs: dict[tuple[str, str], Job] = {}  # by submitter and attempt
        self._over: OrderedDict[tuple[str, str], tuple[str, bytes]] = OrderedDict()
        self._over_bytes = 0
        self.stopping = False

    # -- handlers ---------------------------------------------------------------------------------------------------

    def add(self, capability: str, handler: Any, places: int) -> None:
        """Adds a handler; those of one capability share its tasks."""
        self._work.setdefault(capability, Work()).benches.append(Bench(handler, places))

    def remove(self, capability: str, handler: Any) -> tuple[bool, list[Job]]:
        """Removes a handler; what it does goes on.

        Returns:
            Whether there was one, and what waited for a place and has none left.
        """
        work = self._work.get(capability)
        bench = next((bench for bench in work.benches if bench.handler == handler), None) if work else None
        if work is None or bench is None:
            return False, []
        work.benches.remove(bench)
        if work.benches:
            return True, []
        del self._work[capability]
        for job in work.waiting:
            self._jobs.pop(_key(job.attempt), None)
        return True, list(work.waiting)

    def has(self, capability: str) -> bool:
        """Whether there is a handler."""
        return capability in self._work

    def load(self, capability: str) -> dict[str, int]:
        """What a submitter is told of how busy this node is: tasks that run or wait, and places, if any."""
        work = self._work.get(capability)
        if work is None:
            return {}
        return {"load": len(work.waiting) + sum(bench.running for bench in work.benches), "places": work.places}

    @property
    def jobs(self) -> int:
        """Attempts that run or wait."""
        return len(self._jobs)

    # -- attempts ---------------------------------------------------------------------------------------------------

    def take(self, attempt: TaskAttempt, event: Any) -> tuple[Answer, Job | None]:
        """Takes one attempt.

        Args:
            attempt: which; one that was taken before is answered as it was, and not run again.
            event: the message that brought it.

        Returns:
            The answer, and what is to be run now.
        """
        if (known := self._known(attempt)) is not None:
            return known, None
        if self.stopping:
            return self.refusal(attempt, STOPPING), None
        work = self._work.get(attempt.capability)
        if work is None:
            return self.refusal(attempt, NO_HANDLER), None
        job = Job(attempt, event, work.free())
        if job.bench is None and len(work.waiting) >= QUEUE_FACTOR * work.places:
            return self.refusal(attempt, BUSY), None
        self._jobs[_key(attempt)] = job
        if job.bench is None:
            work.waiting.append(job)
            return self._about(attempt, ACCEPTED), None
        job.bench.running += 1
        return self._about(attempt, ACCEPTED), job

    def _known(self, attempt: TaskAttempt) -> Answer | None:
        key = _key(attempt)
        if key in self._jobs:
            return self._about(attempt, ACCEPTED)
        if (over := self._over.get(key)) is None:
            return None
        self._over.move_to_end(key)
        kind, data = over
        return kind, orjson.loads(data) | self.load(attempt.capability)

    def finish(self, job: Job, kind: str, about: dict[str, Any]) -> Answer:
        """An attempt is over.

        Args:
            job: which.
            kind: DONE, FAILED or REFUSED.
            about: what is said of it.

        Returns:
            What the submitter is told.

        Raises:
            TypeError: if JSON cannot say it; then it is not over.
        """
        answer = self.amend(job, kind, about)
        self._jobs.pop(_key(job.attempt), None)
        if job.bench is not None:
            job.bench.running -= 1
        return answer[0], answer[1] | self.load(job.attempt.capability)

    def amend(self, job: Job, kind: str, about: dict[str, Any]) -> Answer:
        """Says something else of an attempt that is over: what was to be said cannot be."""
        said = {"task": job.attempt.task_id, "attempt": job.attempt.number, **about}
        self._remember(_key(job.attempt), kind, orjson.dumps(said))
        return kind, said | self.load(job.attempt.capability)

    def following(self, capability: str) -> Job | None:
        """What is to be run next, now that a place may be free."""
        work = self._work.get(capability)
        bench = work.free() if work is not None and work.waiting else None
        if work is None or bench is None:
            return None
        job = work.waiting.popleft()
        job.bench = bench
        bench.running += 1
        return job

    def cancel(self, attempt: TaskAttempt) -> Job | None:
        """A submitter has given an attempt up.

        Returns:
            What runs and is to be cancelled; None if it waited only, or is over.
        """
        job = self._jobs.get(_key(attempt))
        if job is None:
            return None
        if job.bench is not None:
            return job
        self._work[job.attempt.capability].waiting.remove(job)
        self.finish(job, REFUSED, {"reason": "cancelled"})
        return None

    def check(self, submitter: str, attempts: Iterable[tuple[str, int]]) -> list[Answer]:
        """How attempts of a submitter stand: those that run in one message, each other one in its own."""
        running, answers = [], []
        for task, number in attempts:
            job = self._jobs.get((submitter, f"{task}:{number}"))
            attempt = TaskAttempt(task, number, "" if job is None else job.attempt.capability, submitter)
            if job is not None:
                running.append([task, number])
            else:
                answers.append(self._known(attempt) or self.refusal(attempt, UNKNOWN))
        return [(RUNNING, {"attempts": running}), *answers] if running else answers

    def stop(self) -> list[Job]:
        """Takes nothing more.

        Returns:
            What has not begun, and is to be given back, to nodes that go on.
        """
        self.stopping = True
        waiting = [job for work in self._work.values() for job in work.waiting]
        for work in self._work.values():
            work.waiting.clear()
        for job in waiting:
            del self._jobs[_key(job.attempt)]
        return waiting

    def begin(self) -> None:
        """Takes attempts, after a stop again."""
        self.stopping = False

    def refusal(self, attempt: TaskAttempt, reason: str) -> Answer:
        """What a submitter is told of an attempt that is not made here."""
        return self._about(attempt, REFUSED, reason=reason)

    def _about(self, attempt: TaskAttempt, kind: str, **more: Any) -> Answer:
        return kind, {"task": attempt.task_id, "attempt": attempt.number, **more, **self.load(attempt.capability)}

    def _remember(self, key: tuple[str, str], kind: str, said: bytes) -> None:
        _, before = self._over.pop(key, ("", b""))
        self._over[key] = kind, said
        self._over_bytes += len(said) - len(before)
        while len(self._over) > MOST_REMEMBERED or self._over_bytes > MOST_REMEMBERED_BYTES:
            _, (_, oldest) = self._over.popitem(last=False)
            self._over_bytes -= len(oldest)


def _key(attempt: TaskAttempt) -> tuple[str, str]:
    return attempt.submitter, attempt.id
