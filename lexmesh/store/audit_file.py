"""The audit on disk, as NDJSON: written beside the event loop, so that neither a flood nor a disk can hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from functools import partial
from pathlib import Path

import orjson

from lexmesh.nsr.audit import Audit, AuditRecord

from .rotating_lines import RotatingLines
from .writer_thread import WriterThread

__all__ = ["AuditFile"]

MOST_WAITING = 8192
"""Records that may wait for the disk, a few MB; what comes on top is lost to the file and counted."""

WARN_SECONDS = 60.0
"""A disk that fails is spoken of at most this often."""

CLOSE_SECONDS = 0.5
"""How long a disk that has taken everything may take to close the file."""

PASSING = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk may get over by itself; anything else at the start is a mistake of configuration."""

logger = logging.getLogger("lexmesh.audit")


class AuditFile:
    """Writes every record of an audit to a file, in a thread, all that came in a loop turn at once.

    Args:
        audit: whose records; its `lost` counts those that did not reach the file.
        path: the file; one node, one file.
        max_bytes: size at which it is rotated.
        kept: rotated files to keep.
    """

    def __init__(self, audit: Audit, path: Path, max_bytes: int, kept: int) -> None:
        self._audit = audit
        self._file = RotatingLines(path, max_bytes, kept)
        self._thread = WriterThread("lexmesh-audit")
        self._waiting: list[AuditRecord] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._warned_at = -WARN_SECONDS
        audit.write_to(self._add)

    async def start(self) -> None:
        """Opens the file; a disk that is full may have room again later, so that is only said.

        Raises:
            OSError: the path is none that can be written to.
        """
        loop = asyncio.get_running_loop()
        self._warned_at = loop.time() - WARN_SECONDS
        try:
            await self._thread.run(self._file.check)
        except OSError as error:
            if error.errno not in PASSING:
                self._thread.end()
                raise
            self._loop = loop
            self._warn(error.strerror or str(error))
        self._loop = loop
        self._wake()

    async def stop(self, seconds: float) -> None:
        """Writes what waits and closes the file; what the disk has not taken by then is lost and counted.

        Args:
            seconds: how long the disk may take.
        """
        self._loop = None
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=seconds)
        self._audit.lost += len(self._waiting)
        self._waiting = []
        with contextlib.suppress(TimeoutError):  # then it is closed when the disk goes on
            async with asyncio.timeout(CLOSE_SECONDS if task is None or task.done() else 0):
                await self._thread.run(self._file.close)
        self._thread.end()

    def _add(self, record: AuditRecord) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(record)
        else:
            self._audit.lost += 1
            self._warn("the disk is slower than the refusals")
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None and self._waiting and self._task is None:
            self._task = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                records, self._waiting = self._waiting, []
                lost, error = await self._thread.run(partial(self._append, records))
                self._audit.lost += lost
                if error is not None:
                    self._warn(error.strerror or str(error))
        finally:
            self._task = None

    def _append(self, records: list[AuditRecord]) -> tuple[int, OSError | None]:
        lines = [orjson.dumps(record._asdict(), option=orjson.OPT_APPEND_NEWLINE) for record in records]
        return self._file.append(lines)

    def _warn(self, reason: str) -> None:
        now = self._loop.time() if self._loop is not None else self._warned_at
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            path, lost = self._file.path, self._audit.lost
            logger.warning("audit file %s: %s; %d records lost to it so far", path, reason.lower(), lost)
