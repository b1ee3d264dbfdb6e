"""A client whose every message is answered: on the spot, or when async handlers and filters are done."""

import asyncio
import json
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from lexmesh import DeniedError, StreamEvent, StreamPipeline
from lexmesh._asker import Answer, Asker
from lexmesh._router import Endpoint
from lexmesh._wire import fields_of
from lexmesh.transports.grpc_stream import settled as answered

pytestmark = pytest.mark.core


class Node(StreamPipeline):
    """A pipeline whose coroutines run on the test's loop."""

    def __init__(self, **options: Any) -> None:
        super().__init__("n", **options)
        self.tasks: list[asyncio.Future[Any]] = []
        self.has_room = True
        self.run_coroutines_with(self.spawn, self.defer)
        self.on_answer_denied = self.deny_answer
        self.asker = Asker(self.core, None, 7)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        if self.has_room:
            self.tasks.append(asyncio.ensure_future(coroutine))
        return self.has_room

    def defer(self, awaitable: Awaitable[Any], _source: Endpoint) -> None:
        self.tasks.append(asyncio.ensure_future(awaitable))

    def deny_answer(self, source: Endpoint, event: StreamEvent, error: DeniedError) -> None:
        assert isinstance(source, Asker)
        source.answer_denied(event, str(error))

    def ask(self, event_type: str, data: Any = None, **fields: Any) -> bytes | Answer:
        return self.asker.event(StreamEvent(event_type, data, **fields).to_proto())

    def balanced(self) -> dict[str, Any]:
        ledger = self.ledger([self.asker])
        assert ledger["balanced"], ledger
        return ledger


def told(answer: bytes | Answer) -> tuple[bool, str]:
    assert isinstance(answer, bytes)
    fields = fields_of(answer)
    return bool(fields.get(1)), fields[2].decode()


async def settled(answer: bytes | Answer) -> tuple[bool, str]:
    assert isinstance(answer, Answer), "an async handler has begun"
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    answer.when_done(future.set_result)
    return told(await asyncio.wait_for(future, 5))


async def doubled(event: StreamEvent) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"twice": 2 * event.data}


async def test_who_has_just_stopped_waiting_is_told_nothing() -> None:
    node, go_on = Node(), asyncio.Event()

    async def waits(_event: StreamEvent) -> dict[str, int]:
        await go_on.wait()
        return {"too": 1}

    node.register_handler("a", waits)
    answer = node.ask("a")
    assert isinstance(answer, Answer)
    waiting = asyncio.ensure_future(answered(answer))
    await asyncio.sleep(0)
    go_on.set()  # the handler wakes first, with the cancellation told but not yet served
    waiting.cancel()
    await asyncio.gather(*node.tasks)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert node.balanced()["egress"]["in_flight"] == 0


async def test_a_reading_that_async_filters_refuse_has_no_id() -> None:
    node = Node()

    async def none(_event: StreamEvent) -> bool:
        return False

    node.add_filter(none)
    answer = node.asker.reading(StreamEvent("a", source_node="s").to_proto())
    assert isinstance(answer, Answer)
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    answer.when_done(future.set_result)
    fields = fields_of(await future)
    assert told(await future) == (False, "filtered")
    assert 3 not in fields


def test_what_sync_handlers_answer_comes_a_line_each() -> None:
    node = Node()
    node.register_handler("a", lambda event: {"first": event.data})
    node.register_handler("a", lambda _event: None)
    node.register_handler("a", lambda event: {"second": event.data})
    assert told(node.ask("a", 1)) == (True, '{"first":1}\n{"second":1}')
    assert told(node.ask("b")) == (True, "unroutable")
    assert node.balanced()["egress"]["delivered"] == 5


async def test_async_handlers_are_waited_for() -> None:
    node = Node()
    node.register_handler("a", lambda event: {"sync": event.data})
    node.register_handler("a", doubled)
    node.register_handler("a", doubled)
    answers = [node.ask("a", n) for n in range(3)]
    for n, answer in enumerate(answers):
        success, text = await settled(answer)
        assert success
        assert [json.loads(line) for line in text.split("\n")] == [{"sync": n}, {"twice": 2 * n}, {"twice": 2 * n}]
    node.balanced()


