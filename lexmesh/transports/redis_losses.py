"""What Redis lost or refused, counted over all starts of a node."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from typing import Any

from redis.exceptions import AskError, MovedError, ReadOnlyError, ResponseError

from lexmesh.transports.redis_faults import explained
from lexmesh.transports.redis_open import AnyRedis

__all__ = ["KeptLosses", "RedisLosses"]

MOST = 1 << 62

KEPT_SECONDS = 90 * 86_400
"""How long the counters of a node that does not come back stay on the server: names may be made up at each start."""

logger = logging.getLogger("lexmesh.redis")


@dataclass(slots=True)
class RedisLosses:
    """Counters.

    Args:
        reconnects: connections that broke and were made again.
        lost: messages of other nodes that were published and did not come: the server drops a connection, with all that
            waits for it, whose reader is too slow (client-output-buffer-limit), and forgets what was under way when it
            restarts. Found when the next one comes on the same channel.
        refused: publications that no node of this mesh has made.
        unpublished: messages that the server's access rules kept this node from publishing.
        durable_lost: events for durable groups that Redis lost, or that were trimmed, before all groups were done with
            them, at most so many, since some may have been done; and those dropped here before Redis had them.
    """

    reconnects: int = 0
    lost: int = 0
    refused: int = 0
    unpublished: int = 0
    durable_lost: int = 0

    def data(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


class KeptLosses:
    """Counters that live in a hash on the server, and are carried on by the next start of the node.

    What the server itself forgets (FLUSHALL) is written again as this start knows it. A server that does not let them
    be read or written is none that does not carry: that is said once.

    Args:
        key: of the hash.

    Attributes:
        losses: the counters.
    """

    def __init__(self, key: str) -> None:
        self.losses = RedisLosses()
        self._key = key
        self._is_loaded = False
        self._is_told = False

    async def load(self, client: AnyRedis) -> None:
        """Adds what earlier starts have counted, unless that has been done.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone, or the key is another server's now.
        """
        if self._is_loaded:
            return
        try:
            kept: dict[Any, Any] = await client.hgetall(self._key)
        except ResponseError as error:
            self._bear(error)
            return
        self._is_loaded = True
        for field in fields(self.losses):
            text = kept.get(field.name.encode(), b"0")
            if text.isdigit() and len(text) < 19:
                setattr(self.losses, field.name, min(MOST, getattr(self.losses, field.name) + int(text)))

    async def keep(self, client: AnyRedis) -> None:
        """Writes them down, if what was there before has been read.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone, or the key is another server's now.
        """
        await self.load(client)
        if not self._is_loaded:
            return
        pipe = client.pipeline(transaction=False)
        pipe.hset(self._key, mapping=dict[Any, Any](self.losses.data()))
        pipe.expire(self._key, KEPT_SECONDS)
        for result in await pipe.execute(raise_on_error=False):
            if isinstance(result, ResponseError):
                self._bear(result)
            elif isinstance(result, Exception):
                raise result

    def _bear(self, error: ResponseError) -> None:
        if isinstance(error, (MovedError, ReadOnlyError)):
            raise error  # to whoever looks for the server that is the master now
        is_moving = isinstance(error, AskError)  # the slot is on its way: there is time until it has arrived
        if not is_moving and not self._is_told:
            self._is_told = True
            logger.warning("Redis does not keep this node's counters of what it lost: %s", explained(error))
