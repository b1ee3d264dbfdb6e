"""A node's own task handlers: runs what is asked of it, and tells the submitters."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.errors import DeniedError, MalformedError, TaskRefusedError
from lexmesh.failures import FailureLog
from lexmesh.mesh.tasks.attempt import (
    ASK,
    CANCEL,
    CHECK,
    DONE,
    FAILED,
    NO_HANDLER,
    REFUSED,
    STOPPING,
    TaskAttempt,
    attempts_in,
    is_attempt,
)
from lexmesh.mesh.tasks.desk import Answer, Desk, Job
from lexmesh.mesh.tasks.submission import MOST_MESSAGE
from lexmesh.pipeline import StreamPipeline, check_handler
from lexmesh.transports.wall_clock import now_ms

__all__ = ["TaskWorker"]

CANCEL_SECONDS = 0.25
"""How long a cancelled handler may take to end."""

FINAL = (DeniedError, MalformedError, TaskRefusedError)
"""Errors that would come again at any other node."""


class TaskWorker:
    """Runs tasks that nodes give to this one.

    Args:
        pipeline: brings their messages.
        say: callable(node, kind, data, depth), sends a message; returns why it was refused, or nothing.
    """

    def __init__(
        self, pipeline: StreamPipeline, say: Callable[[str, str, dict[str, Any], int], Exception | None]
    ) -> None:
        self._node_id = pipeline.node_id
        self._say = say
        self._failures = FailureLog(pipeline.core, now_ms)
        self._desk = Desk()
        self._running: dict[Job, asyncio.Task[Any]] = {}
        for subject, call in ((ASK + ">", self._asked), (CHECK, self._checked), (CANCEL, self._cancelled)):
            pipeline.subscribe(subject, call, None)

    # -- handlers ---------------------------------------------------------------------------------------------------

    def add(self, capability: str, handler: Callable[..., Any], concurrency: int) -> None:
        """Adds a handler; see MeshCore.register_task_handler."""
        check_handler(handler)
        if not 1 <= concurrency <= 100_000:
            raise ValueError(f"concurrency must be 1 to 100000, {concurrency} is not")
        self._desk.add(capability, handler, concurrency)

    def remove(self, capability: str, handler: Callable[..., Any]) -> bool:
        """Removes a handler; whether there was one."""
        found, waiting = self._desk.remove(capability, handler)
        self._give_back(waiting, NO_HANDLER)
        return found

    def has(self, capability: str) -> bool:
        """Whether there is a handler."""
        return self._desk.has(capability)

    # -- life -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Takes tasks."""
        self._desk.begin()

    async def stop(self, seconds: float) -> None:
        """Takes no more tasks, gives back what waits, and lets what runs end.

        Args:
            seconds: for that; what runs longer is cancelled.
        """
        self._give_back(self._desk.stop(), STOPPING)
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=seconds)
        for task in self._tasks():
            task.cancel()
        if tasks := self._tasks():
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """What runs, but for a handler that stops its own node."""
        return [task for task in self._running.values() if task is not asyncio.current_task()]

    def _give_back(self, jobs: list[Job], reason: str) -> None:
        for job in jobs:
            self._answer(job, self._desk.refusal(job.attempt, reason))

    # -- what submitters say ----------------------------------------------------------------------------------------

    def _asked(self, event: StreamEvent) -> None:
        data = event.data
        if event.target_node != self._node_id or not isinstance(data, dict) or not is_attempt(data):
            return
        capability = event.event_type.removeprefix(ASK)
        attempt = TaskAttempt(data["task"], data["attempt"], capability, event.source_node)
        answer, job = self._desk.take(attempt, event)
        self._say(attempt.submitter, *answer, event.depth + 1)
        if job is not None:
            self._begin(job)

    def _checked(self, event: StreamEvent) -> None:
        if event.target_node == self._node_id:
            for answer in self._desk.check(event.source_node, attempts_in(event.data)):
                self._say(event.source_node, *answer, event.depth + 1)

    def _cancelled(self, event: StreamEvent) -> None:
        data = event.data
        if event.target_node != self._node_id or not isinstance(data, dict) or not is_attempt(data):
            return
        job = self._desk.cancel(TaskAttempt(data["task"], data["attempt"], "", event.source_node))
        if job is not None:
            self._running[job].cancel()

    # -- running ----------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(_run(job))  # in a turn of its own: that it was accepted leaves first
        self._running[job] = task
        begun = loop.time()
        task.add_done_callback(lambda done: self._ended(job, done, (loop.time() - begun) * 1000))

    def _ended(self, job: Job, task: asyncio.Task[Any], milliseconds: float) -> None:
        del self._running[job]
        kind, about = self._outcome(job, task)
        about["ms"] = round(milliseconds, 3)
        try:
            answer = self._desk.finish(job, kind, about)
        except TypeError as error:
            answer = self._desk.finish(job, FAILED, {"error": _told(error, is_final=True)})
        self._answer(job, answer)
        while (following := self._desk.following(job.attempt.capability)) is not None:
            self._begin(following)

    def _outcome(self, job: Job, task: asyncio.Task[Any]) -> tuple[str, dict[str, Any]]:
        if task.cancelled():
            return REFUSED, {"reason": STOPPING if self._desk.stopping else "cancelled"}
        error = task.exception()
        if error is None:
            return DONE, {"result": task.result()}
        if isinstance(error, Exception) and not isinstance(error, TaskRefusedError):
            self._failures.report_error(f"task handler of {job.attempt.capability}", error, job.event)
        return FAILED, {"error": _told(error, is_final=isinstance(error, FINAL))}

    def _answer(self, job: Job, answer: Answer) -> None:
        """Tells the submitter; what may not be said, or is too long, is a failure."""
        depth = job.event.depth + 1
        error = self._say(job.attempt.submitter, *answer, depth)
        if error is not None:
            told = _told(error, is_final=True)
            self._say(job.attempt.submitter, *self._desk.amend(job, FAILED, {"error": told}), depth)


async def _run(job: Job) -> Any:
    assert job.bench is not None
    cause_depth.set(job.event.depth + 1)
    handler, data = job.bench.handler, job.event.data.get("data")
    result = handler(data, job.attempt) if takes_attempt(handler) else handler(data)
    return await result if inspect.isawaitable(result) else result


def takes_attempt(handler: Callable[..., Any]) -> bool:
    """Whether a handler needs two arguments: the data, and the attempt."""
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        return True
    except ValueError:  # a function of C's that does not tell
        return False
    return False


def _told(error: BaseException, *, is_final: bool) -> dict[str, Any]:
    """What a submitter is told of an exception: its class and the first line of its message, never a traceback."""
    lines = (error.reason if isinstance(error, TaskRefusedError) else str(error)).splitlines()
    message = lines[0][:MOST_MESSAGE] if lines else ""
    refused = isinstance(error, TaskRefusedError)
    return {"type": type(error).__name__, "message": message, "final": is_final, "refused": refused}
