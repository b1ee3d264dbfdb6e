"""The dead letters of a mesh: work that nobody got done, kept to be looked at and tried again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lexmesh._codec import StreamEvent
from lexmesh.errors import MalformedError
from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.keys import (
    ATTEMPTS,
    ENTRY,
    GROUP,
    MESSAGE,
    PATTERN,
    REASON,
    REPLAY,
    DurableKeys,
    entry_id,
)

__all__ = ["DeadLetter", "bury", "dead_letter", "dead_letters", "drop", "one_line", "replay"]

MOST_DEAD = 100_000
"""Dead letters that are kept, the latest."""

MOST_REASON = 200
"""Characters of a reason."""

PAGE = 8
"""Dead letters read at a time: each may have a message of the largest size."""

_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that was given up.

    Args:
        id: by which it can be replayed.
        pattern, group: whose work it was.
        entry: what it was numbered in its stream.
        attempts: how often it was tried.
        reason: why it was given up.
        message: the event, serialised.
    """

    id: str
    pattern: str
    group: str
    entry: str
    attempts: int
    reason: str
    message: bytes

    @property
    def at(self) -> int:
        """When it was given up, in milliseconds since 1970-01-01 UTC."""
        return entry_id(self.id.encode())[0]

    @property
    def event(self) -> StreamEvent | None:
        """The event; None if it is none."""
        try:
            return StreamEvent.from_proto(self.message)
        except MalformedError:
            return None


async def bury(
    client: StreamClient, keys: DurableKeys, group: tuple[str, str], entry: bytes, attempts: int, reason: str
) -> str:
    """Copies an entry of a stream to the dead letters.

    Args:
        client: a connected client.
        keys: the mesh's.
        group: subject pattern and name.
        entry: its number.
        attempts: how often it was tried.
        reason: why it is given up.

    Returns:
        The dead letter's id; empty if the entry is not there any more.
    """
    pattern, name = group
    found = await client.xrange(keys.stream(pattern), entry, entry, count=1)
    if not found:
        return ""
    fields = {
        MESSAGE: found[0][1].get(MESSAGE, b""),
        PATTERN: pattern.encode(),
        GROUP: name.encode(),
        ENTRY: entry,
        ATTEMPTS: str(attempts).encode(),
        REASON: one_line(reason).encode(),
    }
    id: bytes = await client.xadd(keys.dead, fields, maxlen=MOST_DEAD)
    return id.decode()


async def dead_letters(
    client: StreamClient, keys: DurableKeys, pattern: str = "", group: str = "", *, newest_first: bool = False
) -> AsyncIterator[DeadLetter]:
    """All that a mesh has now, oldest first, or those of one subject pattern or group; few are in memory at a time."""
    ends = [await command(keys.dead, count=1) for command in (client.xrange, client.xrevrange)]
    if not all(ends):
        return
    first, last = (found[0][0].decode() for found in ends)
    while True:
        page = await (
            client.xrevrange(keys.dead, last, first, count=PAGE)
            if newest_first
            else client.xrange(keys.dead, first, last, count=PAGE)
        )
        for id, fields in page:
            letter = _letter(id, fields)
            if pattern in ("", letter.pattern) and group in ("", letter.group):
                yield letter
        if len(page) < PAGE:
            return
        after = f"({page[-1][0].decode()}"
        first, last = (first, after) if newest_first else (after, last)


async def dead_letter(client: StreamClient, keys: DurableKeys, id: str) -> DeadLetter | None:
    """The one of an id; None if there is none."""
    if not _ID.fullmatch(id) or max(entry_id(id.encode())) >= 1 << 64:
        return None
    found = await client.xrange(keys.dead, id, id, count=1)
    return _letter(*found[0]) if found else None


async def replay(client: StreamClient, keys: DurableKeys, letter: DeadLetter) -> None:
    """Puts a dead letter back in its stream, for its group alone; then it is none any more."""
    fields = {MESSAGE: letter.message, GROUP: letter.group.encode(), REPLAY: letter.id.encode()}
    await client.xadd(keys.stream(letter.pattern), fields)
    await drop(client, keys, letter)


async def drop(client: StreamClient, keys: DurableKeys, letter: DeadLetter) -> None:
    """Forgets a dead letter."""
    await client.xdel(keys.dead, letter.id)


def _letter(id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    texts = {name: one_line(fields.get(name, b"").decode(errors="replace")) for name in (PATTERN, GROUP, ENTRY, REASON)}
    attempts = fields.get(ATTEMPTS, b"0")
    return DeadLetter(
        id.decode(),
        texts[PATTERN],
        texts[GROUP],
        texts[ENTRY],
        int(attempts) if attempts.isdigit() and len(attempts) < 10 else 0,
        texts[REASON],
        fields.get(MESSAGE, b""),
    )


def one_line(text: str) -> str:
    """What a terminal may be shown: one line, without its control characters."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:MOST_REASON]
