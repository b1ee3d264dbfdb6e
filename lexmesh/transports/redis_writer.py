"""Publishes on Redis what outlets hold: all that waits, one command a channel, in one write."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import NoPermissionError

from lexmesh.transports.redis_carrier import Carrier
from lexmesh.transports.redis_faults import explained
from lexmesh.transports.redis_outlet import RedisOutlet

__all__ = ["RedisWriter"]

MOST_AT_ONCE = 64
"""Publications in one write: 4 MiB of them at most."""

logger = logging.getLogger("lexmesh.redis")


class RedisWriter:
    """What is to be published, and its way out.

    Attributes:
        denied: messages that the server does not let this node's user publish.
    """

    def __init__(self) -> None:
        self.denied = 0
        self._full: dict[RedisOutlet, None] = {}
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, outlet: RedisOutlet) -> None:
        """An outlet has something."""
        self._full[outlet] = None
        self._idle.clear()
        self._more.set()

    def remove(self, outlet: RedisOutlet) -> None:
        """An outlet is closed."""
        self._full.pop(outlet, None)

    async def drained(self) -> None:
        """Waits until nothing is to be published."""
        await self._idle.wait()

    async def write(self, carrier: Carrier) -> None:
        """Publishes, for ever.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone; what was not confirmed is published again.
        """
        while True:
            while self._full:
                await self._publish(carrier)
            self._idle.set()
            self._more.clear()
            await self._more.wait()

    async def _publish(self, carrier: Carrier) -> None:
        """Publishes what was said in the oldest round that something waits from: none overtakes by more."""
        self._full = {outlet: None for outlet in self._full if not outlet.outbox.idle}
        if not self._full:
            return
        oldest = min(outlet.round for outlet in self._full)
        first = [outlet for outlet in self._full if outlet.round == oldest][:MOST_AT_ONCE]
        chosen = [(outlet, publication) for outlet in first if (publication := outlet.front()) is not None]
        for outlet in {*first} - {outlet for outlet, _ in chosen}:
            self.remove(outlet)  # it says so when it has something
        pipe = carrier.client.pipeline(transaction=False)
        publish = pipe.spublish if carrier.is_sharded else pipe.publish
        for outlet, publication in chosen:
            publish(outlet.channel, publication)
        for (outlet, _), result in zip(chosen, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(result, NoPermissionError):
                self._denied(outlet, result)
            elif isinstance(result, Exception):
                raise result
            else:
                outlet.taken()

    def _denied(self, outlet: RedisOutlet, error: NoPermissionError) -> None:
        """The server will not take it, however often it is asked: who listens finds the gap."""
        if not self.denied:
            logger.warning("not published on %s: %s", outlet.channel, explained(error))
        self.denied += outlet.messages
        outlet.taken()
