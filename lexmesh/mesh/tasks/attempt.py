"""One attempt at a task, and what nodes say to each other about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ACCEPTED",
    "ASK",
    "BUSY",
    "CANCEL",
    "CHECK",
    "DONE",
    "FAILED",
    "NO_HANDLER",
    "REFUSED",
    "RUNNING",
    "SAID",
    "STOPPING",
    "UNKNOWN",
    "TaskAttempt",
    "attempts_in",
    "is_attempt",
]

ASK = "agent_task."
"""Begins the type of the message that gives a node a task; the capability follows. It is an `agent_*` type on purpose:
a task tells a node what to do, so a policy looks at its data as it does at other instructions."""

SAID = "mesh_task."
"""Begins the types of all other messages about tasks."""

# From the node that works:
ACCEPTED = SAID + "accepted"  # it runs, or waits for a place
DONE = SAID + "done"
FAILED = SAID + "failed"
REFUSED = SAID + "refused"
RUNNING = SAID + "running"  # answers CHECK
# To it:
CHECK = SAID + "check"
CANCEL = SAID + "cancel"

# Why a node refuses:
BUSY = "busy"
STOPPING = "stopping"
NO_HANDLER = "no handler"
UNKNOWN = "unknown"  # it never got the attempt, or remembers it no more

MOST_CHECKED = 1024
"""Attempts in one CHECK, and in its answer."""

MOST_ID = 64
MOST_ATTEMPTS = 1 << 31


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """What a task's handler may know of it.

    Args:
        task_id: the same for all attempts at one task: by it a handler finds what an earlier attempt has done already,
            here or at another node.
        number: counts the attempts, from 1.
        capability: what was asked for.
        submitter: the node that wants the result.
    """

    task_id: str
    number: int
    capability: str
    submitter: str

    @property
    def id(self) -> str:
        """Of this attempt alone; whoever gets the same one twice runs it once."""
        return f"{self.task_id}:{self.number}"


def is_attempt(data: Mapping[str, Any]) -> bool:
    """Whether a message names a task and an attempt."""
    return _is_pair(data.get("task"), data.get("attempt"))


def attempts_in(data: Any) -> Iterator[tuple[str, int]]:
    """The tasks and attempts that a CHECK or RUNNING lists, each once; what is none is left out."""
    listed = data.get("attempts") if isinstance(data, dict) else None
    pairs = (one for one in listed[:MOST_CHECKED] if isinstance(one, list)) if isinstance(listed, list) else ()
    # an answer may be a result of any length: one for each time that it is asked for would be a flood
    yield from dict.fromkeys((one[0], one[1]) for one in pairs if len(one) == 2 and _is_pair(*one))


def _is_pair(task: Any, number: Any) -> bool:
    return isinstance(task, str) and 0 < len(task) <= MOST_ID and type(number) is int and 0 < number < MOST_ATTEMPTS
