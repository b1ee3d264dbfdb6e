"""The three nodes of the demo by name, and what each of them can be told to do."""

from __future__ import annotations

from typing import Any, Final, Protocol

__all__ = ["CONTROL", "GATEWAY", "SENSOR", "Node"]

GATEWAY: Final = "lex_amoris_compute"
SENSOR: Final = "bio_sensor_array"
CONTROL: Final = "bio_synth_ai_control"


class Node(Protocol):
    """What a role does; each order's answer is reported."""

    async def start(self) -> dict[str, Any]:
        """Listens or connects, and tells what others need to know of it."""

    async def go(self) -> dict[str, Any]:
        """Begins to send; everyone listens by now."""

    def status(self) -> dict[str, Any]:
        """What the node has counted so far."""

    async def quiet(self) -> dict[str, Any]:
        """Stops sending; returns once the gateway has taken everything sent."""

    async def settle(self) -> dict[str, Any]:
        """Returns once everything addressed to this node has arrived, with the final counts."""

    async def end(self) -> dict[str, Any]:
        """Leaves in order."""
