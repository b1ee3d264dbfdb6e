"""Takes a durable group's work, new or left by others, and hands it to this node's handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._work import WorkSource
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.durable.claims import Abandoned, Claimed, Claims, Given
from lexmesh.transports.durable.client import StreamClient
from lexmesh.transports.durable.counts import DurableCounts
from lexmesh.transports.durable.duplicates import duplicates
from lexmesh.transports.durable.handlers import DurableHandlers
from lexmesh.transports.durable.held import HeldEntries, State
from lexmesh.transports.durable.keys import GROUP, MESSAGE, REPLAY, DurableKeys
from lexmesh.transports.durable.page import MOST_AT_ONCE, PageSize
from lexmesh.transports.durable.registry import DurableKey
from lexmesh.transports.durable.settling import Settling
from lexmesh.transports.wall_clock import now_ms

__all__ = ["Taking"]

CLAIM_SECONDS = 0.5
"""How often it is looked for what others have left."""

BLOCK_SECONDS = 0.5
"""How long a read waits for new entries."""

LISTEN_SECONDS = 5.0
"""After a connection came up, or this node hung, others are not taken to be gone: they have to be heard first."""

AT_ONCE = 16
"""Calls before others get the event loop."""

TURN_SECONDS = 0.02
"""That handlers may take before others get the event loop."""

ALONE_FROM = 4
"""The attempt from which on what nobody has finished is done with nothing beside it, if it is one of the last two: what
ends its process each time takes only itself to the dead letters."""


class Taking:
    """One node's share of the work.

    Args:
        pipeline: polices what comes, and counts.
        config: the node's.
        keys: the mesh's.
        key: subject pattern and name of the group.
        source: decodes what comes.
        handlers: do the work.
        held: what this node answers for.
        claims: take over what others have left.
        settling: told of what is not for handlers.
        counts: what became of entries here.
        room: set when an attempt has ended.
    """

    def __init__(
        self,
        pipeline: StreamPipeline,
        config: MeshConfig,
        keys: DurableKeys,
        key: DurableKey,
        source: WorkSource,
        handlers: DurableHandlers,
        held: HeldEntries,
        claims: Claims,
        settling: Settling,
        counts: DurableCounts,
        room: asyncio.Event,
    ) -> None:
        self._pipeline = pipeline
        self._keys = keys
        self._key = key
        self._pattern, self._name = key
        self._stream = keys.stream(self._pattern)
        self._consumer = config.node_id
        self._seconds = config.durable_seconds
        self._dedup_seconds = config.durable_dedup_seconds
        self._attempts = config.durable_attempts
        self._alone_from = max(ALONE_FROM, config.durable_attempts - 1)
        self._source = source
        self._handlers = handlers
        self._held = held
        self._claims = claims
        self._settling = settling
        self._counts = counts
        self._room = room
        self._page = PageSize()
        self._born = self._now()
        self._looked = float("-inf")
        self._listens_since = 0.0
        self._is_alone = False
        self._suspect = b""

    def begin(self) -> None:
        """A connection is new."""
        self._page.begin()
        self._looked = float("-inf")
        self._is_alone = False

    async def run(self, client: StreamClient) -> None:
        """Takes work until the node stops, or has no handlers and nothing under way any more."""
        while not self._settling.is_stopping:
            if not len(self._handlers):
                await self._settling.give_back(client)
                if not len(self._held) and not len(self._handlers):
                    return
                await self._wait(BLOCK_SECONDS)
                continue
            if self._now() >= self._looked + CLAIM_SECONDS or self._is_alone:
                await self._take_over(client)
            if not self._is_alone:
                await self._try_again(client)
            if self._room_for_new() > 0:
                await self._take(client, await self._new(client))
            else:
                await self._wait(self._until_room())
        await self._settling.give_back(client)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _places(self) -> int:
        """How many more entries handlers can be busy with."""
        return min(self._page.size, MOST_AT_ONCE - self._held.count(State.RUNNING))

    def _room_for_new(self) -> int:
        return 0 if self._is_alone or self._held.is_full else self._places()

    def _until_room(self) -> float:
        """Seconds until there may be something to do, if no attempt ends before."""
        if self._is_alone or self._places() <= 0:
            return CLAIM_SECONDS
        return max(0.0, min(CLAIM_SECONDS, self._held.next_due() - self._now()))

    async def _wait(self, seconds: float) -> None:
        self._room.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            pass

    # -- from Redis -------------------------------------------------------------------------------------------------

    async def _new(self, client: StreamClient) -> list[Given]:
        """What nobody has been given yet; of a group that was made anew, not what is under way here."""
        now = self._now()
        wait = min(BLOCK_SECONDS, self._looked + CLAIM_SECONDS - now, self._held.next_due() - now)
        found: Any = await client.xreadgroup(
            self._name,
            self._consumer,
            {self._stream: ">"},
            count=self._room_for_new(),
            block=max(1, int(1000 * wait)),
        )
        pages = [page for pages in found.values() for page in pages] if isinstance(found, dict) else []
        pages = pages or [page for _, page in found or ()]
        return [(entry, fields, 1) for page in pages for entry, fields in page if entry not in self._held]

    async def _try_again(self, client: StreamClient) -> None:
        """Begins what is due, unless another member has been given it: it had rested for too long."""
        now = self._now()
        due = self._held.due(now)[: max(0, self._places())]
        found = await self._claims.claim(
            client, [Abandoned(entry, self._held.idle(entry, now), self._held[entry].attempt + 1) for entry in due]
        )
        for entry in due:
            self._held.drop(entry)
        await self._take_claimed(client, found)

    async def _take_over(self, client: StreamClient) -> None:
        """Takes what others have left, or what has been given to this node and has not come."""
        now = self._now()
        if now - self._looked > LISTEN_SECONDS:
            self._listens_since = now
        self._looked = now
        left = await self._claims.abandoned(
            client,
            self._held,
            int(1000 * (now - self._born)),
            knows_who_is_gone=now - self._listens_since >= LISTEN_SECONDS,
        )
        chosen = self._chosen(left)
        if len(chosen) < len(left):
            self._claims.look_from_the_start()
            self._looked -= CLAIM_SECONDS
        found = await self._claims.claim(client, chosen)
        self._counts.taken_over += len(found.given)
        await self._take_claimed(client, found)

    def _chosen(self, left: list[Abandoned]) -> list[Abandoned]:
        """What is taken now of what has been left: of what may be deadly one, when nothing else is under way."""
        suspects = [one for one in left if self._alone_from <= one.attempt <= self._attempts]
        is_busy = bool(self._held.count(State.RUNNING))
        self._is_alone = bool(suspects) or (is_busy and self._suspect in self._held)
        if suspects and not is_busy:
            self._suspect = suspects[0].entry
        if self._is_alone:
            return [] if is_busy else suspects[:1]
        return left[: max(0, self._places())]

    async def _take_claimed(self, client: StreamClient, found: Claimed) -> None:
        for entry in found.trimmed:
            self._settling.finish(entry)  # who has trimmed it has counted it
        for entry, _, attempt in found.given:
            if attempt > self._attempts:
                self._settling.give_up(entry, attempt - 1, "no node finished it")
        await self._take(client, [one for one in found.given if one[2] <= self._attempts])

    # -- to handlers ------------------------------------------------------------------------------------------------

    async def _take(self, client: StreamClient, given: list[Given]) -> None:
        """Has entries done, but for those that are refused, for others, or there twice."""
        since = self._now()
        events = {}
        for entry, fields, attempt in given:
            event = self._examined(fields)
            if event is None:
                self._settling.finish(entry)
            else:
                replay = fields.get(REPLAY, b"").decode(errors="replace")
                events[entry] = event, attempt, f"{event.id}/{replay}" if replay else event.id
        if events:
            found = [(entry, id) for entry, (_, _, id) in events.items()]
            twice = await duplicates(client, self._keys, self._key, self._dedup_seconds, found)
            begun = self._now()
            for entry in twice:
                self._counts.duplicates += 1
                self._settling.finish(entry)
            await self._hand_out(
                [(entry, event, attempt) for entry, (event, attempt, _) in events.items() if entry not in twice], since
            )
            self._page.had(sum(len(fields.get(MESSAGE, b"")) for _, fields, _ in given), self._now() - begun)

    async def _hand_out(self, work: Iterable[tuple[bytes, StreamEvent, int]], since: float) -> None:
        """Begins one after the other, in turn with whatever else has to be done."""
        turn = self._now()
        for at, (entry, event, attempt) in enumerate(work, 1):
            if self._settling.is_stopping or not len(self._handlers):
                self._held.leave(entry, attempt - 1, since)
            elif self._now() - since > self._seconds:  # soon others may be given it: it is made sure of first
                self._held.leave(entry, attempt - 1, since, self._now())
            else:
                await self._begin(entry, event, attempt, since)
            if at % AT_ONCE == 0 or self._now() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = self._now()

    def _examined(self, fields: dict[bytes, bytes]) -> StreamEvent | None:
        if fields.get(GROUP, self._name.encode()) != self._name.encode():
            return None
        event = self._source.examine(fields.get(MESSAGE, b""), now_ms())
        self._counts.refused += event is None
        return event

    async def _begin(self, entry: bytes, event: StreamEvent, attempt: int, since: float) -> None:
        self._held.begin(entry, attempt, since)
        try:
            async with asyncio.timeout(self._seconds):
                passed = await self._pipeline.filtered(event)
        except TimeoutError:
            self._settling.ended(entry, TimeoutError(f"filters took longer than {self._seconds:g} s"))
            return
        except BaseException:
            self._held.leave(entry, attempt - 1, since, self._now())
            raise
        if passed is not None and passed is not event:
            passed = self._source.examine(passed.to_proto(), now_ms())
        if passed is None:
            self._counts.filtered += 1
            self._source.filtered(event)
            self._settling.finish(entry)
        elif len(self._handlers):
            self._handlers.hand(entry, passed)
        else:
            self._held.leave(entry, attempt - 1, since)
