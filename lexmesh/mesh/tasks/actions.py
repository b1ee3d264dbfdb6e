"""What whoever decides about tasks wants to have done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexmesh.errors import TaskError

__all__ = ["Ask", "Say", "Settle"]


@dataclass(frozen=True, slots=True)
class Ask:
    """Give a node a task."""

    node: str
    task: str
    number: int
    capability: str


@dataclass(frozen=True, slots=True)
class Say:
    """Tell a node something about its attempts."""

    node: str
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settle:
    """A task is done, or will not be."""

    task: str
    result: Any
    error: TaskError | None
