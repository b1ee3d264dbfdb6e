"""What happens when a user's handler, filter or transformer raises: one log line and one event an interval."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint
from lexmesh._pipeline import Core
from lexmesh.events import EventType

INTERVAL_MS = 1000
"""A failing handler is reported at most this often; the ledger counts every failure."""

MAX_NAMES = 1024
"""Handlers whose last report is remembered; beyond, the memory starts anew."""

logger = logging.getLogger("lexmesh.pipeline")


class FailureLog:
    """Reports exceptions of user code, bounded in rate.

    Args:
        core: publishes the `system_error`.
        now: reads the time in milliseconds; None: every failure is reported.
    """

    def __init__(self, core: Core, now: Callable[[], int] | None) -> None:
        self._core = core
        self._now = now
        self._reported: dict[str, int] = {}

    def report(self, endpoint: HandlerEndpoint, error: Exception, event: StreamEvent) -> None:
        """Reports a handler's exception."""
        self.report_error(endpoint.name or "handler", error, event)

    def report_error(self, where: str, error: Exception, event: StreamEvent) -> None:
        """Reports an exception: logs it, and publishes it as `system_error` unless it arose from one."""
        now = self._now() if self._now is not None else event.timestamp
        if self._now is not None and now - self._reported.get(where, -INTERVAL_MS) < INTERVAL_MS:
            return
        if len(self._reported) >= MAX_NAMES:
            self._reported.clear()
        self._reported[where] = now
        logger.error("%s failed on %s: %s", where, event.event_type, type(error).__name__, exc_info=error)
        if event.event_type != EventType.SYSTEM_ERROR:
            data = {"where": where, "error": type(error).__name__, "event_type": event.event_type}
            self._core.publish(EventType.SYSTEM_ERROR, data, None, "", None, 0, "", now, event.depth + 1)
