"""``lexmesh durable``: what the durable groups of a mesh have before them, and what they have given up."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..config import MeshConfig
from ..errors import ConnectError
from ..redis_address import RedisAddress
from ..transports.durable import dead
from ..transports.durable.client import StreamClient
from ..transports.durable.dead import DeadLetter, dead_letter, dead_letters
from ..transports.durable.groups import forget_group, group_states
from ..transports.durable.keys import DurableKeys
from ..transports.durable.registry import read_registry
from ..transports.redis_carrier import open_carrier
from ..transports.redis_channels import ChannelNames
from ..transports.redis_faults import GONE, explained
from .exits import FAILURE, OK, complain

__all__ = ["Durable", "with_redis"]

NARROWEST: Final = 120  # columns, where the output is no terminal


async def with_redis(config: MeshConfig, command: Callable[[Durable], Awaitable[int]]) -> int:
    """Runs a command on a mesh's Redis.

    Args:
        config: where that is, and the mesh's name.
        command: callable(durable) that returns the exit code.

    Raises:
        ConnectError: Redis does not answer, or refuses.
    """
    address = RedisAddress.of(config.redis_url, config.redis_username, config.redis_password)
    names = ChannelNames(config.mesh_name, config.ritual_channel, is_clustered=address.kind == "cluster")
    try:
        async with open_carrier(address, names.everyone) as carrier:
            return await command(Durable(carrier.client, config.mesh_name, DurableKeys(names.mesh)))
    except BrokenPipeError:  # of our own output: redis-py's are RedisErrors
        raise
    except GONE as error:
        raise ConnectError(address.shown, explained(error)) from None


class Durable:
    """The durable groups of one mesh.

    Args:
        client: of its Redis.
        mesh_name: of the mesh.
        keys: the mesh's.
    """

    def __init__(self, client: StreamClient, mesh_name: str, keys: DurableKeys) -> None:
        self._client = client
        self._mesh_name = mesh_name
        self._keys = keys

    async def show_groups(self, *, as_json: bool) -> int:
        """Prints the groups; returns 0."""
        states = await group_states(self._client, self._keys)
        if as_json:
            _print_lines(states)
            return OK
        if not states:
            print(f"no durable groups in {self._mesh_name}: nodes make them by subscribe(…, group=…, durable=True)")
            return OK
        _print_table(
            ("subject", "group", "not begun", "under way", "members", "dead"),
            [
                (
                    state["subject"],
                    state["group"],
                    "many" if state["not_begun"] is None else str(state["not_begun"]),
                    str(state["under_way"]),
                    ", ".join(state["members"]),
                    str(state["dead"]),
                )
                for state in states
            ],
        )
        return OK

    async def show_dead(self, subject: str, group: str, limit: int, *, as_json: bool) -> int:
        """Prints the latest dead letters; returns 0."""
        shown: list[DeadLetter] = []
        has_more = False
        async for letter in dead_letters(self._client, self._keys, subject, group, newest_first=True):
            has_more = len(shown) == limit
            if has_more:
                break
            shown.append(letter)
        shown.reverse()
        if as_json:
            _print_lines(map(_as_data, shown))
            return OK
        if not shown:
            print("no dead letters")
            return OK
        _print_table(
            ("id", "given up", "subject", "group", "event", "attempts", "reason"), [_cells(letter) for letter in shown]
        )
        if has_more:
            print("there are older ones; --limit shows more")
        return OK

    async def replay(self, ids: list[str], subject: str, group: str) -> int:
        """Has dead letters tried again; returns 0, or 1 if one could not."""
        groups = (await read_registry(self._client, self._keys)).groups

        async def again(letter: DeadLetter) -> bool:
            if (letter.pattern, letter.group) not in groups:
                complain(f"{letter.id}: there is no group {letter.group} on {letter.pattern} any more; drop it instead")
                return False
            await dead.replay(self._client, self._keys, letter)
            return True

        return await self._each("replayed", ids, subject, group, again)

    async def drop(self, ids: list[str], subject: str, group: str) -> int:
        """Deletes dead letters; returns 0, or 1 if one was not there."""

        async def drop(letter: DeadLetter) -> bool:
            await dead.drop(self._client, self._keys, letter)
            return True

        return await self._each("dropped", ids, subject, group, drop)

    async def forget(self, subject: str, group: str) -> int:
        """Ends a group; returns 0, or 1 if there is none."""
        waited = await forget_group(self._client, self._keys, (subject, group))
        if waited is None:
            complain(f"there is no durable group {group} on {subject}; `lexmesh durable groups` lists them")
            return FAILURE
        print(f"ended {group} on {subject}, with {waited} events not done")
        return OK

    async def _each(
        self, what: str, ids: list[str], subject: str, group: str, act: Callable[[DeadLetter], Awaitable[bool]]
    ) -> int:
        """Does something with the dead letters of some ids, or with all of a subject and group."""
        done = missed = 0
        async for letter in self._chosen(ids, subject, group):
            if letter is not None and await act(letter):
                done += 1
            else:
                missed += 1
        print(f"{what} {done}")
        return FAILURE if missed else OK

    async def _chosen(self, ids: list[str], subject: str, group: str) -> AsyncIterator[DeadLetter | None]:
        """Those of some ids, None where there is none, or all there are by now."""
        if not ids:
            async for one in dead_letters(self._client, self._keys, subject, group):
                yield one
        for id in dict.fromkeys(ids):
            letter = await dead_letter(self._client, self._keys, id)
            if letter is None or subject not in ("", letter.pattern) or group not in ("", letter.group):
                complain(f"there is no dead letter {id!r}; `lexmesh durable dead` lists them")
                yield None
            else:
                yield letter


def _as_data(letter: DeadLetter) -> dict[str, Any]:
    event = letter.event
    return {
        "id": letter.id,
        "given_up": letter.at,
        "subject": letter.pattern,
        "group": letter.group,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "event": None if event is None else orjson.Fragment(event.to_json()),
    }


def _cells(letter: DeadLetter) -> tuple[str, ...]:
    event = letter.event
    return (
        letter.id,
        _time(letter.at),
        letter.pattern,
        letter.group,
        "unreadable" if event is None else event.id,
        str(letter.attempts),
        letter.reason,
    )


def _time(milliseconds: int) -> str:
    """A time for people; whoever wrote an entry may have numbered it beyond all of them."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "never"


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=NARROWEST)
    console.print(table)


def _print_lines(objects: Iterable[dict[str, Any]]) -> None:
    for one in objects:
        sys.stdout.write(orjson.dumps(one).decode() + "\n")
