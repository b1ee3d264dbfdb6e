"""Coroutines of handlers and filters: bounded, in order within a source, and counted when stopped."""

import asyncio

from raw_ws import eventually

from lexmesh import StreamEvent, StreamPipeline
from lexmesh._router import Endpoint
from lexmesh.transports.runner import BACKLOG_FACTOR, HandlerRunner


class Node:
    def __init__(self, concurrency: int) -> None:
        self.pipeline = StreamPipeline("n")
        self.runner = HandlerRunner(concurrency)
        self.pipeline.run_coroutines_with(self.runner.spawn, self.runner.defer)
        self.source = Endpoint()

    def feed(self, data: int, source: Endpoint | None = None) -> str | None:
        return self.pipeline.core.feed(f'{{"type":"a","data":{data}}}'.encode(), "json", source or self.source, 1)


async def test_no_more_at_once_than_places() -> None:
    node = Node(3)
    running = most = 0
    seen: list[int] = []

    async def handler(event: StreamEvent) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        seen.append(event.data)

    node.pipeline.register_handler("a", handler)
    for i in range(50):
        node.feed(i)
    await eventually(lambda: not node.runner.running)
    assert most == 3
    assert seen == list(range(50))
    assert node.pipeline.ledger()["egress"]["delivered"] == 50


async def test_what_does_not_fit_the_backlog_is_dropped_and_counted() -> None:
    node = Node(1)
    release = asyncio.Event()
    node.pipeline.register_handler("a", lambda _event: release.wait())
    for i in range(1 + BACKLOG_FACTOR + 5):
        node.feed(i)
    egress = node.pipeline.ledger()["egress"]
    assert (egress["dropped"]["overflow"], egress["in_flight"]) == (5, 1 + BACKLOG_FACTOR)
    release.set()
    await node.runner.finish(5)
    ledger = node.pipeline.ledger()
    assert (ledger["egress"]["delivered"], ledger["balanced"]) == (1 + BACKLOG_FACTOR, True)


async def test_a_failing_handler_leaves_its_place() -> None:
    node = Node(1)

    async def handler(_event: StreamEvent) -> None:
        raise ValueError

    node.pipeline.register_handler("a", handler)
    for i in range(5):
        node.feed(i)
    await node.runner.finish(5)
    assert node.pipeline.ledger()["egress"]["failed"] == 5
    assert node.runner.running == 0


async def test_filters_keep_the_order_of_each_source() -> None:
    node = Node(4)
    other = Endpoint()
    gates = {i: asyncio.Event() for i in range(4)}
    seen: list[int] = []

    async def check(event: StreamEvent) -> bool:
        if event.data in gates:
            await gates[event.data].wait()
        return True

    node.pipeline.add_filter(check)
    node.pipeline.register_handler("a", lambda event: seen.append(event.data))
    for i in range(4):
        assert node.feed(i) is None
    node.feed(100, other)
    await eventually(lambda: seen == [100])
    for i in (3, 2, 1, 0):
        gates[i].set()
    await eventually(lambda: len(seen) == 5)
    assert seen == [100, 0, 1, 2, 3]
    await node.runner.finish(1)
    assert node.pipeline.ledger()["undecided"] == 0


async def test_stopping_counts_what_it_cancels() -> None:
    node = Node(2)
    never = asyncio.Event()
    node.pipeline.register_handler("a", lambda _event: never.wait())
    for i in range(10):
        node.feed(i)
    await node.runner.finish(0.01)
    ledger = node.pipeline.ledger()
    assert (ledger["egress"]["dropped"]["cancelled"], ledger["egress"]["in_flight"]) == (10, 0)
    assert ledger["balanced"]
    assert node.runner.running == 0


async def test_stopping_decides_what_filters_still_hold() -> None:
    node = Node(2)
    never = asyncio.Event()
    node.pipeline.add_filter(lambda _event: never.wait())
    for i in range(10):
        node.feed(i)
    assert node.pipeline.ledger()["undecided"] == 10
    await node.runner.finish(0.01)
    ledger = node.pipeline.ledger()
    assert (ledger["undecided"], ledger["ingress"]["filtered"], ledger["balanced"]) == (0, 10, True)


async def test_stopping_with_nothing_to_do() -> None:
    runner = HandlerRunner(1)
    await asyncio.wait_for(runner.finish(60), 1)
    assert runner.running == 0
