"""Tasks that the clients of a node submit through it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import cause_depth
from lexmesh.errors import LexmeshError
from lexmesh.mesh.membership import Membership
from lexmesh.mesh.mesh_tasks import MeshTasks
from lexmesh.transports.gateway_protocol import ERROR
from lexmesh.transports.peer import Peer
from lexmesh.transports.task_answer import SUBMIT, answer_of

__all__ = ["ClientTasks"]

MOST_TASKS = 1024
"""Of one connection, under way."""

MOST_BYTES = 16 << 20
"""Of the messages that brought them; one task may be larger."""

MOST_SECONDS = 86_400

logger = logging.getLogger("lexmesh.mesh")


class ClientTasks:
    """Submits what clients ask for, and gives it up when they are gone.

    Args:
        tasks: the node's.
        members: brings what clients ask.
    """

    def __init__(self, tasks: MeshTasks, members: Membership) -> None:
        self._tasks = tasks
        self._running: defaultdict[Peer, set[asyncio.Task[None]]] = defaultdict(set)
        self._bytes: Counter[Peer] = Counter()
        members.questions[SUBMIT] = self._asked
        members.on_closed.append(self._closed)

    def _asked(self, session: Peer, event: StreamEvent) -> None:
        fault = _fault_of(event.data)
        if not fault and len(self._running.get(session, ())) >= MOST_TASKS:
            fault = f"at most {MOST_TASKS} tasks of a connection at a time"
        size = len(event.to_proto())
        if not fault and self._bytes[session] and self._bytes[session] + size > MOST_BYTES:
            fault = f"at most {MOST_BYTES} bytes of tasks of a connection at a time"
        if fault:
            session.send(ERROR, {"outcome": "refused", "reason": fault}, reply_to=event.id)
            return
        task = asyncio.get_running_loop().create_task(self._submit(session, event))
        self._running[session].add(task)
        self._bytes[session] += size
        task.add_done_callback(lambda done: self._ended(session, done, size))

    async def _submit(self, session: Peer, event: StreamEvent) -> None:
        cause_depth.set(event.depth + 1)
        asked = event.data
        timeouts = asked["timeout"], asked.get("attempt_timeout")
        answer: dict[str, Any]
        try:
            result = await self._tasks.submit(asked["capability"], asked.get("data"), *timeouts, {})
            answer = {"result": result}
        except LexmeshError as error:
            answer = answer_of(error)
        except Exception as error:
            if not isinstance(error, ValueError):  # no fault of the client's
                logger.exception("a task of a client could not be submitted")
            session.send(ERROR, {"outcome": "refused", "reason": str(error)}, reply_to=event.id)
            return
        if session.is_open:
            session.send(SUBMIT, answer, reply_to=event.id)

    def _ended(self, session: Peer, task: asyncio.Task[None], size: int) -> None:
        running = self._running.get(session)
        if running is not None:
            running.discard(task)
            self._bytes[session] -= size
            if not running:
                del self._running[session], self._bytes[session]
        if not task.cancelled():
            task.result()

    def _closed(self, session: Peer) -> None:
        del self._bytes[session]  # of a Counter: nothing where there is none
        for task in self._running.pop(session, ()):
            task.cancel()


def _fault_of(data: Any) -> str:
    """Why a client's question is none; empty if it is one."""
    if not isinstance(data, dict) or not isinstance(data.get("capability"), str):
        return 'submit needs data {"capability": text, "timeout": seconds, "data": …}'
    attempt = data.get("attempt_timeout")
    if not _is_time(data.get("timeout")) or not (attempt is None or _is_time(attempt)):
        return f"a timeout is more than 0 seconds, and at most {MOST_SECONDS}"
    return ""


def _is_time(seconds: Any) -> bool:
    return type(seconds) in (int, float) and 0 < seconds <= MOST_SECONDS
