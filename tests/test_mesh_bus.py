"""The event bus of a node: the same promises as alone, over real sockets and any hops."""

import asyncio
from typing import Any

import pytest
from mesh_nodes import LINE_OF_4, mesh_of, node, running
from raw_ws import Received, eventually

from lexmesh import (
    BusStoppedError,
    DeniedError,
    EventBus,
    EventDroppedError,
    EventType,
    MalformedError,
    MeshCore,
    StreamEvent,
    WebSocketClient,
)


def rebuilt(mesh: MeshCore, **options: Any) -> EventBus:
    """Another bus for a node, with other bounds."""
    mesh.bus = EventBus(mesh.node_id, pipeline=mesh.pipeline, **options)
    return mesh.bus


async def test_events_of_a_bus_reach_the_subscribers_of_all_nodes_and_a_target_alone() -> None:
    async with mesh_of(*LINE_OF_4) as nodes:
        heard = [Received() for _ in nodes]
        for one, handler in zip(nodes, heard, strict=True):
            one.bus.subscribe("agent_message", handler)
            one.bus.subscribe("ritual.*", handler)
        to_all = await nodes[0].bus.publish("ritual.spiral", {"n": 1}, metadata={"site": "north"})
        to_one = await nodes[0].bus.publish_agent_message("fibonacci_agent", "depth 42", target_node="n3")
        assert await nodes[0].bus.publish("agent_message", "for the neighbour", target_node="n1")
        for handler, count in zip(heard, (1, 2, 1, 2), strict=True):
            await handler.wait(count)
        assert [event.id for event in heard[3].events] == [to_all, to_one]
        assert [event.id for event in heard[2].events] == [to_all]
        event = heard[3].events[1]
        assert event.data == {"agent_id": "fibonacci_agent", "message": "depth 42"}
        assert (event.source_node, event.target_node, heard[3].events[0].metadata) == ("n0", "n3", {"site": "north"})


async def test_bus_subscribers_hear_what_nodes_and_clients_publish_in_any_way_and_answer_it() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[0].bus.subscribe(EventType.SENSOR_READING, heard)
        nodes[0].bus.subscribe("double", lambda event: {"twice": 2 * event.data})
        await nodes[1].broadcast_event("sensor_reading", 1)
        nodes[0].publish("sensor_reading", 2)
        async with WebSocketClient("sensor", f"ws://127.0.0.1:{nodes[1].port}") as client:
            client.publish("sensor_reading", 3)
            assert (await client.request("double", 4)).data == {"twice": 8}
        await heard.wait(3)
        assert sorted(event.data for event in heard.events) == [1, 2, 3]
        assert nodes[0].bus.unsubscribe(EventType.SENSOR_READING, heard)
        assert not nodes[0].bus.unsubscribe("sensor_reading", heard)
        await nodes[1].broadcast_event("sensor_reading", 4)
        nodes[0].subscribe("last", last := Received())
        await nodes[1].broadcast_event("last")
        await last.wait()
        assert len(heard.events) == 3


async def test_ending_a_bus_subscription_leaves_the_nodes_own_of_the_same_handler() -> None:
    async with running(one := node("one")):
        heard = Received()
        one.subscribe("t", heard)
        one.bus.subscribe("t", heard)
        assert one.bus.unsubscribe("t", heard)
        one.publish("t", 1)
        assert [event.data for event in heard.events] == [1]


async def test_figures_of_a_wired_bus_count_what_came_to_its_subscribers_once_and_nothing_else() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        bus = nodes[0].bus
        first, second = Received(), Received()
        bus.subscribe("t", first)
        bus.subscribe("*", second)
        own = await bus.publish("t", "own")
        other = await nodes[1].bus.publish("t", "other")
        await nodes[1].bus.publish("a.b", "nobody here subscribed")
        await nodes[1].bus.publish("last")
        await eventually(lambda: "last" in [event.event_type for event in second.events], "the last one")
        assert [event.id for event in bus.get_recent_events(event_type="t")] == [own, other]
        assert bus.get_recent_events(event_type="t")[1].data == "other"
        stats = bus.get_event_stats()
        assert stats["recent_event_counts"]["t"] == 2
        assert "a.b" not in stats["recent_event_counts"]
        assert stats["outcomes"] == {"routed": 1}
        assert stats["total_events"] == stats["heard"] + 1 == sum(stats["recent_event_counts"].values())
        assert (stats["queue_size"], stats["subscribers"], stats["running"]) == (0, 2, True)


async def test_recent_events_of_others_are_bounded_in_bytes() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[0].bus.subscribe("big", heard)
        for number in range(40):
            await nodes[1].bus.publish("big", f"{number:02}" + 900_000 * "x")
            await nodes[1].flush()
        await heard.wait(40)
        kept = nodes[0].bus.get_recent_events()
        assert 10 < len(kept) < 19
        assert kept[-1].id == heard.events[-1].id


