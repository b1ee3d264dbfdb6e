"""One task on its way: where it has been tried, and what is said of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lexmesh.errors import NoNodeError, TaskError, TaskFailedError, TaskRefusedError, TaskTimeoutError

__all__ = ["MOST_MESSAGE", "Fault", "Submission"]

MOST_MESSAGE = 200
"""Characters of an exception's message that cross the mesh."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a node has not done a task.

    Args:
        node: which.
        reason: one line.
        kind: the name of the exception's class; empty if no handler raised one.
        is_refusal: whether the handler said that no node should do it.
    """

    node: str
    reason: str
    kind: str = ""
    is_refusal: bool = False

    @classmethod
    def of(cls, node: str, told: Any) -> Fault:
        """From what a node said of a failure; anything."""
        told = told if isinstance(told, dict) else {}
        kind, message = (str(told.get(name, ""))[:MOST_MESSAGE] for name in ("type", "message"))
        kind = kind or "an error"
        is_refusal = told.get("refused") is True
        reason = message if is_refusal and message else f"{kind}: {message}" if message else kind
        return cls(node, reason, kind, is_refusal)


@dataclass(slots=True, eq=False)
class Submission:
    """A task that has no result yet; times are in seconds.

    Args:
        id: the task's.
        capability: what a node must have.
        deadline: when the submitter waits no more.
        attempt_seconds: after which another node is tried; None for half of the time that is left.
        since: when it began to wait for a node.
        attempts: how many there have been.
        node: where it is; empty while it waits here.
        number, epoch: of the attempt that is made there, and that node's start.
        accepted: whether that node has said that it has it.
        unanswered: questions about it since that node said anything.
        next_look, give_up_at: when to ask after it, and when to try another node.
        failed: nodes that are not tried again.
        silent: nodes that may have it, but do not answer, with the attempt and their start.
        tried: all nodes that it was given to, in order.
    """

    id: str
    capability: str
    deadline: float
    attempt_seconds: float | None
    since: float
    attempts: int = 0
    node: str = ""
    number: int = 0
    epoch: int = 0
    accepted: bool = False
    unanswered: int = 0
    next_look: float = 0.0
    give_up_at: float = 0.0
    failed: dict[str, Fault] = field(default_factory=dict)
    silent: dict[str, tuple[int, int]] = field(default_factory=dict)
    tried: dict[str, None] = field(default_factory=dict)

    def give_to(self, node: str, epoch: int, now: float, look_seconds: float) -> None:
        """Begins an attempt; a node that was silent gets the same one again, unless it has started anew since."""
        number, known_epoch = self.silent.pop(node, (0, 0))
        if not number or known_epoch != epoch:
            self.attempts = number = self.attempts + 1
        self.node, self.number, self.epoch = node, number, epoch
        self.accepted = False
        self.unanswered = 0
        self.next_look = now + look_seconds
        seconds = self.attempt_seconds
        self.give_up_at = now + ((self.deadline - now) / 2 if seconds is None else seconds)
        self.tried[node] = None

    def fault(self, fault: Fault) -> TaskError:
        """The error of a task that cannot be done."""
        if fault.is_refusal:
            return TaskRefusedError(fault.reason, self.capability, tuple(self.tried))
        reason = f"failed at {fault.node}: {fault.reason}"
        return TaskFailedError(self.capability, reason, tuple(self.tried), fault.kind)

    def no_node(self, known: str) -> TaskError:
        """The error of a task for which there is nobody."""
        if self.failed:
            return self.fault(next(reversed(self.failed.values())))
        reason = "the nodes that take it are gone" if self.tried else "no node that is there takes such tasks"
        return NoNodeError(self.capability, f"{reason}; known are {known}", tuple(self.tried))

    def late(self, seconds: float) -> TaskError:
        """The error of a task that was not done in time."""
        return TaskTimeoutError(self.capability, f"no result within {seconds:g} s, {self._stand()}", tuple(self.tried))

    def _stand(self) -> str:
        if self.node:
            return f"{self.node} {'has it' if self.accepted else 'has not answered'}"
        if self.failed:
            last = next(reversed(self.failed.values()))
            return f"failed at {last.node}: {last.reason}"
        return "no node had room for it"
