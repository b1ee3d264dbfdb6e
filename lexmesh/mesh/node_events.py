"""`node_register`, `node_unregister` and `heartbeat`: what a node finds out about others, as events for who is here.

Each node tells its own handlers and clients what it has found out itself, so these events go to no other node; an
event of such a type that a client publishes is an event like any other, and no registry takes notice of it.
"""

from __future__ import annotations

import contextlib
from dataclasses import fields
from typing import Any

from lexmesh._handlers import cause_depth
from lexmesh._pipeline import Core
from lexmesh.errors import MalformedError
from lexmesh.events import EventType
from lexmesh.mesh.mesh_registry import MeshRegistry
from lexmesh.mesh.registry.node import Load, NodeStatus
from lexmesh.transports.wall_clock import now_ms

__all__ = ["NodeEvents"]

PRESENT = (NodeStatus.ACTIVE, NodeStatus.SUSPECT)

LOAD_FIELDS = tuple(field.name for field in fields(Load))
"""Read one by one: `asdict` copies values that cannot change, at eighteen times the cost."""


class NodeEvents:
    """Publishes what becomes of nodes, where a handler or a client listens.

    `node_register` once a node's heartbeats come, `node_unregister` once it has left, has been silent for too long or
    has started anew, `heartbeat` for each that was taken in, this node's own too.

    Args:
        core: the node's pipeline.
        registry: the node's.
    """

    def __init__(self, core: Core, registry: MeshRegistry) -> None:
        self._core = core
        self._table = registry.table
        self._is_on = False
        registry.on_change(self._changed)

    def start(self) -> None:
        """Begins to tell."""
        self._is_on = True

    def stop(self) -> None:
        """Tells nothing more."""
        self._is_on = False

    def beat(self, node_id: str) -> None:
        """A heartbeat of a node has been taken in."""
        self._tell(EventType.HEARTBEAT, node_id)

    def _changed(self, node_id: str, status: NodeStatus, before: NodeStatus | None) -> None:
        if (status in PRESENT) != (before in PRESENT):
            self._tell(EventType.NODE_REGISTER if status in PRESENT else EventType.NODE_UNREGISTER, node_id)

    def _tell(self, event_type: str, node_id: str) -> None:
        subject = str(event_type)
        if self._is_on and self._core.router.is_heard_here(subject):
            with contextlib.suppress(MalformedError):  # a name is the other node's choice
                self._core.tell_here(subject, self._data(node_id), now_ms(), cause_depth.get())

    def _data(self, node_id: str) -> dict[str, Any]:
        node = self._table.get(node_id)
        if node is None:
            return {"node_id": node_id}
        return {
            "node_id": node_id,
            "status": str(node.status),
            "capabilities": sorted(node.entry.capabilities),
            **{name: getattr(node.load, name) for name in LOAD_FIELDS},
        }
