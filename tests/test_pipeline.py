"""The pipeline: every outcome, user code of every kind, re-entrancy, depth, and a ledger that balances throughout."""

import asyncio
import json
from typing import Any

import pytest
from strategies import field, message

from lexmesh import (
    DataType,
    EventType,
    LexAmorisComputePipeline,
    MalformedError,
    Outcome,
    StreamData,
    StreamEvent,
    StreamPipeline,
)
from lexmesh._router import Endpoint

pytestmark = pytest.mark.core

NOW = 1_700_000_000_000


class Node:
    """A pipeline with one outside source."""

    def __init__(self, node_id: str = "node", **options: Any) -> None:
        self.pipeline = StreamPipeline(node_id, epoch=7, **options)
        self.core = self.pipeline.core
        self.source = Endpoint()
        self.events: list[StreamEvent] = []

    def keep(self, subject: str = ">") -> "Node":
        self.pipeline.register_handler(subject, self.events.append)
        return self

    def json(self, now: int = NOW, **fields: Any) -> str | None:
        return self.raw(json.dumps({"type": "a", **fields}).encode(), "json", now)

    def raw(self, raw: bytes, format: str, now: int = NOW) -> str | None:
        before = self.pipeline.ledger()
        outcome = self.core.feed(raw, format, self.source, now)
        after = self.pipeline.ledger()
        assert after["balanced"], after
        if outcome is not None:
            changed = {name for name, count in after["ingress"].items() if count != before["ingress"][name]}
            assert outcome in changed
        return outcome

    def counted(self, outcome: str) -> int:
        return self.pipeline.ledger()["ingress"][outcome]


# -- ingress outcomes ----------------------------------------------------------------------------------------------


def test_routed_and_unroutable() -> None:
    node = Node().keep("a")
    assert node.json() == "routed"
    assert node.json(type="b") == "unroutable"
    assert (node.counted("routed"), node.counted("unroutable")) == (1, 1)


def test_denied() -> None:
    node = Node().keep()
    assert node.json(metadata={"x": "force"}) == "denied"
    assert node.events == []
    assert node.pipeline.ledger()["denied_by_rule"] == {"marker-metadata": 1}
    assert node.core.last_refusal == ("marker-metadata", "metadata.x")


@pytest.mark.parametrize(
    ("fields", "late", "outcome"),
    [
        ({"ttl": 0}, 0, "expired"),
        ({"ttl": 0, "timestamp": NOW + 10_000}, 0, "expired"),
        ({"ttl": 5, "timestamp": NOW}, 4, "routed"),
        ({"ttl": 5, "timestamp": NOW}, 5, "expired"),
        ({"ttl": 5}, 10**9, "routed"),  # no timestamp: it is stamped now
        ({"ttl": 2**32 - 1, "timestamp": NOW}, 2**32 - 2, "routed"),
        ({"ttl": 1, "timestamp": 2**63 - 1}, 0, "routed"),  # the sum would not fit 64 bits
        ({"ttl": 1, "timestamp": -(2**63 - 1)}, 0, "expired"),
        ({"timestamp": 0}, 0, "routed"),
    ],
)
def test_expiry(fields: dict[str, int], late: int, outcome: str) -> None:
    node = Node().keep()
    assert node.json(NOW + late, **fields) == outcome
    assert node.counted(outcome) == 1


def test_duplicate() -> None:
    node = Node().keep()
    assert node.json(id="s:1:5") == "routed"
    assert node.json(id="s:1:5") == "duplicate"
    assert node.json(id="s:2:5") == "routed", "another epoch"
    assert node.json(id="t:1:5") == "routed", "another source"
    assert node.raw(message(event_type="a", source_node="s", epoch=1, seq=5), "proto") == "duplicate"
    assert node.json(id="s:1:8") == "routed"
    assert node.core.missing == 2


