"""What became of a durable group's work at one node."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["DurableCounts"]


@dataclass(slots=True)
class DurableCounts:
    """Counters since the node's start; but for the first two they are of entries.

    Args:
        done: calls that ended well.
        failed: calls that raised, or took too long.
        dead: given up, and put with the dead letters.
        taken_over: of members that are gone or have left them, or given to this node before.
        duplicates: of an event that another entry brought.
        refused: malformed, denied by the policy, expired, or for another group.
        filtered: not let pass by this node's filters.
    """

    done: int = 0
    failed: int = 0
    dead: int = 0
    taken_over: int = 0
    duplicates: int = 0
    refused: int = 0
    filtered: int = 0

    def data(self) -> dict[str, int]:
        """By name."""
        return asdict(self)
