"""`_lexmesh.denied`: what a node refuses, as events for handlers of the same process, and for nobody else."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint
from lexmesh._pipeline import Core
from lexmesh.events import RESERVED_PREFIX

from .audit import Audit, AuditRecord

__all__ = ["DENIED_SUBJECT", "Denials"]

DENIED_SUBJECT = RESERVED_PREFIX + "denied"

MOST_WAITING = 1024
"""Refusals that may wait for the handlers; what comes on top is counted as unheard."""


class Denials:
    """Tells handlers of each refusal, once the message that caused it has been dealt with.

    Not at once: a handler may publish, and so come back through the decoder whose spans the refusal still uses. A
    handler whose own messages are refused hears of those with more hops each time, at most MOST_WAITING of them a
    round, until the hops run out. A peer cannot hide behind hops that it claims: its refusals are told in any case.

    Args:
        core: the node's pipeline.
        audit: counts what no handler was told.
        max_depth: refusals of this node's own messages with more hops are not told.
        run: callable(coroutine) -> bool that sees to it that the coroutine runs; false if it cannot now.
    """

    def __init__(
        self, core: Core, audit: Audit, max_depth: int, run: Callable[[Coroutine[Any, Any, Any]], bool]
    ) -> None:
        self._core = core
        self._audit = audit
        self._max_depth = max_depth
        self._run = run
        self._handlers: list[HandlerEndpoint] = []
        self._waiting: deque[tuple[AuditRecord, int]] = deque()
        self._telling: weakref.ref[Coroutine[Any, Any, Any]] | None = None  # dead if its runner let it go

    def subscribe(self, handler: HandlerEndpoint) -> None:
        """Tells a handler from now on."""
        self._handlers.append(handler)

    def unsubscribe(self, handler: object) -> bool:
        """Tells a handler no more; whether it was told."""
        kept = [endpoint for endpoint in self._handlers if endpoint.handler != handler]
        found = len(kept) < len(self._handlers)
        self._handlers = kept
        return found

    def add(self, record: AuditRecord, depth: int, *, is_own: bool) -> None:
        """Takes up a refusal, if anybody listens.

        Args:
            record: what was refused.
            depth: hops of the refused message.
            is_own: whether this node itself published it.
        """
        if not self._handlers:
            return
        if (is_own and depth > self._max_depth) or len(self._waiting) >= MOST_WAITING:
            self._audit.unheard += 1
        else:
            self._waiting.append((record, min(depth + 1, self._max_depth)))
        if self._waiting and (self._telling is None or self._telling() is None):
            self._start()

    def _start(self) -> None:
        telling = self._tell()
        self._telling = weakref.ref(telling)
        if not self._run(telling):  # the next refusal tries again
            telling.close()
            self._telling = None

    async def _tell(self) -> None:
        """Tells what waits now; what the handlers cause meanwhile waits for a round of its own."""
        waiting, self._waiting = self._waiting, deque()
        self._telling = None
        for record, depth in waiting:
            event = StreamEvent(
                DENIED_SUBJECT,
                record._asdict(),
                source_node=self._core.node_id,
                timestamp=record.time,
                depth=depth,
            )
            self._core.announce(list(self._handlers), event)
