"""A client's task: how its node is asked to submit it, and how that answers."""

from __future__ import annotations

from typing import Any

from lexmesh.errors import (
    DeniedError,
    LexmeshError,
    NoNodeError,
    TaskError,
    TaskFailedError,
    TaskRefusedError,
    TaskTimeoutError,
)
from lexmesh.events import RESERVED_PREFIX

__all__ = ["ANSWER_SECONDS", "SUBMIT", "answer_of", "result_of"]

SUBMIT = RESERVED_PREFIX + "submit"
"""A client wants a task done, and is answered in kind; data {"capability", "data", "timeout", "attempt_timeout"}."""

ANSWER_SECONDS = 1.0
"""How much longer than the task a client waits: that there was no result in time is for the node to tell."""

KINDS: dict[str, type[TaskError]] = {kind.__name__: kind for kind in (TaskError, NoNodeError, TaskTimeoutError)}


def answer_of(error: LexmeshError) -> dict[str, Any]:
    """What a client is told of an error."""
    if isinstance(error, DeniedError):
        return {"error": {"type": "DeniedError", "rule": error.rule, "path": error.path}}
    told: dict[str, Any] = {"type": type(error).__name__, "reason": str(error)}
    if isinstance(error, TaskError):
        told |= {"capability": error.capability, "reason": error.reason, "tried": list(error.tried)}
    if isinstance(error, TaskFailedError):
        told["kind"] = error.kind
    return {"error": told}


def result_of(answer: Any) -> Any:
    """The result that an answer holds.

    Raises:
        TaskError, DeniedError: if it holds an error.
    """
    told = answer.get("error") if isinstance(answer, dict) else {}
    if told is None:
        return answer.get("result")
    text = {name: str(told.get(name, "")) for name in ("type", "capability", "reason", "kind", "rule", "path")}
    tried = tuple(map(str, told.get("tried", ())))
    if text["type"] == "DeniedError":
        raise DeniedError(text["rule"], text["path"])
    if text["type"] == "TaskRefusedError":
        raise TaskRefusedError(text["reason"], text["capability"], tried)
    if text["type"] == "TaskFailedError":
        raise TaskFailedError(text["capability"], text["reason"], tried, text["kind"])
    raise KINDS.get(text["type"], TaskError)(text["capability"], text["reason"] or "the node did not say why", tried)