def test_duplicates_across_links_that_are_trusted_with_names() -> None:
    node = Node().keep()
    node.core.trusts_links = True
    other = Endpoint()
    assert node.core.feed(b'{"type":"a","id":"s:1:6"}', "json", other, NOW) == "routed"
    assert node.core.feed(b'{"type":"a","id":"s:1:6"}', "json", node.source, NOW) == "duplicate", "whoever brings it"


def test_nobody_can_use_up_the_numbers_of_another() -> None:
    node = Node().keep()
    thief = Endpoint()
    assert node.json(id="victim:1:1") == "routed"
    assert node.core.feed(b'{"type":"a","id":"victim:1:5000"}', "json", thief, NOW) == "routed"
    assert node.json(id="victim:1:2") == "routed"
    assert node.core.missing == 0


def test_looped() -> None:
    node = Node().keep()
    assert node.json(depth=42) == "routed"
    assert node.json(depth=43) == "looped"
    assert node.json(depth=2**32 - 1) == "looped"
    assert Node(max_recursion_depth=1).keep().json(depth=2) == "looped"


def test_refused_messages_do_not_count_as_seen() -> None:
    node = Node().keep()
    assert node.json(id="s:1:1", depth=43) == "looped"
    assert node.json(id="s:1:1", metadata={"x": "force"}) == "denied"
    assert node.json(id="s:1:1", ttl=0) == "expired"
    assert node.json(id="s:1:1") == "routed"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"type":"a","type":"b"}', b'{"type":"*"}', b"\xff", b'{"type":""}']
)
def test_malformed(raw: bytes) -> None:
    node = Node().keep()
    assert node.raw(raw, "json") == "malformed"
    assert node.pipeline.ledger()["subjects"] == {"": node.pipeline.ledger()["subjects"][""]}


def test_malformed_by_size() -> None:
    node = Node(max_message_size=1024).keep()
    fits = b'{"type":"a","data":"' + b"x" * (1024 - 22) + b'"}'
    assert node.raw(fits, "json") == "routed"
    assert node.raw(fits + b" ", "json") == "malformed"
    assert node.raw(message(event_type="a", payload=b"x" * 1100), "proto") == "malformed"


def test_filtered() -> None:
    node = Node().keep()
    node.pipeline.add_filter(lambda event: event.data != 1)
    assert node.json(data=1) == "filtered"
    assert node.json(data=2) == "routed"


# -- stamps and targets ---------------------------------------------------------------------------------------------


def test_stamps_what_is_left_out() -> None:
    node = Node("gw").keep()
    node.json()
    node.json(source_node="s")
    node.json(id="s:3:4", timestamp=5)
    node.raw(message(event_type="a", source_node=""), "proto")
    first, second, third, fourth = node.events
    assert (first.source_node, first.id, first.timestamp) == ("gw", "gw:0:1", NOW)
    assert (second.source_node, second.id) == ("s", "s:0:2")
    assert (third.id, third.timestamp) == ("s:3:4", 5)
    assert (fourth.source_node, fourth.id) == ("gw", "gw:0:3")


@pytest.mark.parametrize(("node_id", "heard"), [("me", ["me", ""]), ("", ["me", "", "you"])])
def test_targets(node_id: str, heard: list[str]) -> None:
    node = Node(node_id).keep()
    for target in ("me", "", "you"):
        node.json(target_node=target)
    assert [event.target_node for event in node.events] == heard


# -- user code of every kind ----------------------------------------------------------------------------------------


class CallableFilter:
    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self, _event: StreamEvent) -> Any:
        return self.result


class AsyncCallable:
    def __init__(self, result: Any) -> None:
        self.result = result

    async def __call__(self, event: StreamEvent) -> Any:
        await asyncio.sleep(0)
        return event if self.result is ... else self.result


async def async_step(event: StreamEvent) -> StreamEvent:
    return event


