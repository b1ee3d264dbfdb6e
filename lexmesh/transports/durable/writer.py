"""Puts in streams what their outlets hold: one entry a message, all that waits in one write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.keys import MESSAGE
from lexmesh.transports.durable.outlet import DurableOutlet
from lexmesh.transports.redis_faults import explained
from lexmesh.transports.redis_losses import RedisLosses
from lexmesh.transports.redis_outlet import RedisOutlet

__all__ = ["DurableWriter"]

AGAIN_SECONDS = 0.25
"""After which a server that is full is asked again."""

logger = logging.getLogger("lexmesh.redis")


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
        self._is_told = False

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
        """Stores a Batch; whether the server could."""
        parts = outlet.parts()
        if not parts:
            self.remove(outlet)
            return True
        pipe = client.pipeline(transaction=False)
        for part in parts:
            pipe.xadd(outlet.channel, {MESSAGE: part})
        results = await pipe.execute(raise_on_error=False)
        failed = next((one for one in results if isinstance(one, Exception)), None)
        if failed is not None and (not isinstance(failed, ResponseError) or isinstance(failed, ELSEWHERE)):
            raise failed
        outlet.stored.add(one for one in results if isinstance(one, bytes))
        if failed is None or not _may_pass(failed):
            self._lose(outlet, results)
            outlet.taken()
            self._full[outlet] = self._full.pop(outlet, None)  # the others have their turn
            return True
        self._tell(outlet, failed)
        return False

    def _lose(self, outlet: DurableOutlet, results: Sequence[Any]) -> None:
        """Counts what the server will never take, however often it is asked."""
        errors = [one for one in results if isinstance(one, Exception)]
        self._losses.unpublished += len(errors)
        for error in errors[:1]:
            self._tell(outlet, error)
        if not errors:
            self._is_told = False

    def _tell(self, outlet: DurableOutlet, error: Exception) -> None:
        if not self._is_told:
            self._is_told = True
            logger.warning("durable work on %s cannot be stored: %s", outlet.pattern, explained(error))


def _may_pass(error: Exception) -> bool:
    """Whether what a server cannot do now it may do later: it is full, or has not replicas enough (NOREPLICAS)."""
    text = str(error)
    return not text.startswith(("NOPERM", "WRONGTYPE", "this user has no permissions", "User "))
