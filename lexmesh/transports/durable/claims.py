"""Which entries of a group its members have been given and do not answer for, and how they are taken over."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from lexmesh.transports.durable.client import StreamClient

__all__ = ["Abandoned", "Claimed", "Claims", "Given"]

PAGE = 256
"""Entries looked at in one turn."""

Given = tuple[bytes, dict[bytes, bytes], int]
"""Number, fields, and how often it has been given to somebody."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An entry.

    Args:
        entry: its number.
        idle: milliseconds since it was given to somebody, at least.
        attempt: what its next attempt will be; 1 for the first.
    """

    entry: bytes
    idle: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of claims.

    Args:
        given: entries that are this node's now.
        trimmed: entries that were to be done, and are not there any more.
    """

    given: list[Given]
    trimmed: list[bytes]


class Claims:
    """Looks through what a group's members have been given, some at a time.

    Args:
        stream, group: whose.
        consumer: this node.
        seconds: a handler may take: what rests twice as long has been left.
        is_gone: callable(node), whether a member is known to be gone.
    """

    def __init__(self, stream: str, group: str, consumer: str, seconds: float, is_gone: Callable[[str], bool]) -> None:
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._rest = int(2000 * seconds)
        self._is_gone = is_gone
        self._after = "-"

    async def abandoned(
        self, client: StreamClient, held: Container[bytes], lived: int, *, knows_who_is_gone: bool
    ) -> list[Abandoned]:
        """What this node may take over, of the next few.

        What was given to this node in this life, and never came, has not been tried: it does not count as an attempt.

        Args:
            client: a connected client.
            held: what this node answers for.
            lived: milliseconds that it has been a member.
            knows_who_is_gone: whether this node has listened for long enough to say so of others.
        """
        found = await client.xpending_range(self._stream, self._group, self._after, "+", PAGE)
        self._after = f"({found[-1]['message_id'].decode()}" if len(found) == PAGE else "-"
        taken = []
        for one in found:
            entry, idle, given = one["message_id"], one["time_since_delivered"], one["times_delivered"]
            owner = one["consumer"].decode(errors="replace")
            if entry in held:
                continue
            if owner == self._consumer:
                taken.append(Abandoned(entry, idle, given + (idle > lived)))
            elif idle >= self._rest or (knows_who_is_gone and self._is_gone(owner)):
                taken.append(Abandoned(entry, idle, given + 1))
        return taken

    def look_from_the_start(self) -> None:
        """Has `abandoned` begin with the oldest next time."""
        self._after = "-"

    async def claim(self, client: StreamClient, entries: Sequence[Abandoned]) -> Claimed:
        """Takes entries over, unless another member has been quicker."""
        if not entries:
            return Claimed([], [])
        pipe = client.pipeline(transaction=False)
        for one in entries:
            pipe.xclaim(self._stream, self._group, self._consumer, one.idle, [one.entry], retrycount=one.attempt)
        answers = list(zip(entries, await pipe.execute(), strict=True))
        return Claimed(
            [(one.entry, answer[0][1], one.attempt) for one, answer in answers if answer and answer[0][0] is not None],
            # as servers before version 7 say it; later ones say nothing, and do not keep it as given to anybody either
            [one.entry for one, answer in answers if answer and answer[0][0] is None],
        )

    async def give_back(self, client: StreamClient, entries: Sequence[Abandoned]) -> None:
        """Lets others take entries of this node at once; `attempt` is how often each has been tried."""
        if not entries:
            return
        pipe = client.pipeline(transaction=False)
        for one in entries:
            pipe.xclaim(
                self._stream,
                self._group,
                self._consumer,
                one.idle,
                [one.entry],
                idle=self._rest,
                retrycount=one.attempt,
                justid=True,
            )
        await pipe.execute()