@pytest.mark.parametrize("check", [CallableFilter(1), AsyncCallable(True), async_step, bool.__call__, lambda _e: "yes"])
async def test_filters_that_pass(check: Any) -> None:
    pipeline = StreamPipeline()
    pipeline.register_handler("a", lambda _event: None)
    pipeline.add_filter(check)
    assert (await pipeline.process_event(StreamEvent("a"))).routed


@pytest.mark.parametrize("check", [CallableFilter(0), AsyncCallable(None), lambda _event: [], AsyncCallable("")])
async def test_filters_that_do_not(check: Any) -> None:
    pipeline = StreamPipeline()
    ran: list[int] = []
    pipeline.add_filter(check)
    pipeline.add_filter(lambda _event: ran.append(1))
    pipeline.add_transformer(lambda _event: ran.append(1))
    assert (await pipeline.process_event(StreamEvent("a"))).status == "filtered"
    assert ran == []
    assert pipeline.ledger()["balanced"]


async def test_filters_run_first_and_all_steps_in_order() -> None:
    pipeline = StreamPipeline()
    ran: list[str] = []

    def step(name: str, is_async: bool) -> Any:
        async def later(event: StreamEvent) -> StreamEvent:
            await asyncio.sleep(0)
            ran.append(name)
            return event

        def now(event: StreamEvent) -> StreamEvent:
            ran.append(name)
            return event

        return later if is_async else now

    pipeline.add_transformer(step("t1", False))
    pipeline.add_filter(step("f1", True))
    pipeline.add_filter(step("f2", False))
    pipeline.add_transformer(step("t2", True))
    pipeline.add_filter(step("f3", True))
    pipeline.register_handler("a", lambda _event: ran.append("h"))
    assert await pipeline.process_event(StreamEvent("a"))
    assert ran == ["f1", "f2", "f3", "t1", "t2", "h"]


def rename(event: StreamEvent) -> StreamEvent:
    event.event_type = "b"
    return event


def replace(event: StreamEvent) -> StreamEvent:
    return StreamEvent("b", event.data, source_node=event.source_node, timestamp=event.timestamp)


def change_data(event: StreamEvent) -> StreamEvent:
    event.data["n"] += 1
    return event


def change_metadata(event: StreamEvent) -> StreamEvent:
    event.metadata["note"] = "seen"
    return event


@pytest.mark.parametrize("transform", [rename, replace])
def test_a_transformer_may_change_the_subject(transform: Any) -> None:
    node = Node().keep("b")
    node.pipeline.add_transformer(transform)
    assert node.json(data=1, id="s:1:1") == "routed"
    assert node.events[0].event_type == "b"
    ledger = node.pipeline.ledger()
    assert ledger["subjects"]["a"]["ingress"]["routed"] + ledger["subjects"]["b"]["ingress"]["routed"] == 1


def test_what_a_transformer_changes_in_place_is_what_handlers_get() -> None:
    node = Node().keep()
    node.pipeline.add_transformer(change_data)
    node.pipeline.add_transformer(change_metadata)
    node.json(data={"n": 1}, priority=3, ttl=9, reply_to="x:1:1", id="s:1:1", depth=2, target_node="node")
    event = node.events[0]
    assert (event.data, event.metadata) == ({"n": 2}, {"note": "seen"})
    assert (event.priority, event.ttl, event.reply_to, event.id, event.depth) == (3, 9, "x:1:1", "s:1:1", 2)
    assert event.target_node == "node"


