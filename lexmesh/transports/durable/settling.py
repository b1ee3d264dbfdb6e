"""What becomes of the entries of a durable group that this node has been given: done, tried again, or dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from lexmesh.errors import TaskRefusedError
from lexmesh.transports.durable.claims import Abandoned, Claims
from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.counts import DurableCounts
from lexmesh.transports.durable.dead import bury, one_line
from lexmesh.transports.durable.held import HeldEntries, State
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.registry import DurableKey

__all__ = ["Settling"]

logger = logging.getLogger("lexmesh.redis")


class Settling:
    """Notes how attempts end, and says so to Redis.

    Args:
        keys: the mesh's.
        key: subject pattern and name of the group.
        held: what this node answers for.
        claims: gives back what it does not do.
        counts: what became of entries here.
        on_room: callable(), told when an attempt has ended.

    Attributes:
        is_stopping: what is cut off now is for others.
    """

    def __init__(
        self,
        keys: DurableKeys,
        key: DurableKey,
        held: HeldEntries,
        claims: Claims,
        counts: DurableCounts,
        on_room: Callable[[], None],
    ) -> None:
        self.is_stopping = False
        self._keys = keys
        self._key = key
        self._pattern, self._name = key
        self._stream = keys.stream(self._pattern)
        self._held = held
        self._claims = claims
        self._counts = counts
        self._on_room = on_room
        self._changed = asyncio.Event()
        self._changed.set()
        self._one_at_a_time = asyncio.Lock()

    # -- what it is told --------------------------------------------------------------------------------------------

    def finish(self, entry: bytes) -> None:
        """There is nothing more to do about an entry."""
        self._held.finish(entry)
        self._changed.set()

    def give_up(self, entry: bytes, attempt: int, reason: str) -> None:
        """An entry is for the dead letters, after so many attempts."""
        self._held.give_up(entry, attempt, reason)
        self._changed.set()

    def ended(self, entry: bytes, error: BaseException | None) -> None:
        """An attempt has ended, well if there is no error; with CancelledError it was cut off."""
        now = asyncio.get_running_loop().time()
        held = self._held[entry]
        if error is None:
            self._counts.done += 1
            self.finish(entry)
        elif isinstance(error, asyncio.CancelledError) and self.is_stopping:
            self._held.leave(entry, held.attempt, held.since)
        else:
            self._counts.failed += 1
            if not self._held.failed(entry, now, _reason(error), is_final=isinstance(error, TaskRefusedError)):
                self._changed.set()
        self._on_room()

    # -- what it says to Redis --------------------------------------------------------------------------------------

    async def run(self, client: StreamClient) -> None:
        """Acknowledges what is done, and buries what is dead, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.settle(client)
            except BaseException:
                self._changed.set()  # whoever comes next has it to do
                raise

    async def settle(self, client: StreamClient) -> None:
        """Acknowledges what is done until now, and buries what is dead."""
        async with self._one_at_a_time:
            await self._acknowledge(client)
            for entry in self._held.among(State.DEAD):
                await self._bury(client, entry)
        self._on_room()

    async def _acknowledge(self, client: StreamClient) -> None:
        finished = self._held.among(State.FINISHED)
        if finished:
            await client.xack(self._stream, self._name, *finished)
            for entry in finished:
                self._held.drop(entry)

    async def _bury(self, client: StreamClient, entry: bytes) -> None:
        held = self._held[entry]
        letter = await bury(client, self._keys, self._key, entry, held.attempt, held.reason)
        if letter:
            self._counts.dead += 1
            logger.warning(
                "%s gave up an event on %s at attempt %d: dead letter %s, see `lexmesh durable dead`",
                self._name,
                self._pattern,
                held.attempt,
                letter,
            )
        await client.xack(self._stream, self._name, entry)
        self._held.drop(entry)

    async def give_back(self, client: StreamClient) -> None:
        """Lets others take at once what has failed here and would be tried again."""
        now = asyncio.get_running_loop().time()
        left = self._held.among(State.FAILED)
        back = [Abandoned(entry, self._held.idle(entry, now), self._held[entry].attempt) for entry in left]
        await self._claims.give_back(client, back)
        for entry in left:
            self._held.drop(entry)


def _reason(error: BaseException) -> str:
    """Why an attempt failed, for its dead letter; an exception of the user's own kind may not know itself."""
    try:
        return one_line(f"{type(error).__name__}: {error}")
    except Exception:
        return type(error).__name__
