"""Publishes on Redis what outlets hold: all that waits, one command a channel, in one write."""

from __future__ import annotations

import asyncio

from lexmesh.transports.redis_open import AnyRedis
from lexmesh.transports.redis_outlet import RedisOutlet

__all__ = ["RedisWriter"]

MOST_AT_ONCE = 64
"""Publications in one write: 4 MiB of them at most."""


class RedisWriter:
    """What is to be published, and its way out."""

    def __init__(self) -> None:
        self._full: dict[RedisOutlet, None] = {}
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, outlet: RedisOutlet) -> None:
        """An outlet has something."""
        self._full[outlet] = None
        self._idle.clear()
        self._more.set()

    async def drained(self) -> None:
        """Waits until nothing is to be published."""
        await self._idle.wait()

    async def write(self, client: AnyRedis) -> None:
        """Publishes, for ever.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone; what was not confirmed is published again.
        """
        while True:
            while self._full:
                await self._publish(client, list(self._full)[:MOST_AT_ONCE])
            self._idle.set()
            self._more.clear()
            await self._more.wait()

    async def _publish(self, client: AnyRedis, outlets: list[RedisOutlet]) -> None:
        pipe = client.pipeline(transaction=False)
        sent = []
        for outlet in outlets:
            publication = outlet.front()
            if publication is None:
                self._full.pop(outlet, None)
            else:
                sent.append(outlet)
                pipe.publish(outlet.channel, publication)
        if not sent:
            return
        for outlet, result in zip(sent, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(result, Exception):
                raise result
            outlet.taken()
