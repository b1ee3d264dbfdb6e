"""Another policy without a restart: load the file beside the loop, swap between two messages, or keep the old one."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from lexmesh.errors import PolicyError
from lexmesh.nsr import NsrPolicy
from lexmesh.pipeline import StreamPipeline

__all__ = ["PolicyReloader"]

DIGITS = 12
"""Of a digest that are shown in the log."""

logger = logging.getLogger("lexmesh.policy")


class PolicyReloader:
    """Reloads a pipeline's policy from its file.

    Args:
        pipeline: whose policy.
        file: where it is; None if it came from no file.
    """

    def __init__(self, pipeline: StreamPipeline, file: Path | None) -> None:
        self._pipeline = pipeline
        self._file = file
        self._lock = asyncio.Lock()

    async def reload(self) -> bool:
        """Reads the file anew; on any failure the policy in force stays. Either is logged in one line.

        Returns:
            Whether what is in the file is in force now.
        """
        if self._file is None:
            logger.error("policy not reloaded: it came from no file; start with --policy FILE or LEXMESH_POLICY_FILE")
            return False
        async with self._lock:
            old = self._pipeline.policy.digest[:DIGITS]
            try:
                # Compiling thousands of markers takes a while; the scanner is used by the loop's thread alone.
                policy = await asyncio.to_thread(NsrPolicy.load, self._file)
            except Exception as error:
                self._pipeline.reloads["failed"] += 1
                logger.error("policy not reloaded, %s stays in force: %s", old, _reason(self._file, error))
                return False
            self._pipeline.use_policy(policy)
        logger.info("policy reloaded from %s: %s -> %s", self._file, old, policy.digest[:DIGITS])
        return True


def _reason(file: Path, error: Exception) -> str:
    """What is wrong with the file, in one line."""
    text = str(error) if isinstance(error, PolicyError) else f"{file}: {error or type(error).__name__}"
    return " ".join(text.split())