@pytest.mark.parametrize("make", [CallableFilter, AsyncCallable])
async def test_a_transformer_that_returns_none_filters(make: Any) -> None:
    pipeline = StreamPipeline()
    pipeline.add_transformer(make(None))
    assert (await pipeline.process_event(StreamEvent("a"))).status == "filtered"


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_transformer_brings_in_is_policed_again(is_async: bool) -> None:
    pipeline = StreamPipeline()
    heard: list[StreamEvent] = []

    def mark(event: StreamEvent) -> StreamEvent:
        event.metadata["x"] = "force"
        return event

    async def mark_later(event: StreamEvent) -> StreamEvent:
        return mark(event)

    pipeline.add_transformer(mark_later if is_async else mark)
    pipeline.register_handler(">", heard.append)
    outcome = await pipeline.process_event(StreamEvent("a"))
    assert outcome == Outcome("denied", "marker-metadata", "metadata.x")
    assert not outcome
    assert heard == []
    ledger = pipeline.ledger()
    assert (ledger["ingress"]["denied"], ledger["taken"], ledger["balanced"]) == (1, 1, True)


def test_what_a_filter_changes_is_policed_again_too() -> None:
    node = Node().keep()
    node.pipeline.add_filter(lambda event: event.metadata.update(x="force") is None)
    assert node.json() == "denied"


def test_a_transformer_cannot_make_a_reserved_type() -> None:
    node = Node().keep()
    node.pipeline.add_transformer(lambda _event: StreamEvent("_lexmesh.subscribe"))
    assert node.json() == "filtered"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        *(lambda name=name: StreamEvent(name) for name in ("", "*", "a..b", "x" * 256)),
        lambda: StreamEvent("a", object()),
        lambda: StreamEvent("a", {1: 2}),
        lambda: StreamEvent("a", "\ud800"),
        lambda: StreamEvent("a", metadata={"k": 1}),
    ],
)
async def test_a_transformer_that_makes_nonsense_filters_and_is_told(make: Any, is_async: bool) -> None:
    pipeline = StreamPipeline("n")
    errors: list[StreamEvent] = []
    pipeline.register_handler("system_error", errors.append)

    def nonsense(event: StreamEvent) -> StreamEvent:
        return event if event.event_type == "system_error" else make()

    async def nonsense_later(event: StreamEvent) -> StreamEvent:
        return nonsense(event)

    pipeline.add_transformer(nonsense_later if is_async else nonsense)
    assert (await pipeline.process_event(StreamEvent("a"))).status == "filtered"
    ledger = pipeline.ledger()
    assert (ledger["subjects"]["a"]["ingress"]["filtered"], ledger["balanced"]) == (1, True)
    assert len(errors) == 1


def fail(_event: Any) -> Any:
    raise ZeroDivisionError("on purpose")


async def fail_later(_event: Any) -> Any:
    await asyncio.sleep(0)
    raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize("step", [fail, fail_later, CallableFilter("no event")])
@pytest.mark.parametrize("place", ["filter", "transformer"])
async def test_steps_that_fail_filter_and_are_told_once_an_interval(step: Any, place: str) -> None:
    if place == "filter" and isinstance(step, CallableFilter):
        return
    clock = [NOW]
    pipeline = StreamPipeline("n", now=lambda: clock[0])
    errors: list[StreamEvent] = []
    pipeline.register_handler("system_error", errors.append)
    getattr(pipeline, f"add_{place}")(lambda event: event if event.event_type == "system_error" else step(event))
    for _ in range(5):
        assert (await pipeline.process_event(StreamEvent("a", depth=3))).status == "filtered"
    assert len(errors) == 1
    assert errors[0].data["event_type"] == "a"
    assert errors[0].depth == 4
    clock[0] += 1000
    await pipeline.process_event(StreamEvent("a"))
    assert len(errors) == 2
    assert pipeline.ledger()["ingress"]["filtered"] == 6
    assert pipeline.ledger()["balanced"]


async def test_a_failing_step_does_not_report_its_own_report() -> None:
    pipeline = StreamPipeline("n")
    pipeline.add_filter(fail)
    assert (await pipeline.process_event(StreamEvent("a"))).status == "filtered"
    assert pipeline.ledger()["taken"] == 2, "the event, and one system_error that the same filter refused"


# -- handlers -------------------------------------------------------------------------------------------------------


