"""Puts in streams what their outlets hold: one entry a message, all that waits in one write."""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.keys import MESSAGE
from lexmesh.transports.durable.outlet import DurableOutlet
from lexmesh.transports.durable.told import Told
from lexmesh.transports.redis_losses import RedisLosses
from lexmesh.transports.redis_outlet import RedisOutlet

__all__ = ["DurableWriter"]

AGAIN_SECONDS = 0.25
"""After which a server that is full is asked again."""


class DurableWriter:
    """What is to be stored, and its way out.

    A write whose confirmation is lost is repeated, so an event may be stored twice: groups find that by its id.

    Args:
        losses: counts what the server's access rules keep this node from storing.
    """

    def __init__(self, losses: RedisLosses) -> None:
        self._losses = losses
        self._full: dict[DurableOutlet, None] = {}
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._told = Told()

    def add(self, outlet: RedisOutlet) -> None:
        """An outlet has something."""
        assert isinstance(outlet, DurableOutlet)
        self._full[outlet] = None
        self._idle.clear()
        self._more.set()

    def remove(self, outlet: DurableOutlet) -> None:
        """An outlet is closed."""
        self._full.pop(outlet, None)

    async def drained(self) -> None:
        """Waits until nothing is to be stored."""
        await self._idle.wait()

    async def write(self, client: StreamClient) -> None:
        """Stores, for ever.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone.
        """
        while True:
            while self._full:
                if not await self._store(client, next(iter(self._full))):
                    await asyncio.sleep(AGAIN_SECONDS)
            self._idle.set()
            self._more.clear()
            await self._more.wait()

    async def _store(self, client: StreamClient, outlet: DurableOutlet) -> bool:
        """Stores a Batch; whether nothing of it has to wait. What is stored of it is not stored again."""
        parts = outlet.parts()
        if not parts:
            self.remove(outlet)
            return True
        pipe = client.pipeline(transaction=False)
        for part in parts:
            pipe.xadd(outlet.channel, {MESSAGE: part})
        results = await pipe.execute(raise_on_error=False)
        errors = [one for one in results if isinstance(one, Exception)]
        for one in errors:
            if not isinstance(one, ResponseError) or isinstance(one, ELSEWHERE):
                raise one
        outlet.stored.add(one for one in results if isinstance(one, bytes))
        self._losses.unpublished += sum(not _may_pass(one) for one in errors)
        matter = f"durable work on {outlet.pattern} cannot be stored"
        if errors:
            self._told.say(matter, errors[0])
        else:
            self._told.is_over(matter)
        outlet.stay([part for part, one in zip(parts, results, strict=True) if _may_pass(one)])
        if outlet in self._full:
            self._full[outlet] = self._full.pop(outlet)  # the others have their turn
        return not any(map(_may_pass, results))


def _may_pass(result: object) -> bool:
    """Whether what a server cannot do now it may do later: it is full, or has not replicas enough (NOREPLICAS)."""
    never = ("NOPERM", "WRONGTYPE", "this user has no permissions", "User ")
    return isinstance(result, Exception) and not str(result).startswith(never)
