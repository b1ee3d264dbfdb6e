"""What two nodes say to each other first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.registry.node import NodeEntry, NodeEntryError, entry_from

__all__ = ["HELLO", "Hello", "HelloError"]

HELLO = RESERVED_PREFIX + "hello"
"""Makes a node's link of a connection; the dialler says it first, and is answered in kind."""


class HelloError(ValueError):
    """What a peer sent is no hello."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a node is.

    Args:
        mesh_name: the mesh that it belongs to.
        entry: what it says of itself: name, start, capabilities, addresses.
        seen_at: the address from which the other side is seen here, without a port; empty in a first hello.
        number: counts the hellos that this node has said first; 0 in an answer.
    """

    mesh_name: str
    entry: NodeEntry
    seen_at: str = ""
    number: int = 0

    @property
    def node_id(self) -> str:
        """The node's name."""
        return self.entry.node_id

    def data(self) -> dict[str, Any]:
        """As data that JSON can say."""
        entry = self.entry.data()
        return {"mesh_name": self.mesh_name, "entry": entry, "seen_at": self.seen_at, "number": self.number}

    @classmethod
    def of(cls, data: Any) -> Hello:
        """Reads what `data` made.

        Raises:
            HelloError: if it is anything else.
        """
        if not isinstance(data, dict):
            raise HelloError("a hello is an object with mesh_name and entry")
        mesh_name, seen_at = data.get("mesh_name"), data.get("seen_at", "")
        if not isinstance(mesh_name, str) or not isinstance(seen_at, str) or len(seen_at) > 255:
            raise HelloError("a hello names its mesh")
        number = data.get("number", 0)
        if type(number) is not int:
            raise HelloError("the number of a hello is a whole one")
        try:
            return cls(mesh_name, entry_from(data.get("entry")), seen_at, number)
        except NodeEntryError as error:
            raise HelloError(str(error)) from None

    def fault(self, ours: Hello) -> str:
        """Why there is no link to who said this, as the other side is told; empty if there may be one."""
        if self.mesh_name != ours.mesh_name:
            return f"the node {ours.node_id} is of the mesh {ours.mesh_name!r}, not of {self.mesh_name!r}"[:123]
        if self.node_id != ours.node_id:
            return ""
        if self.entry.epoch == ours.entry.epoch:
            return "this is the node itself"
        return f"there is a node {ours.node_id!r} already: names are unique in a mesh"[:123]
