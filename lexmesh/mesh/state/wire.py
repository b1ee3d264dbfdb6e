"""Registers as plain data, for messages and snapshots, and back again with every bound checked."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

import orjson

from lexmesh.mesh.state.register import Register, Write
from lexmesh.mesh.state.stamp import MOST_COUNT, Stamp
from lexmesh.mesh.state.text import kept_text

__all__ = ["MOST_NODES", "Entry", "EntryError", "entry_from", "entry_of"]

MOST_NODES = 1_024
"""Nodes that ever wrote one key."""

Entry = tuple[str, str, Register]


class EntryError(ValueError):
    """What another node sent is no entry."""


def entry_of(category: str, key: str, register: Register) -> dict[str, Any]:
    """A key's register as data that JSON can say; values are values, so that a policy reads them."""
    return {
        "category": category,
        "key": key,
        "writes": [_data_of(write) for write in register.writes],
        "seen": {node: list(stamp) for node, stamp in (register.seen or {}).items()},
    }


def entry_from(data: Any) -> Entry:
    """Reads what `entry_of` wrote.

    Raises:
        EntryError: if it is anything else; says what is wrong.
    """
    try:
        category, key, writes, seen = data["category"], data["key"], data["writes"], data["seen"]
        if not (isinstance(category, str) and isinstance(key, str) and isinstance(writes, list) and writes):
            raise EntryError("an entry has a category, a key and writes")
        if len(seen) > MOST_NODES or len(writes) > MOST_NODES:
            raise EntryError(f"over {MOST_NODES} nodes wrote {category}/{key}")
        stamps = {_name(node): _stamp(stamp) for node, stamp in seen.items()}
        register = Register(tuple(_write_from(write, stamps) for write in writes), stamps)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise EntryError(f"not an entry: {type(error).__name__} {error}") from None
    if not all(register.has_seen(write) for write in register.writes):
        raise EntryError("a write that its register has not seen")
    return category, key, register


def _data_of(write: Write) -> dict[str, Any]:
    data: dict[str, Any] = {"stamp": list(write.stamp), "node": write.node, "version": write.version}
    return data if write.value is None else {**data, "value": orjson.loads(write.value)}


def _write_from(data: Any, seen: Mapping[str, Stamp]) -> Write:
    value = kept_text(data["value"]) if "value" in data else None
    node, stamp = _name(data["node"]), _stamp(data["stamp"])
    known = seen.get(node)
    return Write(known if known == stamp else stamp, node, _count(data["version"]), value)  # mostly one object for both


def _stamp(data: Any) -> Stamp:
    if not isinstance(data, list) or len(data) != 2:
        raise EntryError("a stamp is two numbers")
    return Stamp(_count(data[0]), _count(data[1]))


def _count(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < MOST_COUNT:
        raise EntryError("numbers of an entry are whole, not negative and below 2**53")
    return number


def _name(node: Any) -> str:
    if not isinstance(node, str) or not 1 <= len(node.encode()) <= 255:
        raise EntryError("a node's name has 1 to 255 bytes")
    return intern(node)  # few nodes write many keys