async def test_handlers_of_every_kind() -> None:
    pipeline = StreamPipeline()
    ran: list[str] = []

    async def plain_async(_event: StreamEvent) -> None:
        await asyncio.sleep(0)
        ran.append("async")

    class Object:
        def __call__(self, _event: StreamEvent) -> None:
            ran.append("object")

        def method(self, _event: StreamEvent) -> None:
            ran.append("method")

        async def async_method(self, _event: StreamEvent) -> None:
            ran.append("async method")

    thing = Object()
    handlers = [plain_async, thing, thing.method, thing.async_method, lambda _event: ran.append("lambda")]
    for handler in handlers:
        pipeline.register_handler("a", handler)
    assert await pipeline.process_event(StreamEvent("a"))
    assert sorted(ran) == sorted(["async", "object", "method", "async method", "lambda"])
    assert pipeline.ledger()["egress"]["delivered"] == 5
    for handler in handlers:
        assert pipeline.unregister_handler("a", handler)
        assert not pipeline.unregister_handler("a", handler)
    assert (await pipeline.process_event(StreamEvent("a"))).status == "unroutable"


@pytest.mark.parametrize("handler", [fail, fail_later])
async def test_a_failing_handler_is_counted_and_told(handler: Any) -> None:
    clock = [NOW]
    pipeline = StreamPipeline("n", now=lambda: clock[0])
    errors: list[StreamEvent] = []
    others: list[StreamEvent] = []
    pipeline.register_handler("system_error", errors.append)
    pipeline.register_handler("a", handler)
    pipeline.register_handler("a", others.append)
    for _ in range(4):
        assert await pipeline.process_event(StreamEvent("a"))
    ledger = pipeline.ledger()
    assert (ledger["egress"]["failed"], len(others), len(errors)) == (4, 4, 1)
    assert (
        errors[0].data == {"where": handler.__name__, "error": "ZeroDivisionError", "event_type": "a"}
        or errors[0].data["error"] == "ZeroDivisionError"
    )
    assert "on purpose" not in json.dumps(errors[0].data), "the text may quote what no policy has seen"
    assert ledger["balanced"]


async def test_a_handler_of_system_error_that_fails_ends_there() -> None:
    pipeline = StreamPipeline("n")
    pipeline.register_handler("system_error", fail)
    pipeline.register_handler("a", fail)
    await pipeline.process_event(StreamEvent("a"))
    ledger = pipeline.ledger()
    assert (ledger["taken"], ledger["egress"]["failed"], ledger["balanced"]) == (2, 2, True)


async def test_an_async_handler_without_a_loop_is_counted_as_dropped() -> None:
    node = Node()
    node.pipeline.register_handler("a", fail_later)
    assert node.json() == "routed"
    assert node.pipeline.ledger()["egress"]["dropped"]["overflow"] == 1


