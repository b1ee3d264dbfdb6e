"""One handler's endpoint: what is counted, what is closed, what is told."""

import asyncio
from typing import Any

import pytest

from lexmesh import StreamEvent, StreamPipeline
from lexmesh._handlers import cause_depth
from lexmesh._router import Endpoint

pytestmark = pytest.mark.core


def feed(pipeline: StreamPipeline, depth: int = 0) -> str | None:
    return pipeline.core.feed(f'{{"type":"a","depth":{depth}}}'.encode(), "json", Endpoint(), 1)


def test_gets_the_event_and_where_it_came_from() -> None:
    pipeline = StreamPipeline("n")
    got: list[tuple[StreamEvent, Endpoint]] = []
    endpoint = pipeline.subscribe("a", "identity", lambda event, source: got.append((event, source)))
    source = Endpoint()
    pipeline.core.feed(b'{"type":"a"}', "json", source, 1)
    assert got[0][0].event_type == "a"
    assert got[0][1] is source
    assert endpoint.handler == "identity"
    assert endpoint.local
    assert endpoint.counts()["egress"]["delivered"] == 1


def test_events_outlive_the_call() -> None:
    pipeline = StreamPipeline("n")
    kept: list[StreamEvent] = []
    pipeline.register_handler("a", kept.append)
    for i in range(300):
        pipeline.core.feed(
            f'{{"type":"a","data":"\\u0041{i}","metadata":{{"k":"\\u0042{i}"}}}}'.encode(), "json", Endpoint(), 1
        )
    assert [event.data for event in kept] == [f"A{i}" for i in range(300)]
    assert [event.metadata["k"] for event in kept] == [f"B{i}" for i in range(300)]


async def test_the_callers_cause_depth_comes_back() -> None:
    pipeline = StreamPipeline("n")
    seen: list[int] = []

    async def handler(_event: StreamEvent) -> None:
        await asyncio.sleep(0)
        seen.append(cause_depth.get())

    pipeline.register_handler("a", handler)
    await pipeline.process_event(StreamEvent("a", depth=4))
    assert seen == [5]
    assert cause_depth.get() == 0, "what the caller publishes next has no cause"


def test_no_room_closes_the_users_coroutine() -> None:
    """A coroutine that is only let go would warn, and warnings are errors here."""
    pipeline = StreamPipeline("n")
    pipeline.run_coroutines_with(lambda _coroutine: False, lambda _awaitable, _source: None)

    async def handler(_event: StreamEvent) -> None:
        raise AssertionError("never runs")

    pipeline.register_handler("a", handler)
    for _ in range(3):
        assert feed(pipeline) == "routed"
    ledger = pipeline.ledger()
    assert ledger["egress"]["dropped"]["overflow"] == 3
    assert ledger["balanced"]


@pytest.mark.parametrize(
    "result",
    [None, 0, "text", b"", [], {}, {"type": "x"}, {"type": "_lexmesh.error"}, {"k": object()}, {1: 2}, object()],
)
async def test_whatever_it_returns_is_survived(result: Any) -> None:
    pipeline = StreamPipeline("n")
    pipeline.register_handler("a", lambda _event: result)
    assert feed(pipeline) == "routed"
    ledger = pipeline.ledger()
    assert ledger["egress"]["delivered"] >= 1
    assert ledger["egress"]["in_flight"] == 0
    assert ledger["balanced"]


async def test_an_awaitable_that_is_no_coroutine() -> None:
    pipeline = StreamPipeline("n")
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    pipeline.register_handler("a", lambda _event: future)
    assert await pipeline.process_event(StreamEvent("a"))
    assert pipeline.ledger()["egress"]["delivered"] == 1
