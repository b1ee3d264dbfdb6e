"""What a node offers to have tasks done, and to do them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lexmesh.mesh.mesh_tasks import MeshTasks

__all__ = ["TaskMethods"]

CONCURRENCY = 16


class TaskMethods:
    """The part of MeshCore that is about tasks.

    Attributes:
        tasks: what this node has submitted, and does for others.
    """

    tasks: MeshTasks

    async def submit(
        self,
        capability: str,
        data: Any = None,
        timeout: float = 30.0,
        *,
        attempt_timeout: float | None = None,
        metadata: dict[str, str] | None = None,
        priority: int = 0,
    ) -> Any:
        """Has a task done by the best node that takes such tasks, which may be this one; by another where one fails.

        A node is given the task as an event `agent_task.<capability>`, which the policy looks at as at any
        instruction. It may be done twice, in part or whole, if a node dies or is too slow; never twice for one attempt.

        Args:
            capability: what the node must have.
            data: what JSON can say; the handler gets it.
            timeout: seconds for all of it.
            attempt_timeout: seconds after which another node is tried, if one has room; half of the time that is left
                when None.
            metadata, priority: of the event.

        Returns:
            What the handler returned.

        Raises:
            DeniedError: if the policy refuses the task.
            NoNodeError: if no node takes such tasks; names those that are known. At once where none has ever been
                heard of, after 5 s where one is gone or this node has just started.
            TaskFailedError: if the handler raised at each node that could be tried; has the last error.
            TaskRefusedError: if a handler said that no node should do it.
            TaskTimeoutError: if there is no result in time; the node that has the task is told to let it be.
            TaskError: if this node does not run, or has 65,536 tasks under way.
        """
        fields = {"metadata": metadata, "priority": priority}
        return await self.tasks.submit(capability, data, timeout, attempt_timeout, fields)

    def register_task_handler(
        self, capability: str, handler: Callable[..., Any], *, concurrency: int = CONCURRENCY
    ) -> None:
        """Does tasks for the nodes of the mesh, and declares the capability to them at once.

        Args:
            capability: what others ask for; several handlers of one share its tasks.
            handler: callable(data), or callable(data, attempt) with a TaskAttempt, sync or async. What it returns,
                anything that JSON can say, is the result. What it raises sends the task to another node, but for
                TaskRefusedError, DeniedError and MalformedError; the submitter is told the exception's class and the
                first line of its message. A sync handler holds up the node while it runs: `asyncio.to_thread` is for
                long ones. An async one is cancelled when the submitter waits no more.
            concurrency: how many tasks it does at once, 1 to 100000; 16 times as many may wait, then this node says
                that it is busy.

        Raises:
            TypeError: if the handler cannot be one.
            ValueError: if the capability or the concurrency is none.
        """
        self.tasks.register(capability, handler, concurrency)

    def unregister_task_handler(self, capability: str, handler: Callable[..., Any]) -> bool:
        """Does such tasks no more, but for what runs; withdraws the capability with its last handler.

        Returns:
            Whether there was such a handler.
        """
        return self.tasks.unregister(capability, handler)
