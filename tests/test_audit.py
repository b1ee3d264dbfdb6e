"""The audit: a record of each refusal and flag, without the text; `_lexmesh.denied` for handlers of the process."""

import asyncio
import json
from typing import Any

import pytest
from strategies import message

from lexmesh import NsrPolicy, StreamEvent, StreamPipeline, SubjectError
from lexmesh._router import Endpoint
from lexmesh.nsr.audit import LONGEST_PATH, Audit, AuditRecord
from lexmesh.nsr.denials import DENIED_SUBJECT, MOST_WAITING

pytestmark = pytest.mark.core

NOW = 1_700_000_000_000
SECRET = "swordfish"
DENIED = {"metadata": {"note": f"force {SECRET}"}}

FLAGGING = """
[[rule]]
name = "seen"
action = "flag"
scope = ["metadata values", "payload strings"]
markers = ["harm"]

[[rule]]
name = "refused"
scope = ["metadata values", "payload strings"]
markers = ["force"]
"""


class Node:
    """A pipeline with one outside source."""

    def __init__(self, **options: Any) -> None:
        self.pipeline = StreamPipeline("node", epoch=7, **options)
        self.audit = self.pipeline.audit
        self.source = Endpoint()

    def take(self, now: int = NOW, **fields: Any) -> str | None:
        return self.raw(json.dumps({"type": "a", **fields}).encode(), now)

    def raw(self, raw: bytes, now: int = NOW) -> str | None:
        return self.pipeline.core.feed(raw, "json", self.source, now)


def record(time: int, path: str = "metadata.x") -> dict[str, Any]:
    return {
        "id": "",
        "source": "s",
        "link": "",
        "subject": "a",
        "rule": "r",
        "path": path,
        "denied": True,
        "policy": "d",
    }


# -- the ring ----------------------------------------------------------------------------------------------------------


def test_the_ring_keeps_the_latest_and_counts_all() -> None:
    audit = Audit(3)
    for time in range(5):
        audit.record(time, **record(time))
    assert [kept.time for kept in audit.recent()] == [2, 3, 4]
    assert [kept.time for kept in audit.recent(2)] == [3, 4]
    assert audit.recent(0) == []
    assert (len(audit), audit.total, audit.lost) == (3, 5, 0)


def test_a_ring_of_none_still_counts() -> None:
    audit = Audit(0)
    audit.record(1, **record(1))
    assert (audit.recent(), audit.total) == ([], 1)


def test_a_path_is_cut() -> None:
    kept = Audit().record(1, **record(1, path="data." + "k" * 5000))
    assert len(kept.path) == LONGEST_PATH
    assert kept.path.endswith("k…")


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_a_refusal_is_recorded_in_full_and_without_its_text() -> None:
    node = Node()
    assert node.take(id="sensor:3:9", **DENIED) == "denied"
    [kept] = node.audit.recent()
    digest = node.pipeline.policy.digest
    assert kept == AuditRecord(NOW, "sensor:3:9", "sensor", "", "a", "marker-metadata", "metadata.note", "deny", digest)
    assert SECRET not in str(kept)


def test_what_names_no_source_has_no_id() -> None:
    node = Node()
    node.take(**DENIED)
    assert [(kept.id, kept.source) for kept in node.audit.recent()] == [("", "")]


def test_the_undecodable_is_recorded_as_malformed() -> None:
    node = Node(max_message_size=2048)
    for raw in (b'{"type":"a","type":"b"}', b'{"type":"a","data":"swordfish}', b"\xff", b" " * 4096):
        assert node.raw(raw) == "malformed"
    kept = node.audit.recent()
    assert {(each.rule, each.action, each.subject, each.id) for each in kept} == {("malformed", "deny", "", "")}
    assert "duplicate" in kept[0].path
    assert all("at byte" in each.path for each in kept)
    assert SECRET not in str(kept)
    assert node.pipeline.ledger()["ingress"]["malformed"] == 4


def test_reserved_messages_are_recorded_too() -> None:
    node = Node()
    node.take(type="_lexmesh.subscribe", **DENIED)
    assert [kept.subject for kept in node.audit.recent()] == ["_lexmesh.subscribe"]
    assert node.pipeline.ledger()["taken"] == 0


def test_other_refusals_are_no_matter_of_consent() -> None:
    node = Node()
    for outcome, fields in {"expired": {"ttl": 0}, "looped": {"depth": 99}, "unroutable": {}}.items():
        assert node.take(**fields) == outcome
    assert node.audit.total == 0


