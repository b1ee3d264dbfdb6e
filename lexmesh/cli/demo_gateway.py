"""The demo's gateway: ``lex_amoris_compute``."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from ..transports.websocket import WebSocketServer
from .demo_roles import GATEWAY

__all__ = ["GatewayNode"]

SETTLE_SECONDS: Final = 5.0


class GatewayNode:
    """Polices and relays what the others say, answers bio syncs and notes the rest."""

    def __init__(self) -> None:
        self._server = WebSocketServer(GATEWAY, host="127.0.0.1", port=0)
        self._server.register_handler("bio_sync", self._on_bio_sync)
        self._server.register_handler("mycelium_status", self._on_mycelium_status)
        self._handled = 0

    async def start(self) -> dict[str, Any]:
        """Listens on a free port of this machine."""
        await self._server.start()
        return {"url": f"ws://127.0.0.1:{self._server.port}"}

    def status(self) -> dict[str, Any]:
        """The ledger."""
        return {"ledger": self._server.ledger(), "handled": self._handled}

    async def go(self) -> dict[str, Any]:
        """Nothing to begin: a gateway only answers."""
        return {}

    async def quiet(self) -> dict[str, Any]:
        """Nothing to stop either."""
        return self.status()

    async def settle(self) -> dict[str, Any]:
        """Waits until nothing is in flight."""
        # The ledger is counted in C, and has no event to wait for.
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._server.ledger()["egress"]["in_flight"] and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self.status()

    async def end(self) -> dict[str, Any]:
        """Drains and closes."""
        await self._server.stop()
        return self.status()

    def _on_bio_sync(self, data: Any, websocket: Any) -> dict[str, Any]:
        self._handled += 1
        return {"type": "bio_sync_ack", "status": "ok"}

    async def _on_mycelium_status(self, data: Any, websocket: Any) -> None:
        self._handled += 1
