"""One durable group, as this node has its part of the work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from lexmesh._codec import StreamEvent
from lexmesh._work import WorkSource
from lexmesh.config import MeshConfig
from lexmesh.errors import TaskRefusedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.durable.claims import Claims, Given
from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.counts import DurableCounts
from lexmesh.transports.durable.dead import MOST_REASON, bury
from lexmesh.transports.durable.duplicates import duplicates
from lexmesh.transports.durable.handlers import DurableHandlers
from lexmesh.transports.durable.held import HeldEntries, State
from lexmesh.transports.durable.keys import GROUP, MESSAGE, REPLAY, DurableKeys
from lexmesh.transports.durable.registry import FROM_NOW, FROM_THE_BEGINNING, DurableKey, create_group
from lexmesh.transports.redis_faults import explained
from lexmesh.transports.together import run_together
from lexmesh.transports.wall_clock import now_ms

__all__ = ["DurableGroup"]

MOST_AT_ONCE = 128
"""Entries that a node works on at a time."""

MOST_FAILED = 1024
"""Entries that wait here for another attempt; beyond, nothing new is taken."""

CLAIM_SECONDS = 0.5
"""How often it is looked for what others have left."""

BLOCK_SECONDS = 0.5
"""How long a read waits for new entries."""

AGAIN_SECONDS = 0.5
"""After which a server that could not do something is asked again."""

AT_ONCE = 16
"""Calls before others get the event loop."""

logger = logging.getLogger("lexmesh.redis")


class DurableGroup:
    """A member of a group.

    Args:
        pipeline: polices what comes, and counts.
        config: the node's.
        keys: the mesh's.
        key: subject pattern and name.
        is_gone: callable(node), whether another member is known to be gone.

    Attributes:
        handlers: do the work.
        counts: what became of it here.
        is_known: whether the group is on Redis.
    """

    def __init__(
        self,
        pipeline: StreamPipeline,
        config: MeshConfig,
        keys: DurableKeys,
        key: DurableKey,
        is_gone: Callable[[str], bool],
    ) -> None:
        self.key = key
        self.counts = DurableCounts()
        self.is_known = False
        self._pipeline = pipeline
        self._keys = keys
        self._pattern, self._name = key
        self._stream = keys.stream(self._pattern)
        self._consumer = config.node_id
        self._dedup_seconds = config.durable_dedup_seconds
        self.source = WorkSource(pipeline.core, self)
        self.handlers = DurableHandlers(pipeline, self.source, config.durable_seconds, self._done)
        self._held = HeldEntries(config.durable_attempts, config.durable_seconds)
        self._attempts = config.durable_attempts
        self._claims = Claims(self._stream, self._name, self._consumer, config.durable_seconds, is_gone)
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._settling = asyncio.Lock()
        self._born = asyncio.get_running_loop().time()
        self._is_stopping = False
        self._fault = ""

    @property
    def remote_address(self) -> str:
        """Where work comes from, for the audit."""
        return f"redis {self._stream}"

    def status(self) -> dict[str, Any]:
        """How it stands, for people."""
        return {
            "subject": self._pattern,
            "group": self._name,
            "handlers": len(self.handlers),
            "under_way": self._held.count(State.RUNNING),
            "waiting": self._held.count(State.FAILED),
            **self.counts.data(),
        }

    # -- life -------------------------------------------------------------------------------------------------------

    async def create(self, client: StreamClient, start: str = FROM_NOW) -> None:
        """Sees to it that the group is on Redis; see create_group."""
        await create_group(client, self._keys, self.key, start)
        self.is_known = True

    async def run(self, client: StreamClient) -> None:
        """Does work while the connection lasts; what runs goes on without it.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone.
        """
        self._changed.set()
        await run_together(self._guarded(self._read, client), self._guarded(self._settle, client))

    async def stop(self, client: StreamClient | None, seconds: float) -> None:
        """Takes no more, lets what runs end, and gives back what is left."""
        self._is_stopping = True
        await self.handlers.stop(seconds)
        if client is not None:
            await self._settle_now(client)
            await self._give_back(client)

    async def _guarded(self, work: Callable[[StreamClient], Any], client: StreamClient) -> None:
        """Goes on after what a server cannot do now: a group that it has lost is made again."""
        while True:
            try:
                await work(client)
            except ELSEWHERE:
                raise
            except ResponseError as error:
                await self._repair(client, error)

    async def _repair(self, client: StreamClient, error: ResponseError) -> None:
        text = str(error)
        if text.startswith(("NOGROUP", "UNBLOCKED", "no such key")):
            logger.warning("Redis has lost the durable group %s of %s; it is made anew", self._name, self._pattern)
            for entry in self._held.among(State.FINISHED):
                self._held.drop(entry)
            try:
                await self.create(client, FROM_THE_BEGINNING)
                return
            except ResponseError as again:
                error = again
        if (fault := explained(error)) != self._fault:
            self._fault = fault
            logger.warning("durable work of %s on %s waits: %s", self._name, self._pattern, fault)
        await asyncio.sleep(AGAIN_SECONDS)

    # -- taking work ------------------------------------------------------------------------------------------------

    async def _read(self, client: StreamClient) -> None:
        loop = asyncio.get_running_loop()
        claim_at = 0.0
        while not self._is_stopping:
            if not len(self.handlers):
                await self._give_back(client)
                await self._wait(BLOCK_SECONDS)
                continue
            if loop.time() >= claim_at:
                await self._take_over(client)
                claim_at = loop.time() + CLAIM_SECONDS
            await self._try_again(client)
            if self._free() > 0:
                wait = min(BLOCK_SECONDS, claim_at - loop.time(), self._held.next_due() - loop.time())
                await self._take(client, await self._new(client, wait))
            else:
                await self._wait(CLAIM_SECONDS)
        await asyncio.Event().wait()

    def _free(self) -> int:
        """How many more entries there is room for."""
        is_full = self._held.count(State.FAILED) >= MOST_FAILED
        return 0 if is_full else MOST_AT_ONCE - self._held.count(State.RUNNING)

    async def _wait(self, seconds: float) -> None:
        self._room.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            pass

    async def _new(self, client: StreamClient, seconds: float) -> list[Given]:
        """What nobody has been given yet."""
        found: Any = await client.xreadgroup(
            self._name,
            self._consumer,
            {self._stream: ">"},
            count=self._free(),
            block=max(1, int(1000 * seconds)),
        )
        pages = [page for pages in found.values() for page in pages] if isinstance(found, dict) else []
        pages = pages or [page for _, page in found or ()]
        self._fault = ""
        return [(entry, fields, 1) for page in pages for entry, fields in page]

    async def _try_again(self, client: StreamClient) -> None:
        """Begins what is due."""
        due = self._held.due(asyncio.get_running_loop().time())[: self._free()]
        if not due:
            return
        wanted = [(entry, self._held[entry].attempt + 1) for entry in due]
        given = await self._claims.again(client, wanted)
        for entry in set(due) - {entry for entry, _, _ in given}:
            self._finish(entry)  # trimmed: who has trimmed it has counted it
        await self._take(client, given)

    async def _take_over(self, client: StreamClient) -> None:
        """Takes what others have left, or what has been given to this node and has not come."""
        lived = int(1000 * (asyncio.get_running_loop().time() - self._born))
        left = (await self._claims.abandoned(client, self._held, lived))[: max(0, self._free())]
        if not left:
            return
        given = await self._claims.claim(client, left)
        self.counts.taken_over += len(given)
        for entry, _, attempt in given:
            if attempt > self._attempts:
                self._held.give_up(entry, attempt - 1, "no node finished it")
                self._changed.set()
        await self._take(client, [one for one in given if one[2] <= self._attempts])

    async def _take(self, client: StreamClient, given: list[Given]) -> None:
        """Has entries done, but for those that are refused, for others, or there twice."""
        events = {}
        for entry, fields, attempt in given:
            event = self._examined(fields)
            if event is None:
                self._finish(entry)
            else:
                replay = fields.get(REPLAY, b"").decode(errors="replace")
                events[entry] = event, attempt, f"{event.id}/{replay}" if replay else event.id
        if not events:
            return
        found = [(entry, id) for entry, (_, _, id) in events.items()]
        twice = await duplicates(client, self._keys, self.key, self._dedup_seconds, found)
        for at, (entry, (event, attempt, _)) in enumerate(events.items()):
            if entry in twice:
                self.counts.duplicates += 1
                self._finish(entry)
            elif self._is_stopping or not len(self.handlers):
                self._held.leave(entry, attempt - 1)
            else:
                await self._begin(entry, event, attempt)
            if at % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)

    def _examined(self, fields: dict[bytes, bytes]) -> StreamEvent | None:
        if fields.get(GROUP, self._name.encode()) != self._name.encode():
            return None
        event = self.source.examine(fields.get(MESSAGE, b""), now_ms())
        self.counts.refused += event is None
        return event

    async def _begin(self, entry: bytes, event: StreamEvent, attempt: int) -> None:
        passed = await self._pipeline.filtered(event)
        if passed is not None and passed is not event:
            passed = self.source.examine(passed.to_proto(), now_ms())
        if passed is None:
            self.counts.filtered += 1
            self.source.filtered(event)
            self._finish(entry)
        else:
            self._held.begin(entry, attempt)
            self.handlers.hand(entry, passed)

    # -- what becomes of it -----------------------------------------------------------------------------------------

    def _finish(self, entry: bytes) -> None:
        self._held.finish(entry)
        self._changed.set()

    def _done(self, entry: bytes, error: BaseException | None) -> None:
        """A handler has ended."""
        if error is None:
            self.counts.done += 1
            self._finish(entry)
        elif isinstance(error, asyncio.CancelledError) and self._is_stopping:
            self._held.leave(entry, self._held[entry].attempt)
        else:
            self.counts.failed += 1
            reason = f"{type(error).__name__}: {error}"[:MOST_REASON]
            now = asyncio.get_running_loop().time()
            if not self._held.failed(entry, now, reason, is_final=isinstance(error, TaskRefusedError)):
                self._changed.set()
        self._room.set()

    async def _settle(self, client: StreamClient) -> None:
        """Acknowledges what is done, and buries what is dead."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._settle_now(client)
            except BaseException:
                self._changed.set()  # whoever comes next has it to do
                raise

    async def _settle_now(self, client: StreamClient) -> None:
        async with self._settling:  # of two at once both would bury the same
            await self._acknowledge(client)
            await self._bury(client)

    async def _acknowledge(self, client: StreamClient) -> None:
        finished = self._held.among(State.FINISHED)
        if finished:
            await client.xack(self._stream, self._name, *finished)
            for entry in finished:
                self._held.drop(entry)

    async def _bury(self, client: StreamClient) -> None:
        for entry in self._held.among(State.DEAD):
            held = self._held[entry]
            if await bury(client, self._keys, self.key, entry, held.attempt, held.reason):
                self.counts.dead += 1
                logger.warning(
                    "%s of %s on %s was given up after %d attempts: see `lexmesh durable dead`",
                    entry.decode(),
                    self._name,
                    self._pattern,
                    held.attempt,
                )
            await client.xack(self._stream, self._name, entry)
            self._held.drop(entry)

    async def _give_back(self, client: StreamClient) -> None:
        """Lets others take at once what has failed here and would be tried again."""
        left = self._held.among(State.FAILED)
        await self._claims.give_back(client, [(entry, self._held[entry].attempt) for entry in left])
        for entry in left:
            self._held.drop(entry)