def test_flags_pass_and_are_recorded() -> None:
    node = Node(policy=NsrPolicy.loads(FLAGGING))
    heard: list[Any] = []
    node.pipeline.register_handler("a", lambda event: heard.append(event.data))
    assert node.take(data={"steps": ["fine", "no harm"]}) == "routed"
    assert heard == [{"steps": ["fine", "no harm"]}]
    [kept] = node.audit.recent()
    assert (kept.rule, kept.path, kept.action) == ("seen", "data.steps[1]", "flag")
    ledger = node.pipeline.ledger()
    assert (ledger["flagged_by_rule"], ledger["denied_by_rule"]) == ({"seen": 1}, {})
    assert node.pipeline.core.last_refusal is None


def test_what_is_flagged_and_refused_is_recorded_as_refused() -> None:
    node = Node(policy=NsrPolicy.loads(FLAGGING))
    assert node.take(metadata={"a": "harm", "b": "force"}) == "denied"
    assert node.take(metadata={"b": "force", "c": "harm"}) == "denied"
    assert [(kept.rule, kept.path, kept.action) for kept in node.audit.recent()] == [
        ("refused", "metadata.b", "deny")
    ] * 2
    assert node.pipeline.ledger()["flagged_by_rule"] == {}


def test_an_opaque_payload_is_named_as_a_whole_whatever_was_flagged() -> None:
    node = Node(policy=NsrPolicy.loads('opaque = "deny"\n' + FLAGGING))
    raw = message(event_type="a", payload=b"\xff\x00", metadata={"a": "harm"})
    assert node.pipeline.core.feed(raw, "proto", node.source, NOW) == "denied"
    assert [(kept.rule, kept.path) for kept in node.audit.recent()] == [("opaque", "data")]


def test_what_a_transformer_made_is_recorded() -> None:
    node = Node()

    def worsen(event: StreamEvent) -> StreamEvent:
        event.metadata["note"] = "force"
        return event

    node.pipeline.add_transformer(worsen)
    assert node.take(id="s:1:1") == "denied"
    assert [(kept.id, kept.rule) for kept in node.audit.recent()] == [("s:1:1", "marker-metadata")]


async def test_what_this_node_publishes_is_recorded_without_a_link() -> None:
    pipeline = StreamPipeline("node", epoch=7, now=lambda: 5)
    assert (await pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))).status == "denied"
    pipeline.core.publish("a", None, {"note": "force"}, "", None, 0, "", NOW)
    assert [(kept.time, kept.link, kept.source) for kept in pipeline.audit.recent()] == [(5, "", ""), (5, "", "node")]
    assert pipeline.audit.recent()[1].id == "node:7:1"


# -- another policy ----------------------------------------------------------------------------------------------------


def test_another_policy_polices_the_next_message() -> None:
    node = Node()
    strict = NsrPolicy.loads('[[rule]]\nname = "no-a"\nscope = ["event type"]\nmarkers = ["a"]\n')
    before = node.pipeline.policy.digest
    assert node.take() == "unroutable"
    node.pipeline.use_policy(strict)
    assert node.take() == "denied"
    assert node.audit.recent()[0].policy == strict.digest != before
    ledger = node.pipeline.ledger()
    assert ledger["policy"] == {"digest": strict.digest, "reloads": {"ok": 1, "failed": 0}}


@pytest.mark.parametrize("strict", [True, False])
async def test_what_async_filters_hold_over_a_change_passes_the_new_policy(strict: bool) -> None:
    pipeline = StreamPipeline("node", epoch=7)
    heard: list[Any] = []
    gate = asyncio.Event()

    async def wait(_event: StreamEvent) -> bool:
        await gate.wait()
        return True

    pipeline.add_filter(wait)
    pipeline.register_handler("a", lambda event: heard.append((event.data, event.id)))
    task = asyncio.create_task(pipeline.process_event(StreamEvent("a", {"n": 1}, id="s:1:1")))
    await asyncio.sleep(0)
    marker = "a" if strict else "b"
    pipeline.use_policy(NsrPolicy.loads(f'[[rule]]\nname = "r"\nscope = ["event type"]\nmarkers = ["{marker}"]\n'))
    gate.set()
    outcome = await task
    assert (outcome.status, outcome.rule) == (("denied", "r") if strict else ("routed", ""))
    assert heard == ([] if strict else [({"n": 1}, "s:1:1")])
    ledger = pipeline.ledger()
    assert (ledger["balanced"], ledger["undecided"]) == (True, 0)


# -- _lexmesh.denied ---------------------------------------------------------------------------------------------------


