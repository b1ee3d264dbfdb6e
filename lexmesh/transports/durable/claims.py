"""Which entries of a group its members have been given and do not answer for, and how they are taken over."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from lexmesh.transports.durable.client import StreamClient

__all__ = ["Abandoned", "Claims", "Given"]

PAGE = 256
"""Entries looked at in one turn."""

Given = tuple[bytes, dict[bytes, bytes], int]
"""Number, fields, and how often it has been given to somebody."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An entry.

    Args:
        entry: its number.
        idle: milliseconds since it was given to somebody.
        attempt: what its next attempt will be; 1 for the first.
    """

    entry: bytes
    idle: int
    attempt: int


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

    async def abandoned(self, client: StreamClient, held: Container[bytes], lived: int) -> list[Abandoned]:
        """What this node may take over, of the next few.

        What was given to this node in this life, and never came, has not been tried: it does not count as an attempt.

        Args:
            client: a connected client.
            held: what this node answers for.
            lived: milliseconds that it has been a member.
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
            elif idle >= self._rest or self._is_gone(owner):
                taken.append(Abandoned(entry, idle, given + 1))
        return taken

    async def claim(self, client: StreamClient, entries: Sequence[Abandoned]) -> list[Given]:
        """Takes entries over, unless another member has been quicker.

        Returns:
            Those that are there; not those that have been trimmed.
        """
        pipe = client.pipeline(transaction=False)
        for one in entries:
            pipe.xclaim(
                self._stream, self._group, self._consumer, one.idle, [one.entry], retrycount=max(1, one.attempt)
            )
        found = await pipe.execute()
        return [
            (one.entry, fields, one.attempt)
            for one, answer in zip(entries, found, strict=True)
            if (fields := _fields(answer)) is not None
        ]

    async def again(self, client: StreamClient, entries: Sequence[tuple[bytes, int]]) -> list[Given]:
        """Has entries of this node given to it once more; number and attempt of each. Returns as `claim`."""
        return await self.claim(client, [Abandoned(entry, 0, attempt) for entry, attempt in entries])

    async def give_back(self, client: StreamClient, entries: Sequence[tuple[bytes, int]]) -> None:
        """Lets others take entries of this node at once; number, and how often each has been tried."""
        pipe = client.pipeline(transaction=False)
        for entry, attempt in entries:
            pipe.xclaim(
                self._stream,
                self._group,
                self._consumer,
                0,
                [entry],
                idle=self._rest,
                retrycount=max(1, attempt),
                justid=True,
            )
        if entries:
            await pipe.execute()


def _fields(found: Any) -> dict[bytes, bytes] | None:
    """What XCLAIM says of one entry; older servers say nil of one that is gone, newer ones nothing."""
    if not found or found[0] is None or found[0][1] is None:
        return None
    fields: dict[bytes, bytes] = found[0][1]
    return fields
