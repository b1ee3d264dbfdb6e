"""A node of the demo, seen from the process that started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from ..errors import LexmeshError

__all__ = ["NodeFailedError", "NodeProcess"]

ANSWER_SECONDS: Final = 20.0
END_SECONDS: Final = 3.0


class NodeFailedError(LexmeshError):
    """A node of the demo ended early or does not answer."""


class NodeProcess:
    """A child process that plays a role; it ends when its stdin does, and so with this process at the latest.

    Args:
        role: which, also the node's name.

    Attributes:
        status: what the node reported last.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.status: dict[str, Any] = {}
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def start(self, *arguments: str) -> dict[str, Any]:
        """Starts the process and waits until it is ready.

        Args:
            arguments: of the role.

        Returns:
            What the node says of itself when it is ready.

        Raises:
            NodeFailedError: it ended, or took too long.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "lexmesh.cli.demo_child", self.role, *arguments),
            env=_with_this_package(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,  # a ledger is one line
            # Out of the terminal's group, so that Ctrl-C reaches this process alone, which then ends the others.
            start_new_session=os.name == "posix",
        )
        ready = self._expect("ready")
        self._reader = asyncio.create_task(self._read())
        return await self._answer("ready", ready)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def ask(self, order: str) -> dict[str, Any]:
        """Gives an order and waits for its answer.

        Args:
            order: the name of a method of the role.

        Returns:
            What the method returned.

        Raises:
            NodeFailedError: the process ended, or took too long.
        """
        if self._reader.done():
            raise self._ended_early()
        answer = self._expect(order)
        assert self._process.stdin is not None
        with contextlib.suppress(RuntimeError, OSError):  # the pipe is gone: `_read` will say how it ended
            self._process.stdin.write(order.encode() + b"\n")
        return await self._answer(order, answer)

    async def stop(self) -> None:
        """Ends the process if it has not ended yet; in order if it still can."""
        if not hasattr(self, "_process"):
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    def _expect(self, kind: str) -> asyncio.Future[dict[str, Any]]:
        self._answers[kind] = asyncio.get_running_loop().create_future()
        return self._answers[kind]

    async def _answer(self, kind: str, answer: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise NodeFailedError(f"{self.role} did not answer '{kind}' within {ANSWER_SECONDS:g} s") from None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            report = orjson.loads(line)
            kind = report.pop("kind")
            if kind == "status":
                self.status = report
            elif (answer := self._answers.pop(kind, None)) is not None and not answer.done():
                answer.set_result(report)
        await self._process.wait()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._ended_early())

    def _ended_early(self) -> NodeFailedError:
        return NodeFailedError(f"{self.role} ended early with exit code {self._process.returncode}")


def _with_this_package() -> dict[str, str]:
    """The environment in which a child imports the lexmesh that this process runs, whatever the directory holds."""
    home = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": home if not inherited else os.pathsep.join((home, inherited))}
