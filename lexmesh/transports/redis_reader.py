"""Listens to channels of Redis on one connection, until that breaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lexmesh.transports.redis_carrier import Carrier
from lexmesh.transports.redis_faults import SlotMovedError
from lexmesh.transports.redis_open import REPLY_SECONDS

__all__ = ["RedisReader"]

PING_SECONDS = 1.0
"""Silence after which the server is asked whether it is there."""

MOST_NAMES = 512
"""In one command."""

AT_ONCE = 64
"""Publications taken in before others get the event loop."""


class RedisReader:
    """One connection's subscriptions, and what comes of them.

    Args:
        carrier: the server.
        on_message: callable(channel, publication).
    """

    def __init__(self, carrier: Carrier, on_message: Callable[[bytes, bytes], None]) -> None:
        self._pubsub = carrier.client.pubsub()
        self._subscribe = self._pubsub.ssubscribe if carrier.is_sharded else self._pubsub.subscribe
        self._unsubscribe = self._pubsub.sunsubscribe if carrier.is_sharded else self._pubsub.unsubscribe
        self._on_message = on_message
        self._channels: set[str] = set()
        self._patterns: set[str] = set()
        self._ending: Counter[bytes] = Counter()  # channels whose end has been asked for, and is not confirmed

    def still_hears(self, channels: set[str], patterns: set[str]) -> Callable[[bytes], bool]:
        """Which channels are heard now and go on to be, if these are listened to instead: callable(channel).

        Of a channel that only a pattern brings that is not certain once a pattern ends: then it is False.
        """
        if self._patterns <= patterns:
            ended = {name.encode() for name in self._channels - channels}
            return lambda channel: channel not in ended
        kept = {name.encode() for name in self._channels & channels}
        return kept.__contains__

    async def listen_to(self, channels: set[str], patterns: set[str]) -> None:
        """Subscribes to these and no others."""
        for names in _parts(channels - self._channels):
            await self._subscribe(*names)
        for names in _parts(patterns - self._patterns):
            await self._pubsub.psubscribe(*names)
        for names in _parts(self._channels - channels):
            self._ending.update(name.encode() for name in names)
            await self._unsubscribe(*names)
        for names in _parts(self._patterns - patterns):
            await self._pubsub.punsubscribe(*names)
        self._channels, self._patterns = set(channels), set(patterns)

    async def confirmed(self) -> None:
        """Waits until the server has taken all subscriptions, as nobody else reads.

        Raises:
            redis.exceptions.RedisError, OSError: if it does not, or the connection is gone.
        """
        wanted = {name.encode() for name in self._channels | self._patterns}
        async with asyncio.timeout(REPLY_SECONDS):
            while wanted:
                message = await self._next()
                if message is not None and message["type"] in ("subscribe", "psubscribe", "ssubscribe"):
                    wanted.discard(message["channel"])

    async def read(self) -> None:
        """Hands on what comes, for ever.

        Raises:
            TimeoutError: if the server says nothing any more.
            redis.exceptions.RedisError, OSError: if the connection is gone.
        """
        silent = 0.0
        count = 0
        while True:
            if await self._next() is None:
                silent += PING_SECONDS
                if silent > REPLY_SECONDS:
                    raise TimeoutError
                await self._pubsub.ping()
                continue
            silent = 0.0
            count += 1
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _next(self) -> dict[str, Any] | None:
        """What came next, handed on if it is a publication; None for nothing in PING_SECONDS."""
        message: dict[str, Any] | None = await self._pubsub.get_message(timeout=PING_SECONDS)
        if message is None:
            return None
        if message["type"] in ("message", "pmessage", "smessage"):
            self._on_message(message["channel"], message["data"])
        elif message["type"] in ("unsubscribe", "sunsubscribe"):
            self._ended(message["channel"])
        return message

    def _ended(self, channel: bytes) -> None:
        """A subscription has ended: as asked for, or because the channel's slot is another server's now."""
        self._ending[channel] -= 1
        if self._ending[channel] < 0:
            raise SlotMovedError
        if not self._ending[channel]:
            del self._ending[channel]

    async def close(self) -> None:
        """Ends the connection."""
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]


def _parts(names: Iterable[str]) -> Iterable[list[str]]:
    found = sorted(names)
    return (found[at : at + MOST_NAMES] for at in range(0, len(found), MOST_NAMES))
