"""What a node has been given of a group's work, and when what failed is tried again; decides, and asks no clock."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Held", "HeldEntries", "State", "retry_delay"]

FIRST_DELAY = 0.5
"""Seconds after a first failure; doubled with each."""

MOST_HELD = 1024
"""Entries that wait here for another attempt or to be settled; beyond, nothing new is taken."""

DRIFT_SECONDS = 1.0
"""By how much Redis' clock may fall behind this node's while it holds an entry."""


class State(enum.Enum):
    """Of an entry."""

    RUNNING = "running"
    FAILED = "failed"
    FINISHED = "finished"
    DEAD = "dead"


@dataclass(slots=True)
class Held:
    """An entry.

    Args:
        attempt: how often it has been given to somebody, this time included.
        state: where it stands.
        since: when it was given to this node at the latest; on the loop's clock.
        due: when it is tried again, if it has failed; on the same.
        reason: why it was given up, if it was.
    """

    attempt: int
    state: State = State.RUNNING
    since: float = 0.0
    due: float = 0.0
    reason: str = ""


def retry_delay(attempt: int, seconds: float) -> float:
    """How long after a failed attempt the next one begins.

    Args:
        attempt: 1 for the first.
        seconds: a handler may take; others take over what has rested twice as long, so it must not be.
    """
    return min(FIRST_DELAY * 2.0 ** min(attempt - 1, 32), seconds / 2)


class HeldEntries:
    """The entries of one group that this node answers for.

    Args:
        attempts: after which an entry is given up.
        seconds: a handler may take.
    """

    def __init__(self, attempts: int, seconds: float) -> None:
        self._attempts = attempts
        self._seconds = seconds
        self._entries: dict[bytes, Held] = {}

    def __contains__(self, entry: object) -> bool:
        return entry in self._entries

    def __getitem__(self, entry: bytes) -> Held:
        return self._entries[entry]

    def count(self, state: State) -> int:
        """How many stand so."""
        return sum(held.state is state for held in self._entries.values())

    def among(self, state: State) -> list[bytes]:
        """Those that stand so."""
        return [entry for entry, held in self._entries.items() if held.state is state]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing new should be taken."""
        return len(self._entries) - self.count(State.RUNNING) >= MOST_HELD

    def begin(self, entry: bytes, attempt: int, now: float) -> None:
        """An attempt begins; `now` is when the entry was given to this node, on the loop's clock."""
        self._entries[entry] = Held(attempt, since=now)

    def idle(self, entry: bytes, now: float) -> int:
        """Milliseconds that an entry has rested on Redis at least, unless another member has it now."""
        return max(0, int(1000 * (now - self._entries[entry].since - DRIFT_SECONDS)))

    def finish(self, entry: bytes) -> None:
        """There is nothing more to do about it but to say so."""
        self._entries[entry] = Held(0, State.FINISHED)

    def give_up(self, entry: bytes, attempt: int, reason: str) -> None:
        """It is for the dead letters."""
        self._entries[entry] = Held(attempt, State.DEAD, reason=reason)

    def failed(self, entry: bytes, now: float, reason: str, *, is_final: bool) -> bool:
        """An attempt has failed.

        Args:
            entry: its number.
            now: seconds on the loop's clock.
            reason: why, in one line.
            is_final: it would fail again.

        Returns:
            Whether there will be another attempt.
        """
        held = self._entries[entry]
        if is_final or held.attempt >= self._attempts:
            self.give_up(entry, held.attempt, reason)
            return False
        held.state, held.due = State.FAILED, now + retry_delay(held.attempt, self._seconds)
        return True

    def leave(self, entry: bytes, attempt: int, since: float, due: float = float("inf")) -> None:
        """It was cut off, or never begun.

        Args:
            entry: its number.
            attempt: how often it has been tried.
            since: when it was given to this node, on the loop's clock.
            due: when this node tries it again; infinite if it is for others.
        """
        self._entries[entry] = Held(attempt, State.FAILED, since, due)

    def due(self, now: float) -> list[bytes]:
        """What is to be tried again."""
        return [entry for entry, held in self._failed() if held.due <= now]

    def next_due(self) -> float:
        """When the next one is; infinite for none."""
        return min((held.due for _, held in self._failed()), default=float("inf"))

    def drop(self, entry: bytes) -> None:
        """Somebody else answers for it, or nobody any more."""
        self._entries.pop(entry, None)

    def _failed(self) -> Iterator[tuple[bytes, Held]]:
        return ((entry, held) for entry, held in self._entries.items() if held.state is State.FAILED)