async def test_the_seeds_publishers_reach_other_nodes_and_their_own_fields_stand() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        for subject in (EventType.RITUAL_CYCLE, EventType.SYSTEM_ALERT):
            nodes[1].bus.subscribe(subject, heard)
        forged = {"phase": "ascending", "depth": 7, "ritual_type": "forged", "node_id": "forged"}
        await nodes[0].bus.publish_ritual_event("golden_spiral", forged)
        await nodes[0].bus.publish_system_alert("disk", "almost full", severity="critical", target_node="n1")
        assert [event.data for event in await heard.wait(2)] == [
            {"phase": "ascending", "depth": 7, "ritual_type": "golden_spiral", "node_id": "n0"},
            {"alert_type": "disk", "message": "almost full", "severity": "critical", "node_id": "n0"},
        ]


async def test_the_most_important_goes_first_on_the_wire_too_and_nobody_takes_it_for_a_gap() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[1].bus.subscribe("n", heard)
        await asyncio.gather(*(nodes[0].bus.publish("n", number, priority=number % 3) for number in range(9)))
        await heard.wait(9)
        assert [event.data for event in heard.events] == [2, 5, 8, 1, 4, 7, 0, 3, 6]
        assert [event.priority for event in heard.events] == [2, 2, 2, 1, 1, 1, 0, 0, 0]
        assert nodes[1].pipeline.core.missing == 0


async def test_a_ttl_of_zero_never_leaves_and_a_longer_one_arrives() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[1].bus.subscribe("n", heard)
        await nodes[0].bus.publish("n", 1, ttl=0)
        await nodes[0].bus.publish("n", 2, ttl=60_000)
        await heard.wait()
        assert [(event.data, event.ttl) for event in heard.events] == [(2, 60_000)]
        assert nodes[0].bus.get_event_stats()["outcomes"] == {"expired": 1, "routed": 1}


async def test_the_nodes_policy_holds_on_its_bus() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[1].bus.subscribe("*", heard)
        with pytest.raises(DeniedError) as denied:
            await nodes[0].bus.publish_agent_message("a", "harm them", target_node="n1")
        assert (denied.value.rule, denied.value.path) == ("marker-instruction", "data.message")
        with pytest.raises(MalformedError):
            await nodes[0].bus.publish("n", {"x": float("nan")})
        await nodes[0].bus.publish("n", 1)
        await eventually(lambda: 1 in [event.data for event in heard.events], "the good one")
        assert not [event for event in heard.events if event.event_type == "agent_message"]
        assert nodes[0].ledger()["ingress"]["denied"] == 1
        assert nodes[0].bus.get_event_stats()["outcomes"] == {"denied": 1, "routed": 1}


@pytest.mark.parametrize(("overflow", "kept"), [("drop_newest", [0, 1, 2]), ("drop_oldest", [7, 8, 9])])
async def test_a_full_bus_of_a_node_drops_what_its_policy_says(overflow: Any, kept: list[int]) -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[1].bus.subscribe("n", heard)
        async with rebuilt(nodes[0], most_waiting=3, overflow=overflow) as bus:
            results = await asyncio.gather(*(bus.publish("n", n) for n in range(10)), return_exceptions=True)
            assert [type(result) is EventDroppedError for result in results] == [n not in kept for n in range(10)]
            await heard.wait(3)
            assert [event.data for event in heard.events] == kept
            assert bus.get_event_stats()["outcomes"] == {"dropped": 7, "routed": 3}


async def test_a_full_bus_of_a_node_lets_publishers_wait_and_loses_nothing() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[1].bus.subscribe("n", heard)
        async with rebuilt(nodes[0], most_waiting=7) as bus:
            await asyncio.gather(*(bus.publish("n", number) for number in range(1_000)))
            await heard.wait(1_000)
        assert sorted(event.data for event in heard.events) == list(range(1_000))


async def test_async_subscribers_run_on_the_nodes_runner_and_publish_one_hop_deeper() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()

        async def answer(event: StreamEvent) -> None:
            await nodes[1].bus.publish("second", event.data)

        nodes[1].bus.subscribe("first", answer)
        nodes[0].bus.subscribe("second", heard)
        await nodes[0].bus.publish("first", 1)
        (event,) = await heard.wait()
        assert event.depth == 3  # a hop there, a cause, a hop back


async def test_the_bus_starts_and_stops_with_its_node_and_hands_out_what_waits() -> None:
    async with running(a := node("a")):
        b = node("b", a)
        heard = Received()
        a.bus.subscribe("n", heard)
        with pytest.raises(BusStoppedError):
            await b.bus.publish("n", 1)
        async with running(b):
            await eventually(lambda: a.links == ["b"], "linked")
            waiting = [asyncio.ensure_future(b.bus.publish("n", number)) for number in range(600)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        await heard.wait(600)
        assert [event.data for event in heard.events] == list(range(600))
        with pytest.raises(BusStoppedError):
            await b.bus.publish("n", 2)
        async with running(b):
            await b.bus.publish("n", 3)


async def test_a_failing_bus_subscriber_is_told_of_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async with running(one := node("one")):

        def wrong(_event: StreamEvent) -> None:
            raise KeyError("secret")

        one.bus.subscribe("n", wrong)
        await one.bus.publish("n")
        assert "wrong failed on n: KeyError" in caplog.text
        assert one.ledger()["egress"]["failed"] == 1
