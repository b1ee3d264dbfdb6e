"""What Redis lost or refused, counted over all starts of a node."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from lexmesh.transports.redis_open import AnyRedis

__all__ = ["RedisLosses"]

MOST = 1 << 62


@dataclass(slots=True)
class RedisLosses:
    """Counters, kept in a hash on the server and carried on by the next start of the node.

    Args:
        reconnects: connections that broke and were made again.
        lost: messages of other nodes that were published and did not come: the server drops a connection, with all that
            waits for it, whose reader is too slow (client-output-buffer-limit), and forgets what was under way when it
            restarts.
        refused: publications that no node of this mesh has made.
    """

    reconnects: int = 0
    lost: int = 0
    refused: int = 0

    def data(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    async def add_kept(self, client: AnyRedis, key: str) -> None:
        """Takes in what an earlier start has kept."""
        kept = await client.hgetall(key)
        for field in fields(self):
            text = kept.get(field.name.encode(), b"0")
            if text.isdigit() and len(text) < 19:
                setattr(self, field.name, min(MOST, getattr(self, field.name) + int(text)))

    async def keep(self, client: AnyRedis, key: str) -> None:
        """Writes them down."""
        await client.hset(key, mapping=dict[Any, Any](self.data()))
