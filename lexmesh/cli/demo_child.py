"""One node of the demo as a process: ``python -m lexmesh.cli.demo_child ROLE [URL]``.

It reports on stdout and takes orders on stdin, both one JSON object or word a line. The end of stdin is an order too:
whoever started this process is gone, so it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from ..errors import LexmeshError
from ..transports.loop import run
from .demo_roles import GATEWAY, SENSOR, Node
from .exits import FAILURE, OK, complain
from .lines import read_blocks, split_lines

__all__ = ["play"]

STATUS_SECONDS: Final = 0.25
LONGEST_ORDER: Final = 100


def role(name: str, arguments: Sequence[str]) -> Node:
    """Makes the node that plays a role."""
    if name == GATEWAY:
        from .demo_gateway import GatewayNode  # noqa: PLC0415 - a process plays one role

        return GatewayNode()
    if name == SENSOR:
        from .demo_sensor import SensorNode  # noqa: PLC0415

        return SensorNode(arguments[0])
    from .demo_control import ControlNode  # noqa: PLC0415

    return ControlNode(arguments[0])


async def play(node: Node) -> None:
    """Runs a node until it is told to end, or its parent is gone."""
    _report("ready", await node.start())
    reporter = asyncio.create_task(_report_status(node))
    try:
        async for order in _orders():
            if order in ("go", "quiet", "settle", "end"):
                _report(order, await getattr(node, order)())
            if order == "end":
                break
    finally:
        reporter.cancel()


async def _report_status(node: Node) -> None:
    while True:
        _report("status", node.status())
        await asyncio.sleep(STATUS_SECONDS)


def _report(kind: str, fields: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps({"kind": kind, **fields}) + b"\n")
    sys.stdout.buffer.flush()


async def _orders() -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody takes orders any more
            # Not sys.stdin, whose lock the interpreter would wait for at its end.
            for lines in split_lines(read_blocks(0), LONGEST_ORDER):
                for line in lines:
                    loop.call_soon_threadsafe(arrived.put_nowait, line.decode())
            loop.call_soon_threadsafe(arrived.put_nowait, None)

    threading.Thread(target=read, name="lexmesh-orders", daemon=True).start()
    while (order := await arrived.get()) is not None:
        yield order


def main() -> int:
    """Plays the role that the command line names; returns the exit code."""
    try:
        run(play(role(sys.argv[1], sys.argv[2:])))
    except (LexmeshError, OSError) as error:
        complain(f"{sys.argv[1]}: {error}")
        return FAILURE
    return OK


if __name__ == "__main__":
    sys.exit(main())
