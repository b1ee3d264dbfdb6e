"""``lexmesh demo``: three nodes, three processes, and sums that must agree across them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import orjson

from .demo_ledger import Accounts, Check, checks
from .demo_process import NodeProcess
from .demo_roles import CONTROL, GATEWAY, SENSOR
from .exits import FAILURE, OK

__all__ = ["run_demo"]

LIVE_SECONDS: Final = 0.25
PLAIN_SECONDS: Final = 1.0

Nodes = dict[str, NodeProcess]


async def run_demo(seconds: float, *, as_json: bool) -> int:
    """Runs the demo.

    Args:
        seconds: how long the nodes talk.
        as_json: print only the result, as one JSON object.

    Returns:
        0 when every sum agrees, else 1.

    Raises:
        NodeFailedError: a node ended early or does not answer.
    """
    nodes = {name: NodeProcess(name) for name in (GATEWAY, SENSOR, CONTROL)}
    try:
        await _start(nodes)
        async with _display(nodes, as_json):
            await asyncio.sleep(seconds)
        accounts = await _close_accounts(nodes)
    finally:
        await asyncio.gather(*(node.stop() for node in nodes.values()))
    done = checks(accounts)
    _show(accounts, done, as_json)
    return OK if all(check.agrees for check in done) else FAILURE


async def _start(nodes: Nodes) -> None:
    gateway = await nodes[GATEWAY].start()
    clients = (nodes[SENSOR], nodes[CONTROL])
    await asyncio.gather(*(client.start(gateway["url"]) for client in clients))
    await asyncio.gather(*(client.ask("go") for client in clients))  # not before both are subscribed


async def _close_accounts(nodes: Nodes) -> Accounts:
    """Everyone falls silent, everything arrives, everyone says what they counted; only then all leave."""
    clients = (nodes[SENSOR], nodes[CONTROL])
    await asyncio.gather(*(client.ask("quiet") for client in clients))
    sensor, control = await asyncio.gather(*(client.ask("settle") for client in clients))
    gateway = await nodes[GATEWAY].ask("settle")
    await asyncio.gather(*(client.ask("end") for client in clients))
    await nodes[GATEWAY].ask("end")
    return Accounts(gateway, sensor, control)


@asynccontextmanager
async def _display(nodes: Nodes, as_json: bool) -> AsyncIterator[None]:
    if as_json:
        yield
    elif sys.stdout.isatty():
        async with _live(nodes):
            yield
    else:
        async with _repeated(lambda: _print_line(nodes), PLAIN_SECONDS):
            yield


@asynccontextmanager
async def _live(nodes: Nodes) -> AsyncIterator[None]:
    from rich.live import Live  # noqa: PLC0415 - only where there is a terminal

    from .demo_view import live_table  # noqa: PLC0415

    pids = {name: node.pid for name, node in nodes.items()}

    def show() -> None:
        live.update(live_table({name: node.status for name, node in nodes.items()}, pids), refresh=True)

    with Live(auto_refresh=False) as live:
        async with _repeated(show, LIVE_SECONDS):
            yield


@asynccontextmanager
async def _repeated(show: Callable[[], None], seconds: float) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            show()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        show()


def _print_line(nodes: Nodes) -> None:
    from .demo_view import plain_line  # noqa: PLC0415 - brings rich

    print(plain_line({name: node.status for name, node in nodes.items()}), flush=True)


def _show(accounts: Accounts, done: list[Check], as_json: bool) -> None:
    if not as_json:
        from .demo_view import show_ledger  # noqa: PLC0415

        show_ledger(accounts, done)
        return
    result = {
        **accounts.totals(),
        "balanced": all(check.agrees for check in done),
        "checks": [
            {"claim": check.claim, "left": check.left, "right": check.right, "agrees": check.agrees} for check in done
        ],
        "ledger": accounts.ledger,
    }
    print(orjson.dumps(result).decode())
