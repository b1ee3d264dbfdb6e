"""What durable work says to Redis through."""

from __future__ import annotations

from typing import Any

__all__ = ["StreamClient"]

StreamClient = Any
"""A Redis or RedisCluster of redis.asyncio, whose declared answers are unions of what all options may give."""
