"""What durable work says to Redis through."""

from __future__ import annotations

from typing import Any

from redis.exceptions import MovedError, ReadOnlyError

__all__ = ["ELSEWHERE", "StreamClient"]

ELSEWHERE = (MovedError, ReadOnlyError)
"""What a server answers that has the mesh no more: another one is to be looked for."""

StreamClient = Any
"""A Redis of redis.asyncio, whose declared answers are unions of what all options may give."""
