"""What a subscriber that never reads costs the others: their 99th percentile beside it and without it."""

import asyncio
import json
import statistics
import time
from typing import Any

import pytest
from cli_process import gateway
from raw_ws import RawClient, text

MESSAGES = 2000
PER_SECOND = 2000
ROUNDS = 5
PADDING = "x" * 4000
MOST_SLOWER = 1.5  # times the p99 without a stalled subscriber


async def latencies(port: int) -> list[float]:
    """Milliseconds from a publisher's send to a subscriber's receipt, both raw and paced, for MESSAGES messages."""
    subscriber, publisher = await RawClient.connect(port), await RawClient.connect(port)
    await subscriber.subscribe("a")
    reading = asyncio.ensure_future(read(subscriber))
    started = time.perf_counter()
    for n in range(MESSAGES):
        await asyncio.sleep(max(0.0, started + n / PER_SECOND - time.perf_counter()))
        publisher.send(text({"type": "a", "data": [time.perf_counter(), PADDING]}))
    found = await reading
    await subscriber.aclose()
    await publisher.aclose()
    return found


async def read(subscriber: RawClient) -> list[float]:
    found = []
    while len(found) < MESSAGES:
        sent = json.loads((await subscriber.frame()).payload)["data"][0]
        found.append(1000 * (time.perf_counter() - sent))
        subscriber.seen.clear()
    return found


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest"])
def test_a_stalled_subscriber_slows_nobody(benchmark: Any, policy: str) -> None:
    """Rounds with and without it take turns, so that what else the machine does tells on both."""

    alone, beside = benchmark.pedantic(lambda: asyncio.run(measure(policy)), rounds=1)
    benchmark.extra_info.update(p99_alone_ms=round(alone, 3), p99_beside_ms=round(beside, 3))
    assert beside <= MOST_SLOWER * alone, f"p99 {beside:.2f} ms beside a stalled subscriber, {alone:.2f} ms without"


async def measure(policy: str) -> tuple[float, float]:
    """The median p99 in ms of rounds without and with a subscriber that never reads."""
    alone, beside = [], []
    with gateway(env={"LEXMESH_OVERFLOW": policy, "LEXMESH_OVERFLOW_BYTES": str(1 << 20)}) as running:
        await latencies(running.port)
        for _ in range(ROUNDS):
            alone.append(p99(await latencies(running.port)))
            stalled = await RawClient.connect(running.port, receive_buffer=4096)
            await stalled.subscribe("a")
            beside.append(p99(await latencies(running.port)))
            await stalled.aclose()
        ledger = await asyncio.to_thread(running.stop)
    assert ledger["egress"]["dropped"]["overflow"] > 0, "it was stalled"
    return statistics.median(alone), statistics.median(beside)
