"""The event bus of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lexmesh import (
    BusStoppedError,
    DeniedError,
    EventBus,
    EventDroppedError,
    EventType,
    MalformedError,
    StreamEvent,
)

Test = Callable[[EventBus], Awaitable[None]]


def on_bus(test: Test, **options: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with EventBus("my_node", **options) as bus:
            await test(bus)
        ledger = bus.pipeline.ledger()
        assert ledger["balanced"]
        assert ledger["egress"]["in_flight"] == 0
        return bus.get_event_stats()

    return asyncio.run(run())


def test_what_is_published_reaches_who_subscribed() -> None:
    heard: list[StreamEvent] = []
    later: list[StreamEvent] = []

    async def slow(event: StreamEvent) -> None:
        await asyncio.sleep(0)
        later.append(event)

    async def test(bus: EventBus) -> None:
        bus.subscribe(EventType.AGENT_MESSAGE, heard.append)
        bus.subscribe("agent_message", slow)
        bus.subscribe("ritual.*", heard.append)
        id = await bus.publish_agent_message(agent_id="fibonacci_agent", message="Recursion depth reached: 42")
        await bus.publish("ritual.spiral", {"n": 1}, metadata={"site": "north"})
        await bus.publish("unheard", 1)
        assert [event.id for event in bus.get_recent_events(event_type="agent_message")] == [id]
        assert len(bus.get_recent_events(2)) == 2
        assert bus.get_recent_events(0) == []

    stats = on_bus(test)
    assert [(str(event.event_type), event.data) for event in heard] == [
        ("agent_message", {"agent_id": "fibonacci_agent", "message": "Recursion depth reached: 42"}),
        ("ritual.spiral", {"n": 1}),
    ]
    assert [event.id for event in later] == [heard[0].id]
    assert stats == {
        "total_events": 3,
        "heard": 0,
        "queue_size": 0,
        "subscribers": 3,
        "recent_event_counts": {"agent_message": 1, "ritual.spiral": 1, "unheard": 1},
        "running": False,
        "outcomes": {"routed": 2, "unroutable": 1},
    }


def test_callers_cannot_replace_the_fields_of_a_ritual_event() -> None:
    heard: list[Any] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("ritual_cycle", lambda event: heard.append(event.data))
        bus.subscribe("system_alert", lambda event: heard.append(event.data))
        given = {"phase": "ascending", "depth": 7, "ritual_type": "forged", "node_id": "forged"}
        await bus.publish_ritual_event("golden_spiral", given)
        await bus.publish_system_alert("disk", "almost full", severity="critical")

    on_bus(test)
    assert heard == [
        {"phase": "ascending", "depth": 7, "ritual_type": "golden_spiral", "node_id": "my_node"},
        {"alert_type": "disk", "message": "almost full", "severity": "critical", "node_id": "my_node"},
    ]


def test_the_most_important_goes_first_and_equals_in_order() -> None:
    heard: list[int] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", lambda event: heard.append(event.data))
        await asyncio.gather(*(bus.publish("n", number, priority=number % 3) for number in range(9)))

    on_bus(test)
    assert heard == [2, 5, 8, 1, 4, 7, 0, 3, 6]


def test_a_time_to_live_of_zero_expires_at_once() -> None:
    heard: list[Any] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", heard.append)
        await bus.publish("n", 1, ttl=0)
        await bus.publish("n", 2, ttl=60_000)

    assert on_bus(test)["outcomes"] == {"expired": 1, "routed": 1}
    assert [event.data for event in heard] == [2]


def test_the_policy_holds_on_the_bus_and_refusals_reach_nobody() -> None:
    heard: list[Any] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe(">", heard.append)
        with pytest.raises(DeniedError) as denied:
            await bus.publish_agent_message("a", "harm them")
        assert (denied.value.rule, denied.value.path) == ("marker-instruction", "data.message")
        with pytest.raises(MalformedError):
            await bus.publish("n", {"x": float("nan")})

    assert on_bus(test)["outcomes"] == {"denied": 1}
    assert heard == []


@pytest.mark.parametrize(("overflow", "kept"), [("drop_newest", [0, 1, 2]), ("drop_oldest", [7, 8, 9])])
def test_a_full_bus_drops_what_its_policy_says_and_tells_the_publisher(overflow: Any, kept: list[int]) -> None:
    heard: list[int] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", lambda event: heard.append(event.data))
        results = await asyncio.gather(*(bus.publish("n", number) for number in range(10)), return_exceptions=True)
        assert [type(result) is EventDroppedError for result in results] == [number not in kept for number in range(10)]

    assert on_bus(test, most_waiting=3, overflow=overflow)["outcomes"] == {"dropped": 7, "routed": 3}
    assert heard == kept


def test_what_is_important_is_not_dropped_for_what_is_not() -> None:
    heard: list[int] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", lambda event: heard.append(event.data))
        order = [(1, 5), (2, 0), (3, 5), (4, 0), (5, 9)]
        await asyncio.gather(*(bus.publish("n", number, priority=p) for number, p in order), return_exceptions=True)

    on_bus(test, most_waiting=2, overflow="drop_oldest")
    assert heard == [5, 3]


def test_a_full_bus_lets_publishers_wait_and_loses_nothing() -> None:
    heard: list[int] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", lambda event: heard.append(event.data))
        await asyncio.gather(*(bus.publish("n", number) for number in range(1_000)))

    assert on_bus(test, most_waiting=7)["outcomes"] == {"routed": 1_000}
    assert sorted(heard) == list(range(1_000))


def test_a_handler_may_publish_and_its_event_is_one_hop_deeper() -> None:
    heard: list[Any] = []

    async def test(bus: EventBus) -> None:
        async def answer(event: StreamEvent) -> None:
            await bus.publish("second", event.data)

        bus.subscribe("first", answer)
        bus.subscribe("second", lambda event: heard.append(event.depth))
        await bus.publish("first", 1)

    on_bus(test)
    assert heard == [1]


def test_a_publisher_that_gave_up_is_not_waited_for() -> None:
    heard: list[Any] = []

    async def test(bus: EventBus) -> None:
        bus.subscribe("n", heard.append)
        task = asyncio.ensure_future(bus.publish("n", 1))
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.gather(task, bus.publish("n", 2), return_exceptions=True)

    on_bus(test)
    assert [event.data for event in heard] in ([2], [1, 2])


def test_unsubscribing_ends_it_and_a_stopped_bus_says_so() -> None:
    heard: list[Any] = []

    async def run() -> None:
        bus = EventBus("n")
        with pytest.raises(BusStoppedError, match=r"await its start\(\) first"):
            await bus.publish("n", 1)
        async with bus:
            bus.subscribe("n", heard.append)
            bus.subscribe("n", heard.append)
            await bus.publish("n", 1)
            assert bus.unsubscribe("n", heard.append)
            assert not bus.unsubscribe("n", heard.append)
            await bus.publish("n", 2)
        with pytest.raises(BusStoppedError):
            await bus.publish("n", 3)

    asyncio.run(run())
    assert [event.data for event in heard] == [1]


def test_stopping_hands_out_what_waits() -> None:
    heard: list[int] = []

    async def run() -> None:
        bus = EventBus("n")
        await bus.start()
        bus.subscribe("n", lambda event: heard.append(event.data))
        tasks = [asyncio.ensure_future(bus.publish("n", number)) for number in range(600)]
        await asyncio.sleep(0)
        await bus.stop()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert heard == list(range(600))


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="overflow is one of block, drop_oldest, drop_newest, not 'never'"):
        EventBus("n", overflow="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="room for 1 or more"):
        EventBus("n", most_waiting=0)
