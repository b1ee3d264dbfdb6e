"""One durable group, as this node has its part of the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from lexmesh._work import WorkSource
from lexmesh.config import MeshConfig
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.durable.claims import Claims
from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.counts import DurableCounts
from lexmesh.transports.durable.handlers import DurableHandlers
from lexmesh.transports.durable.held import HeldEntries, State
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.registry import (
    FROM_NOW,
    FROM_THE_BEGINNING,
    DurableKey,
    create_group,
    read_registry,
)
from lexmesh.transports.durable.settling import Settling
from lexmesh.transports.durable.taking import Taking
from lexmesh.transports.durable.told import Told
from lexmesh.transports.together import run_together

__all__ = ["DurableGroup"]

AGAIN_SECONDS = 0.5
"""After which a server that could not do something is asked again."""

NEW_SECONDS = 0.05
"""After which it is looked again whether a new group has been made."""

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
        self._keys = keys
        self._pattern, self._name = key
        self._stream = keys.stream(self._pattern)
        self._held = HeldEntries(config.durable_attempts, config.durable_seconds)
        claims = Claims(self._stream, self._name, config.node_id, config.durable_seconds, is_gone)
        room = asyncio.Event()
        self._settling = Settling(keys, key, self._held, claims, self.counts, room.set)
        source = WorkSource(pipeline.core, self)
        self.handlers = DurableHandlers(pipeline, source, config.durable_seconds, self._settling.ended)
        self._taking = Taking(
            pipeline, config, keys, key, source, self.handlers, self._held, claims, self._settling, self.counts, room
        )
        self._takes_none = asyncio.Event()
        self._takes_none.set()
        self._told = Told()

    @property
    def remote_address(self) -> str:
        """Where work comes from, for the audit."""
        return f"redis {self._stream}"

    @property
    def is_idle(self) -> bool:
        """Whether this node has no part in it any more."""
        return not len(self.handlers) and not len(self._held)

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

    async def create(self, client: StreamClient, start: str = FROM_NOW) -> None:
        """Sees to it that the group is on Redis; see create_group."""
        await create_group(client, self._keys, self.key, start)
        self.is_known = True

    async def run(self, client: StreamClient) -> None:
        """Does work while the connection lasts, or until this node has no part in it; what runs goes on without it.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone.
        """
        self._taking.begin()
        self._told = Told()
        await run_together(self._take(client), self._guarded(self._settling.run, client, "is not settled"))

    async def stop(self, client: StreamClient | None, seconds: float, stopper: asyncio.Task[Any] | None) -> None:
        """Takes no more, lets what runs end but for who stops the node, and gives back what is left."""
        self._settling.is_stopping = True
        await self.handlers.stop(seconds, stopper)
        if client is not None:
            await self._settling.settle(client)
            await self._settling.give_back(client)
            await self._takes_none.wait()  # what it is given meanwhile it gives back

    async def _take(self, client: StreamClient) -> None:
        self._takes_none.clear()
        try:
            await self._guarded(self._taking.run, client, "waits")
        finally:
            self._takes_none.set()
        if self._settling.is_stopping:
            await asyncio.Event().wait()  # what is done is still to be settled

    async def _guarded(self, work: Callable[[StreamClient], Any], client: StreamClient, what: str) -> None:
        """Goes on after what a server cannot do now: a group that it has lost is made again."""
        while True:
            try:
                await work(client)
                return
            except ELSEWHERE:
                raise
            except ResponseError as error:
                with contextlib.suppress(ResponseError):
                    if await self._is_made_anew(client, error):
                        continue
                self._told.say(f"durable work of {self._name} on {self._pattern} {what}", error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _is_made_anew(self, client: StreamClient, error: ResponseError) -> bool:
        """Makes a group again that is gone: empty if an operator has ended it."""
        if not str(error).startswith(("NOGROUP", "UNBLOCKED", "no such key")):
            return False
        if not self.is_known:
            await asyncio.sleep(NEW_SECONDS)
            return True
        has_ended = self.key in (await read_registry(client, self._keys)).forgotten
        if not has_ended:
            logger.warning("Redis has lost the durable group %s of %s; it is made anew", self._name, self._pattern)
        for entry in self._held.among(State.FINISHED):
            self._held.drop(entry)
        await self.create(client, FROM_NOW if has_ended else FROM_THE_BEGINNING)
        return True
