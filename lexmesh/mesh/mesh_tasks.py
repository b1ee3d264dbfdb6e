"""The tasks of one node over the mesh: what it submits, and what it does for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.errors import DeniedError, MalformedError, TaskError
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.registry.choice import total_cost
from lexmesh.mesh.registry.node import check_capability
from lexmesh.mesh.task_worker import TaskWorker
from lexmesh.mesh.tasks.actions import Ask, Say, Settle
from lexmesh.mesh.tasks.attempt import ACCEPTED, ASK, DONE, FAILED, REFUSED, RUNNING
from lexmesh.mesh.tasks.submission import Fault
from lexmesh.mesh.tasks.submissions import Submissions
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.wall_clock import now_ms

__all__ = ["MeshTasks"]

LOOK_SECONDS = 0.25
"""How often it is looked which tasks take long."""

MOST_SUBMITTED = 65_536
"""Tasks that one node may wait for at once."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call of `submit`."""

    data: Any
    fields: dict[str, Any]
    depth: int
    future: asyncio.Future[Any]


class MeshTasks:
    """Submits tasks, and does those of others.

    Args:
        pipeline: the node's.
        registry: knows who takes which tasks.
        declare: callable(capabilities), says anew what this node takes.
    """

    def __init__(
        self, pipeline: StreamPipeline, registry: MeshRegistry, declare: Callable[[Iterable[str]], None]
    ) -> None:
        self._core = pipeline.core
        self._registry = registry
        self._declare = declare
        self._worker = TaskWorker(pipeline, self._say)
        self._submissions = Submissions(registry.table, self._burden, registry.table.pick)
        self._waiting: dict[str, _Waiting] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # None while the node does not run
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        for kind in (ACCEPTED, DONE, FAILED, REFUSED, RUNNING):
            pipeline.subscribe(kind, self._heard, None)
        registry.on_change(self._changed)

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._submissions.started = self._loop.time()
        self._worker.begin()

    async def stop(self, seconds: float) -> None:
        """Takes no more tasks, lets those end that run, and fails those that were submitted here.

        Args:
            seconds: for what runs.
        """
        await self._worker.stop(seconds)
        if self._loop is not None:
            self._submissions.fail_all("this node stops", self._loop.time())
            self._carry_out()
            self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- handlers ---------------------------------------------------------------------------------------------------

    def register(self, capability: str, handler: Callable[..., Any], concurrency: int) -> None:
        """Adds a handler, and declares its capability."""
        self._worker.add(check_capability(capability), handler, concurrency)
        declared = self._registry.table.own.capabilities
        if capability not in declared:
            self._declare({*declared, capability})

    def unregister(self, capability: str, handler: Callable[..., Any]) -> bool:
        """Removes a handler, and withdraws its capability with the last one; whether there was one."""
        found = self._worker.remove(capability, handler)
        if found and not self._worker.has(capability):
            self._declare(self._registry.table.own.capabilities - {capability})
        return found

    # -- submitting -------------------------------------------------------------------------------------------------

    async def submit(
        self, capability: str, data: Any, timeout: float, attempt_timeout: float | None, fields: dict[str, Any]
    ) -> Any:
        """Has a task done; see MeshCore.submit."""
        check_capability(capability)
        if not timeout > 0 or not (attempt_timeout is None or attempt_timeout > 0):
            raise ValueError("a timeout is more than 0 seconds")
        if self._loop is None:
            raise TaskError(capability, "this node does not run; start it first")
        if len(self._waiting) >= MOST_SUBMITTED:
            raise TaskError(capability, f"{MOST_SUBMITTED} tasks wait already; await some results first")
        loop, task = self._loop, f"{self._registry.table.pick.getrandbits(64):016x}"
        waiting = self._waiting[task] = _Waiting(data, fields, cause_depth.get(), loop.create_future())
        try:
            self._submissions.add(task, capability, timeout, attempt_timeout, loop.time())
            self._carry_out()
            self._look_later()
            return await asyncio.wait_for(waiting.future, timeout)
        except TimeoutError:
            error = self._submissions.withdraw(task, timeout, loop.time())
            if error is None:  # a result that came with the timeout
                raise
            raise error from None
        finally:
            del self._waiting[task]
            self._submissions.withdraw(task, None, loop.time())
            self._carry_out_soon()

    def lost(self, node: str) -> None:
        """The link to a node is gone: what it had is done elsewhere."""
        if self._loop is not None and len(self._submissions):
            self._submissions.lost(node, self._loop.time())
            self._carry_out_soon()

    def _changed(self, node: str, status: str, _before: str | None) -> None:
        if self._loop is not None and len(self._submissions):
            self._submissions.changed(node, status, self._loop.time())
            self._carry_out_soon()

    def _heard(self, event: StreamEvent) -> None:
        if self._loop is not None:
            self._submissions.heard(event.source_node, event.event_type, event.data, self._loop.time())
            self._carry_out_soon()

    def _burden(self, name: str) -> float:
        table = self._registry.table
        node = table.get(name)
        return 0.0 if node is None else total_cost(node, table.phi(node, now_ms()))

    # -- what was decided -------------------------------------------------------------------------------------------

    def _carry_out_soon(self) -> None:
        """Not from within a message that is being handled: what is sent would count as caused by it."""
        if self._submissions.todo and not self._is_due and self._loop is not None:
            self._is_due = True
            self._loop.call_soon(self._carry_out)

    def _carry_out(self) -> None:
        self._is_due = False
        todo = self._submissions.todo
        while todo:
            action = todo.popleft()
            if isinstance(action, Ask):
                self._ask(action)
            elif isinstance(action, Say):
                self._say(action.node, action.kind, action.data, 0)
            else:
                self._settle(action)

    def _ask(self, ask: Ask) -> None:
        waiting = self._waiting.get(ask.task)
        if waiting is None or waiting.future.done() or self._loop is None:
            return
        data = {"task": ask.task, "attempt": ask.number, "data": waiting.data}
        try:
            outcome = self._publish(ask.node, ASK + ask.capability, data, waiting.depth, waiting.fields)
        except (DeniedError, MalformedError, TypeError) as error:
            waiting.future.set_exception(error)
            return
        if outcome == "unroutable":
            self._submissions.unreachable(ask.task, ask.number, self._loop.time())
        elif outcome not in ("routed", None):
            fault = Fault(ask.node, f"the message was {outcome}", outcome)
            self._submissions.fail(ask.task, fault, self._loop.time())

    def _settle(self, settled: Settle) -> None:
        waiting = self._waiting.get(settled.task)
        if waiting is None or waiting.future.done():
            return
        if settled.error is None:
            waiting.future.set_result(settled.result)
        else:
            waiting.future.set_exception(settled.error)

    def _say(self, node: str, kind: str, data: dict[str, Any], depth: int) -> Exception | None:
        try:
            self._publish(node, kind, data, depth, {})
        except (DeniedError, MalformedError, TypeError) as error:
            return error
        return None

    def _publish(self, node: str, kind: str, data: Any, depth: int, fields: dict[str, Any]) -> str | None:
        metadata, priority = fields.get("metadata"), fields.get("priority", 0)
        outcome, _ = self._core.publish(kind, data, metadata, node, None, priority, "", now_ms(), depth)
        if outcome == "denied" and (refusal := self._core.last_refusal):
            raise DeniedError(*refusal)
        return outcome

    # -- when time passes -------------------------------------------------------------------------------------------

    def _look_later(self) -> None:
        if self._timer is None and self._loop is not None and len(self._submissions):
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop is not None:
            self._submissions.look(self._loop.time())
            self._carry_out()
            self._look_later()
