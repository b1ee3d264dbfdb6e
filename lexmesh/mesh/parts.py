"""What is too long for one message, in several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

__all__ = ["MOST_BYTES", "MOST_ITEMS", "in_parts"]

MOST_ITEMS = 200

MOST_BYTES = 64 * 1024
"""Of the items in one message, unless a single one is larger: clients can make an entry of their node 100 KB long."""


def in_parts(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Lists of items, each for one message."""
    part: list[dict[str, Any]] = []
    size = 0
    for item in items:
        length = len(orjson.dumps(item))
        if part and (len(part) == MOST_ITEMS or size + length > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part
