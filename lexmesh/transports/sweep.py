"""What nobody's message makes a server notice: links that wait, and memory that waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set as AbstractSet

from lexmesh._pipeline import Core
from lexmesh.transports.freed_memory import WORTH_BYTES, give_back
from lexmesh.transports.session import Session

SWEEP_SECONDS = 1.0
"""How often every connection is looked at, when its timeouts are no shorter."""

AT_ONCE = 64
"""Connections looked at before the loop may serve others: with memory that no cache holds, 3 µs each."""

logger = logging.getLogger("lexmesh.websocket")


async def sweep(core: Core, sessions: AbstractSet[Session], frame_timeout: float) -> None:
    """Looks after a node and all its connections now and then, for ever.

    A loop that was held up has not read what peers sent meanwhile: such time counts as one pause, not against them.

    Args:
        core: the node's pipeline.
        sessions: those open; it changes.
        frame_timeout: seconds, the shortest time that has to be noticed.
    """
    loop = asyncio.get_running_loop()
    pause = min(SWEEP_SECONDS, frame_timeout / 4)
    served = 0.0  # seconds that this loop had time for its sockets
    last = loop.time()
    while True:
        await asyncio.sleep(pause)
        now = loop.time()
        served += min(now - last, 2 * pause)
        last = now
        core.trim()
        freed = 0
        for count, session in enumerate(list(sessions), 1):
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                freed += session.look_after(served)
            except Exception:
                logger.exception("could not look after a connection")
        if freed >= WORTH_BYTES:
            give_back()
