"""How much memory a gateway's process takes, and takes at most while it is attacked."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import psutil
from cli_process import Gateway


def memory(running: Gateway) -> int:
    """Resident bytes of a gateway's process."""
    return int(psutil.Process(running.process.pid).memory_info().rss)


async def growth_while(running: Gateway, attacks: Iterable[Coroutine[Any, Any, Any]]) -> int:
    """By how many bytes a gateway's process grows at most until all attacks are done."""
    before = most = memory(running)
    tasks = [asyncio.ensure_future(attack) for attack in attacks]
    while not all(task.done() for task in tasks):
        most = max(most, memory(running))
        await asyncio.wait(tasks, timeout=0.05)
    await asyncio.gather(*tasks)
    return max(most, memory(running)) - before
