"""Whom a node links to by itself (no clock, socket or task here)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from lexmesh.mesh.registry.node import Node, NodeStatus

__all__ = ["neighbours"]

SCHEMES = ("ws://", "wss://", "grpc://", "grpcs://", "memory://")


def neighbours(own: str, nodes: Iterable[Node], most: int) -> Mapping[str, tuple[str, ...]]:
    """The nodes that follow this one on a ring of names, and their addresses.

    Names are put on the ring by their hashes. All nodes that follow their next one are in one ring, so the mesh hangs
    together whoever was configured with whom; each further one shortens the way (Stoica et al., "Chord", 2001, of which
    this is the successor list).

    Args:
        own: this node's name.
        nodes: what is known.
        most: how many to link to.
    """
    place = _place(own)
    there = {
        node.entry.node_id: node.entry.addresses
        for node in nodes
        if node.entry.node_id != own
        and node.status in (NodeStatus.INITIALIZING, NodeStatus.ACTIVE, NodeStatus.SUSPECT)
        and any(address.startswith(SCHEMES) for address in node.entry.addresses)
    }
    following = sorted(there, key=lambda name: ((_place(name) - place) % (1 << 64), name))
    return {name: tuple(url for url in there[name] if url.startswith(SCHEMES)) for name in following[:most]}


def _place(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