async def test_handlers_hear_of_refusals() -> None:
    pipeline = StreamPipeline("node", epoch=7)
    heard: list[StreamEvent] = []

    async def later(event: StreamEvent) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    pipeline.register_handler(DENIED_SUBJECT, heard.append)
    pipeline.register_handler(DENIED_SUBJECT, later)
    pipeline.register_handler(">", lambda _event: pytest.fail("reserved events are not routed"))
    event = StreamEvent("a", id="s:1:2", timestamp=NOW, metadata={"note": f"force {SECRET}"})
    outcome = await pipeline.process_event(event)
    assert (outcome.rule, outcome.path) == ("marker-metadata", "metadata.note")
    assert len(heard) == 2
    assert heard[0].event_type == DENIED_SUBJECT
    assert (heard[0].source_node, heard[0].depth) == ("node", 1)
    assert heard[0].data == pipeline.audit.recent()[0]._asdict()
    assert SECRET not in json.dumps(heard[0].data)
    ledger = pipeline.ledger()
    assert ledger["balanced"]
    assert (ledger["taken"], ledger["egress"]["delivered"]) == (1, 2)


async def test_flags_are_not_denials() -> None:
    pipeline = StreamPipeline("node", policy=NsrPolicy.loads(FLAGGING))
    pipeline.register_handler(DENIED_SUBJECT, lambda _event: pytest.fail("it was not denied"))
    await pipeline.process_event(StreamEvent("a", "harm"))
    assert pipeline.audit.total == 1


async def test_a_handler_can_be_taken_away() -> None:
    pipeline = StreamPipeline("node")
    heard: list[StreamEvent] = []
    pipeline.register_handler(DENIED_SUBJECT, heard.append)
    assert pipeline.unregister_handler(DENIED_SUBJECT, heard.append)
    assert not pipeline.unregister_handler(DENIED_SUBJECT, heard.append)
    await pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))
    assert heard == []


def test_no_other_reserved_type_can_be_subscribed_to() -> None:
    for subject in ("_lexmesh.ack", "_lexmesh.>", "_lexmesh.denied.x"):
        with pytest.raises(SubjectError):
            StreamPipeline().register_handler(subject, print)


async def test_a_handler_may_publish_and_the_outcome_is_still_that_of_the_event() -> None:
    pipeline = StreamPipeline("node")
    alerts: list[Any] = []

    async def alert(event: StreamEvent) -> None:
        await pipeline.process_event(StreamEvent("system_alert", {"rule": event.data["rule"]}))

    pipeline.register_handler(DENIED_SUBJECT, alert)
    pipeline.register_handler("system_alert", lambda event: alerts.append(event.data))
    outcome = await pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))
    assert (outcome.status, outcome.rule) == ("denied", "marker-metadata")
    assert alerts == [{"rule": "marker-metadata"}]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_is_itself_refused_does_not_go_on_for_ever(is_async: bool) -> None:
    pipeline = StreamPipeline("node", max_recursion_depth=12)
    depths: list[int] = []

    def publish(depth: int = 0) -> None:
        for _ in range(2):
            pipeline.core.publish("a", None, {"note": "force"}, "", None, 0, "", NOW, depth)

    def worse(event: StreamEvent) -> None:
        depths.append(event.depth)
        publish()

    async def worse_later(event: StreamEvent) -> None:
        depths.append(event.depth)
        await asyncio.sleep(0)
        publish(event.depth + 1)

    pipeline.register_handler(DENIED_SUBJECT, worse_later if is_async else worse)
    await pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))
    assert max(depths) == 12
    assert len(depths) == 2**7 - 1
    assert pipeline.audit.unheard == 2**7
    assert pipeline.ledger()["balanced"]


async def test_claimed_hops_hide_nothing() -> None:
    node = Node()
    heard: list[StreamEvent] = []
    node.pipeline.register_handler(DENIED_SUBJECT, heard.append)
    node.take(depth=1000, **DENIED)
    await node.pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))  # gives the handlers their turn
    assert [event.depth for event in heard] == [42, 1]


async def test_refusals_that_wait_are_bounded() -> None:
    node = Node(audit_ring=10)
    heard: list[StreamEvent] = []
    node.pipeline.register_handler(DENIED_SUBJECT, heard.append)
    for _ in range(MOST_WAITING + 50):
        node.take(**DENIED)
    assert node.audit.unheard == 50
    await node.pipeline.process_event(StreamEvent("a", metadata={"note": "force"}))
    assert len(heard) == MOST_WAITING
    assert node.audit.unheard == 51
