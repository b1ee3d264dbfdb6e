"""Filters and transformers as one callable, without a pipeline around them."""

import asyncio
from typing import Any

import pytest

from lexmesh import StreamEvent
from lexmesh.middleware import Middleware

pytestmark = pytest.mark.core


class Failures:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, StreamEvent]] = []

    def report_error(self, where: str, error: Exception, event: StreamEvent) -> None:
        self.told.append((where, type(error).__name__, event))


async def resolved(result: Any) -> Any:
    return await result if hasattr(result, "__await__") else result


def test_without_steps_the_event_passes() -> None:
    event = StreamEvent("a")
    assert Middleware(Failures())(event) is event


def test_sync_steps_need_no_loop() -> None:
    middleware = Middleware(Failures())
    other = StreamEvent("b")
    middleware.add_filter(lambda event: event.event_type == "a")
    middleware.add_transformer(lambda _event: other)
    assert middleware(StreamEvent("a")) is other
    assert middleware(StreamEvent("x")) is None


async def test_from_the_first_async_step_on_it_is_awaited() -> None:
    middleware = Middleware(Failures())
    seen: list[int] = []

    async def check(event: StreamEvent) -> bool:
        await asyncio.sleep(0)
        seen.append(2)
        return event.data == 1

    middleware.add_filter(lambda _event: seen.append(1) is None)
    middleware.add_filter(check)
    middleware.add_transformer(lambda event: seen.append(3) or event)
    event = StreamEvent("a", 1)
    result = middleware(event)
    assert seen == [1]
    assert await resolved(result) is event
    assert seen == [1, 2, 3]
    assert await resolved(middleware(StreamEvent("a", 2))) is None
    assert seen == [1, 2, 3, 1, 2]


async def test_a_future_counts_as_async() -> None:
    middleware = Middleware(Failures())
    future = asyncio.get_running_loop().create_future()
    middleware.add_filter(lambda _event: future)
    result = middleware(StreamEvent("a"))
    future.set_result(True)
    assert await resolved(result) is not None


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("position", [0, 1])
async def test_an_exception_is_told_with_the_original_event(is_async: bool, position: int) -> None:
    failures = Failures()
    middleware = Middleware(failures)

    def bad(_event: StreamEvent) -> Any:
        raise KeyError("x")

    async def bad_later(_event: StreamEvent) -> Any:
        raise KeyError("x")

    async def good_later(event: StreamEvent) -> Any:
        return event

    if position:
        middleware.add_transformer(good_later)
    middleware.add_transformer(bad_later if is_async else bad)
    event = StreamEvent("a")
    assert await resolved(middleware(event)) is None
    name = "bad_later" if is_async else "bad"
    assert [(where.rpartition(".")[2], error) for where, error, _ in failures.told] == [(name, "KeyError")]


@pytest.mark.parametrize("rubbish", [1, "text", {}, True, object()])
async def test_a_transformer_that_returns_rubbish_fails(rubbish: Any) -> None:
    for is_async in (False, True):
        failures = Failures()
        middleware = Middleware(failures)

        async def later(_event: StreamEvent) -> Any:
            return rubbish

        middleware.add_transformer(later if is_async else lambda _event: rubbish)
        assert await resolved(middleware(StreamEvent("a"))) is None
        assert failures.told[0][1] == "TypeError"
