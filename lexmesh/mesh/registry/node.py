"""What one node says of itself, and what others make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from lexmesh._router import check_pattern
from lexmesh.mesh.registry.suspicion import Suspicion
from lexmesh.node_names import check_name

__all__ = ["MOST_NUMBER", "Load", "Node", "NodeEntry", "NodeEntryError", "NodeStatus", "check_capability", "entry_from"]

MOST_CAPABILITIES = 256
MOST_GROUPS = 256
MOST_WILDCARDS = 256
MOST_LINKS = 10_000
MOST_NUMBER = 1 << 53


class NodeStatus(StrEnum):
    """How a node stands."""

    INITIALIZING = "initializing"  # heard of, but no heartbeat yet
    ACTIVE = "active"
    SUSPECT = "suspect"  # its heartbeat is late
    DORMANT = "dormant"  # nothing for so long that it is taken for dead
    DISCONNECTED = "disconnected"  # said goodbye


class NodeEntryError(ValueError):
    """What another node sent is no entry of a registry."""


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """What a node says of itself; only it writes a new version.

    Args:
        node_id: its name.
        epoch: when it started, milliseconds since 1970-01-01 UTC.
        version: counts its changes since then.
        capabilities: what tasks it takes.
        addresses: URLs under which others can link to it.
        leaving: whether it has said goodbye.
        groups: subject pattern, name and members of each queue group in which it has some.
        wildcards: subject patterns to which it listens on a medium that has no patterns of its own.
    """

    node_id: str
    epoch: int
    version: int = 0
    capabilities: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()
    leaving: bool = False
    groups: tuple[tuple[str, str, int], ...] = ()
    wildcards: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Greater is newer."""
        return self.epoch, self.version

    def changed(self, **fields: Any) -> NodeEntry:
        """The next version."""
        return replace(self, version=self.version + 1, **fields)

    def data(self) -> dict[str, Any]:
        """As data that JSON can say."""
        return {
            "node_id": self.node_id,
            "epoch": self.epoch,
            "version": self.version,
            "capabilities": sorted(self.capabilities),
            "addresses": list(self.addresses),
            "leaving": self.leaving,
            **({"groups": [list(group) for group in self.groups]} if self.groups else {}),
            **({"wildcards": list(self.wildcards)} if self.wildcards else {}),
        }


def check_capability(name: str) -> str:
    """Checks the name of a capability; the rules are those of node names.

    Raises:
        ValueError: if it is none.
    """
    try:
        return check_name(name)
    except ValueError as error:
        raise ValueError(f"capability {name!r}: {error}") from None


def entry_from(data: Any) -> NodeEntry:
    """Reads what `NodeEntry.data` made.

    Raises:
        NodeEntryError: if it is anything else.
    """
    try:
        numbers = data["epoch"], data["version"]
        if not all(type(number) is int and 0 <= number < MOST_NUMBER for number in numbers):
            raise NodeEntryError("epoch and version are whole numbers")
        return NodeEntry(
            check_name(data["node_id"]),
            *numbers,
            frozenset(map(check_capability, _texts(data["capabilities"], MOST_CAPABILITIES))),
            tuple(_texts(data["addresses"], 16)),
            data["leaving"] is True,
            tuple(_groups(data.get("groups", []))),
            tuple(map(_pattern, _texts(data.get("wildcards", []), MOST_WILDCARDS))),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NodeEntryError(f"not an entry: {error}") from None


def _texts(items: Any, most: int) -> Iterable[str]:
    if not isinstance(items, list) or len(items) > most or not all(isinstance(item, str) for item in items):
        raise NodeEntryError(f"at most {most} texts")
    if any(len(item) > 1024 for item in items):
        raise NodeEntryError("a text is too long")
    return items


def _groups(items: Any) -> Iterable[tuple[str, str, int]]:
    if not isinstance(items, list) or len(items) > MOST_GROUPS:
        raise NodeEntryError(f"at most {MOST_GROUPS} groups")
    for pattern, name, members in items:
        if not isinstance(pattern, str) or len(pattern) > 255 or type(members) is not int:
            raise NodeEntryError("a group has a subject, a name and members")
        if not 0 < members < MOST_NUMBER:
            raise NodeEntryError("a group has at least one member")
        yield pattern, check_name(name), members


def _pattern(text: str) -> str:
    check_pattern(text)
    return text


@dataclass(slots=True)
class Load:
    """What a node's last heartbeat said of its work.

    Args:
        queue_depth: messages that wait there.
        cpu: share of its event loop's time that it was busy, 0 to 1.
        recursion_depth: greatest depth of a message since the heartbeat before.
        entropy_level: how evenly its messages spread over event types, 0 (all of one type) to 1; Shannon's entropy over
            the logarithm of the number of types.
        total_messages: taken in since its start.
        links: names of the nodes it is linked to.
    """

    queue_depth: int = 0
    cpu: float = 0.0
    recursion_depth: int = 0
    entropy_level: float = 0.0
    total_messages: int = 0
    links: tuple[str, ...] = ()

    def update(self, data: Mapping[str, Any]) -> None:
        """Takes over what a heartbeat says; what is out of range or of another type stays as it was."""
        for name, most in (("queue_depth", MOST_NUMBER), ("recursion_depth", 65_535), ("total_messages", MOST_NUMBER)):
            if type(number := data.get(name)) is int and 0 <= number <= most:
                setattr(self, name, number)
        for name in ("cpu", "entropy_level"):
            if isinstance(share := data.get(name), int | float) and 0 <= share <= 1:
                setattr(self, name, float(share))
        links = data.get("links")
        if isinstance(links, list) and len(links) <= MOST_LINKS and all(isinstance(link, str) for link in links):
            self.links = tuple(links)


@dataclass(slots=True)
class Node:
    """One node as this one sees it.

    Args:
        entry: what it says of itself.
        first_seen: milliseconds since 1970-01-01 UTC.
        suspicion: its heartbeats.
        status: as of the last look.
        load: what its last heartbeat said.
        rtt: milliseconds there and back, as last measured; None if never.
    """

    entry: NodeEntry
    first_seen: int
    suspicion: Suspicion
    status: NodeStatus = NodeStatus.INITIALIZING
    load: Load = field(default_factory=Load)
    rtt: float | None = None
