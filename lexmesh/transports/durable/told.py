"""Says in the log what stands in the way, once for as long as it does."""

from __future__ import annotations

import logging

from lexmesh.transports.redis_faults import explained

__all__ = ["Told"]

logger = logging.getLogger("lexmesh.redis")


class Told:
    """What has been said of each matter."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}

    def say(self, matter: str, error: Exception) -> None:
        """Logs what a server refused, unless that is what it was said to refuse.

        Args:
            matter: what has to wait or is lost, as the beginning of a sentence.
            error: what the server said.
        """
        fault = explained(error)
        if self._faults.get(matter) != fault:
            self._faults[matter] = fault
            logger.warning("%s: %s", matter, fault)

    def is_over(self, matter: str) -> None:
        """It goes on."""
        self._faults.pop(matter, None)