async def test_cancelled_while_a_handler_runs() -> None:
    pipeline = StreamPipeline("n")
    pipeline.register_handler("a", lambda _event: asyncio.Event().wait())
    task = asyncio.ensure_future(pipeline.process_event(StreamEvent("a")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    ledger = pipeline.ledger()
    assert ledger["egress"]["dropped"]["cancelled"] == 1
    assert ledger["balanced"]


# -- re-entrancy and depth --------------------------------------------------------------------------------------------


def test_publishing_from_a_handler_leaves_the_outer_message_alone() -> None:
    node = Node("n")
    seen: list[StreamEvent] = []

    def republish(event: StreamEvent) -> None:
        long = {"padding": "y" * 5000, "esc\\aped\n": ['"'] * 50}
        outcome, _ = node.core.publish("inner", long, {f"k{i}": "v" * 50 for i in range(40)}, "", None, 0, "", NOW)
        assert outcome == "routed"
        assert (event.data, event.metadata, event.depth) == ({"a\nb": "\u00e9x"}, {"k\t": "v\\"}, 5)

    for _ in range(2):
        node.pipeline.register_handler("a", republish)
        node.pipeline.register_handler("a", seen.append)
    node.pipeline.register_handler("inner", seen.append)
    raw = b'{"type":"a","depth":5,"data":{"a\\nb":"\\u00e9x"},"metadata":{"k\\t":"v\\\\"},"id":"s\\u00e9:1:1"}'
    assert node.raw(raw, "json") == "routed"
    outer = [event for event in seen if event.event_type == "a"]
    inner = [event for event in seen if event.event_type == "inner"]
    assert [event.depth for event in inner] == [6, 6]
    assert [event.data["padding"] for event in inner] == ["y" * 5000] * 2
    assert all(event.id == "s\u00e9:1:1" and event.data == {"a\nb": "\u00e9x"} for event in outer)
    assert len(outer) == 2
    assert [event.id for event in inner] == ["n:7:1", "n:7:2"]


def test_publishing_from_filters_and_transformers_leaves_the_message_alone() -> None:
    node = Node("n").keep("a")

    def publish(event: StreamEvent) -> StreamEvent:
        if event.event_type == "a":
            node.core.publish("b", "z" * 3000, {"m": "n"}, "", None, 0, "", NOW)
        return event

    node.pipeline.add_filter(publish)
    node.pipeline.add_transformer(publish)
    node.raw(b'{"type":"a","data":"\\u0041\\n","metadata":{"k":"\\u0042"}}', "json")
    assert (node.events[0].data, node.events[0].metadata) == ("A\n", {"k": "B"})
    assert node.counted("unroutable") == 2


def test_a_storm_ends_at_the_depth_limit() -> None:
    node = Node("n")
    depths: list[int] = []
    outcomes: list[str] = []

    def again(event: StreamEvent) -> None:
        depths.append(event.depth)
        outcomes.append(node.core.publish("storm", None, None, "", None, 0, "", NOW)[0])

    node.pipeline.register_handler("storm", again)
    assert node.core.publish("storm", None, None, "", None, 0, "", NOW)[0] == "routed"
    assert depths == list(range(43))
    assert outcomes == ["looped", *["routed"] * 42]
    assert node.pipeline.ledger()["balanced"]
    depths.clear()
    node.core.publish("storm", None, None, "", None, 0, "", NOW)
    assert depths[0] == 0, "the depth of a cause ends with it"


async def test_a_storm_through_process_event_ends_too() -> None:
    pipeline = StreamPipeline("n")
    depths: list[int] = []

    async def again(event: StreamEvent) -> None:
        depths.append(event.depth)
        await pipeline.process_event(StreamEvent("storm"))

    pipeline.register_handler("storm", again)
    assert await pipeline.process_event(StreamEvent("storm"))
    assert depths == list(range(43))
    assert pipeline.ledger()["ingress"]["looped"] == 1
    assert pipeline.ledger()["egress"]["failed"] == 0
    depths.clear()
    await pipeline.process_event(StreamEvent("storm"))
    assert depths[0] == 0


def test_a_failing_handler_does_not_leave_its_depth_behind() -> None:
    node = Node("n").keep("b")
    node.pipeline.register_handler("a", fail)
    node.json(depth=9)
    node.core.publish("b", None, None, "", None, 0, "", NOW)
    assert node.events[0].depth == 0


# -- the Python face ------------------------------------------------------------------------------------------------


async def test_the_seeds_snippet() -> None:
    pipeline = LexAmorisComputePipeline()
    await pipeline.start()
    event = StreamEvent(
        source_node="lex_amoris_compute",
        target_node="bio_synth_ai_control",
        event_type=EventType.BIO_SYNC,
        data={
            "frequency": 0.0043,
            "phase": "synchronizing",
            "mycelium_nodes": ["node_01", "node_02", "node_03"],
        },
    )
    assert (await pipeline.process_event(event)).routed
    temp_data = StreamData(
        source_node="lex_amoris_compute",
        target_node="bio_synth_ai_control",
        data_type=DataType.TEMPERATURE,
        value=22.5,
    )
    assert (await pipeline.process_data(temp_data)).routed
    await pipeline.stop()
    assert pipeline.latest["bio_sync"].data == event.data
    assert pipeline.latest["temperature"].data == 22.5
    for kind in ("sensor_reading", "mycelium_status", "humidity", "mycelium_growth"):
        assert (await pipeline.process_event(StreamEvent(kind, 1))).routed
    assert (await pipeline.process_data(StreamData(DataType.CO2_LEVEL, 1))).status == "unroutable"
    assert pipeline.ledger()["balanced"]


async def test_the_seeds_refusals() -> None:
    pipeline = LexAmorisComputePipeline()
    for metadata in ({"consent_override": "force"}, {"x": "force"}):
        outcome = await pipeline.process_event(StreamEvent("bio_sync", {}, metadata=metadata))
        assert outcome.status == "denied"
        assert outcome.rule
        assert outcome.path.startswith("metadata.")
    assert pipeline.latest == {}


async def test_process_event_of_what_is_no_message() -> None:
    pipeline = StreamPipeline()
    for event_type in ("", "*", "a b", "x" * 300):
        with pytest.raises(MalformedError):
            await pipeline.process_event(StreamEvent(event_type))
    with pytest.raises(TypeError):
        await pipeline.process_event(StreamEvent("a", object()))
    ledger = pipeline.ledger()
    assert ledger["taken"] == 0
    assert ledger["balanced"]


async def test_process_event_takes_the_same_event_again_unless_it_has_an_id() -> None:
    pipeline = StreamPipeline("n")
    pipeline.register_handler("a", lambda _event: None)
    event = StreamEvent("a")
    assert [(await pipeline.process_event(event)).status for _ in range(2)] == ["routed"] * 2
    event = StreamEvent("a", id="s:1:1")
    assert [(await pipeline.process_event(event)).status for _ in range(2)] == ["routed", "duplicate"]
    assert (await pipeline.process_event(StreamEvent("a", ttl=0))).status == "expired"
    late = StreamEvent("a", ttl=5, timestamp=NOW)
    assert (await pipeline.process_event(late, NOW + 5)).status == "expired"


async def test_data_of_every_kind_reaches_handlers_as_it_was() -> None:
    node = Node("n").keep()
    values = [None, True, 1, -1.5, "", "text", "\u00e9\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
              [], {}, {"a": [1, {"b": None}]}, b"", b"\x00\xff", b"text"]  # fmt: skip
    for value in values:
        assert await node.pipeline.process_event(StreamEvent("a", value))
    assert [event.data for event in node.events] == values


async def test_processing_is_concurrent_without_mixing() -> None:
    pipeline = StreamPipeline("n")
    seen: list[int] = []

    async def keep(event: StreamEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event.data)

    pipeline.add_filter(AsyncCallable(True))
    pipeline.register_handler("a", keep)
    outcomes = await asyncio.gather(*(pipeline.process_event(StreamEvent("a", i)) for i in range(100)))
    assert all(outcomes)
    assert sorted(seen) == list(range(100))


@pytest.mark.parametrize("policy", ["p.toml", "", b"p.toml"])
def test_the_path_of_a_policy_is_no_policy(policy: Any) -> None:
    with pytest.raises(TypeError, match=r"NsrPolicy\.load\(path\)"):
        StreamPipeline(policy=policy)
    pipeline = StreamPipeline()
    with pytest.raises(TypeError, match=r"NsrPolicy\.load\(path\)"):
        pipeline.use_policy(policy)
    assert pipeline.policy.digest == pipeline.core.scanner.digest


def test_a_protobuf_message_with_an_unknown_field_is_malformed() -> None:
    node = Node().keep()
    assert node.raw(message(event_type="a") + field(14, 1), "proto") == "malformed"
