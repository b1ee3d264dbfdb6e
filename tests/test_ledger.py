"""The sums: that they hold, by subject and by endpoint, and that the check is able to fail."""

import asyncio
import json

import pytest

from lexmesh import StreamEvent, StreamPipeline
from lexmesh._router import Endpoint

pytestmark = pytest.mark.core

INGRESS = {"routed", "denied", "filtered", "expired", "duplicate", "looped", "malformed", "unroutable"}


def feed(pipeline: StreamPipeline, source: Endpoint, **message: object) -> str | None:
    return pipeline.core.feed(json.dumps(message).encode(), "json", source, 1)


def test_starts_with_nothing() -> None:
    ledger = StreamPipeline("n").ledger()
    assert ledger["taken"] == ledger["undecided"] == 0
    assert set(ledger["ingress"]) == INGRESS
    assert not any(ledger["ingress"].values())
    assert ledger["egress"] == {
        "offered": 0, "delivered": 0, "failed": 0, "in_flight": 0,
        "dropped": {"overflow": 0, "disconnected": 0, "cancelled": 0},
    }  # fmt: skip
    assert ledger["subjects"] == {}
    assert ledger["balanced"] is True


def test_the_same_by_subject_as_in_total() -> None:
    pipeline = StreamPipeline("n")
    source = Endpoint()
    pipeline.register_handler("a", lambda _event: None)
    pipeline.register_handler("*", lambda _event: 1 / 0)
    for subject in ("a", "b", "a", "c.d"):
        feed(pipeline, source, type=subject)
    feed(pipeline, source, type="a", metadata={"x": "force"})
    pipeline.core.feed(b"{", "json", source, 1)
    ledger = pipeline.ledger()
    subjects = ledger["subjects"]
    for outcome, total in ledger["ingress"].items():
        assert total == sum(subject["ingress"][outcome] for subject in subjects.values()), outcome
    for outcome in ("offered", "delivered", "failed", "in_flight"):
        assert ledger["egress"][outcome] == sum(subject["egress"][outcome] for subject in subjects.values()), outcome
    assert subjects[""]["ingress"]["malformed"] == 1
    assert subjects["a"]["ingress"] == {**dict.fromkeys(INGRESS, 0), "routed": 2, "denied": 1}
    assert subjects["a"]["egress"]["offered"] == 4
    assert (subjects["a"]["egress"]["delivered"], subjects["a"]["egress"]["failed"]) == (2, 2)
    assert ledger["denied_by_rule"] == {"marker-metadata": 1}
    assert ledger["balanced"]
    counts = source.counts()
    assert counts["ingress"]["routed"] + counts["ingress"]["denied"] + counts["ingress"]["malformed"] == 5
    assert source.passed == 4


async def test_the_check_can_fail() -> None:
    pipeline = StreamPipeline("n")
    release = asyncio.Event()
    pipeline.register_handler("a", lambda _event: release.wait())
    task = asyncio.ensure_future(pipeline.process_event(StreamEvent("a")))
    await asyncio.sleep(0)
    held = pipeline.ledger()
    assert held["egress"]["in_flight"] == 1
    assert held["balanced"]
    assert pipeline.core.ledger([])["balanced"] is False, "a message that nobody accounts for must show"
    release.set()
    await task
    assert pipeline.core.ledger([])["balanced"] is True
    assert pipeline.ledger()["egress"]["delivered"] == 1


async def test_balances_while_filters_decide() -> None:
    pipeline = StreamPipeline("n")
    release = asyncio.Event()

    async def slow(_event: StreamEvent) -> bool:
        await release.wait()
        return True

    pipeline.add_filter(slow)
    tasks = [asyncio.ensure_future(pipeline.process_event(StreamEvent("a"))) for _ in range(3)]
    await asyncio.sleep(0)
    assert pipeline.ledger()["undecided"] == 3
    assert pipeline.ledger()["balanced"]
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    assert pipeline.ledger()["undecided"] == 2
    assert pipeline.ledger()["ingress"]["filtered"] == 1
    release.set()
    assert [(await task).status for task in tasks[1:]] == ["unroutable"] * 2
    assert pipeline.ledger()["undecided"] == 0
    assert pipeline.ledger()["balanced"]