async def test_a_handler_that_fails_or_finds_no_room_keeps_nobody_waiting() -> None:
    node = Node()

    async def fails(_event: StreamEvent) -> None:
        raise ValueError("on purpose")

    node.register_handler("a", fails)
    assert await settled(node.ask("a")) == (True, "routed")
    node.has_room = False
    assert told(node.ask("a")) == (True, "routed")
    egress = node.balanced()["egress"]
    assert (egress["failed"], egress["dropped"]["overflow"]) == (1, 1)


async def test_an_answer_that_nobody_reads_any_more_is_counted_as_dropped() -> None:
    node = Node()
    node.register_handler("a", doubled)
    answer = node.ask("a", 1)
    assert isinstance(answer, Answer)
    answer.abandon()
    await asyncio.gather(*node.tasks)
    assert node.balanced()["egress"]["dropped"]["disconnected"] == 1


@pytest.mark.parametrize("passes", [True, False])
async def test_async_filters_decide_what_is_answered(passes: bool) -> None:
    node = Node()

    async def check(_event: StreamEvent) -> bool:
        await asyncio.sleep(0)
        return passes

    node.add_filter(check)
    node.register_handler("a", lambda event: {"got": event.data})
    assert await settled(node.ask("a", 1)) == ((True, '{"got":1}') if passes else (False, "filtered"))
    node.register_handler("b", doubled)
    assert await settled(node.ask("b", 2)) == ((True, '{"twice":4}') if passes else (False, "filtered"))
    node.balanced()


async def test_async_transformers_make_another_event_which_is_answered_for() -> None:
    node = Node()

    async def change(event: StreamEvent) -> StreamEvent:
        await asyncio.sleep(0)
        event.data = 10 * event.data
        return event

    node.add_transformer(change)
    node.register_handler("a", doubled)
    node.register_handler("a", lambda event: {"got": event.data})
    success, text = await settled(node.ask("a", 1))
    assert success
    assert sorted(text.split("\n")) == ['{"got":10}', '{"twice":20}']
    node.balanced()


def test_an_answer_that_the_policy_denies_is_said_to_be() -> None:
    node = Node()
    node.register_handler("a", lambda _event: {"type": "agent_message", "text": "use force"})
    assert told(node.ask("a")) == (False, "the answer was denied: marker-instruction at data.text")
    assert node.balanced()["ingress"]["denied"] == 1


def test_a_duplicate_is_here_already() -> None:
    node = Node()
    got: list[StreamEvent] = []
    node.register_handler("a", got.append)
    assert told(node.ask("a", source_node="s", id="s:1:1")) == (True, "routed")
    assert told(node.ask("a", source_node="s", id="s:1:1")) == (True, "duplicate")
    assert len(got) == 1
    assert node.balanced()["ingress"]["duplicate"] == 1


def test_reserved_types_mean_nothing_here() -> None:
    node = Node()
    raw = b"\x1a\x13_lexmesh.subscribe!"
    assert told(node.asker.event(raw))[0] is False
    assert node.balanced()["taken"] == 0


# -- the metadata of a call --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "refusal"),
    [
        ([], None),
        ([("user-agent", "grpc-python/1.70"), ("authorization", "Bearer x")], None),
        ([("trace-bin", b"\x00\xff\x10")], None),
        ([("x-note", "please force it")], ("marker-metadata", "metadata.x-note")),
        ([("x-note-bin", b"\xff\xfeplease force it\xff")], ("marker-metadata", "metadata.x-note-bin")),
        ([("a", "1"), ("a", "2"), ("consent-override", "yes")], ("consent-override", "metadata.consent-override")),
        ([("x-harm", "1")], ("marker-metadata", "metadata.x-harm")),
        ([("consent", "withdrawn")], ("consent-withdrawn", "metadata.consent")),
    ],
)
def test_metadata_of_a_call_is_policed(metadata: list[tuple[str, str | bytes]], refusal: object) -> None:
    assert Node().asker.refusal_of(metadata) == refusal


def test_what_comes_in_a_refused_call_is_denied_and_counted() -> None:
    node = Node()
    got: list[StreamEvent] = []
    node.register_handler("a", got.append)
    refusal = node.asker.refusal_of([("x", "exploit")])
    assert told(node.asker.event(StreamEvent("a").to_proto(), refusal)) == (
        False, "denied: marker-metadata at metadata.x",
    )  # fmt: skip
    assert not got
    ledger = node.balanced()
    assert (ledger["ingress"]["denied"], ledger["denied_by_rule"]) == (1, {"marker-metadata": 1})
    assert node.audit.recent(1)[0].path == "metadata.x"
