"""A link over a stream, without one: what leaves in which Batch, what is counted when, what a broken stream leaves."""

from typing import Any

import pytest

from lexmesh import StreamEvent, StreamPipeline, TransportError, decode_batch, encode_batch
from lexmesh._caller import Caller
from lexmesh._stream_link import MOST_BATCH_BYTES, StreamLink
from lexmesh._wire import encode_health_request, fields_of
from lexmesh.errors import DeniedError, MalformedError, NotConnectedError

pytestmark = pytest.mark.core

NOW = 1_750_000_000_000
LIMIT = 1 << 20
MALFORMED = 6  # of the ingress outcomes


class Owner:
    """Whom a link tells what happens; flushes as a loop's turn ends when told to."""

    def __init__(self) -> None:
        self.scheduled: list[StreamLink] = []
        self.ready = 0
        self.overflowed = False
        self.refused: list[tuple[Any, ...]] = []
        self.drained = 0

    def schedule(self, link: StreamLink) -> None:
        self.scheduled.append(link)

    def end_turn(self) -> None:
        waiting, self.scheduled = self.scheduled, []
        for link in waiting:
            link.flush()

    def on_batch(self) -> None:
        self.ready += 1

    def on_drained(self) -> None:
        self.drained += 1

    def on_overflow(self) -> None:
        self.overflowed = True

    def on_congestion(self, _congested: bool) -> None: ...

    def on_blocked(self, _source: object) -> None: ...

    def on_control(self, _event: StreamEvent) -> None: ...

    def on_refused(self, *told: Any) -> None:
        self.refused.append(told)


def link_of(overflow: str = "block") -> tuple[StreamPipeline, Owner, StreamLink]:
    pipeline, owner = StreamPipeline("node", epoch=1), Owner()
    link = StreamLink(pipeline.core, owner, overflow, LIMIT, 10_000)
    link.begin(NOW, False)
    return pipeline, owner, link


def say(link: StreamLink, data: Any) -> None:
    link.publish("t", data, None, "", NOW, None, 0, "", 0)


def data_in(batch: bytes | None) -> list[Any]:
    assert batch is not None
    return [event.data for event in decode_batch(batch)]


def egress(pipeline: StreamPipeline, link: StreamLink) -> dict[str, Any]:
    ledger = pipeline.ledger([link])
    assert ledger["balanced"], ledger
    return dict(ledger["egress"])


def test_one_turn_is_one_batch_and_what_comes_meanwhile_the_next() -> None:
    pipeline, owner, link = link_of()
    for n in range(3):
        say(link, n)
    assert (link.front(), owner.ready) == (None, 0), "not before the turn ends"
    owner.end_turn()
    assert owner.ready == 1
    say(link, 3)
    assert data_in(link.front()) == [0, 1, 2]
    assert egress(pipeline, link)["in_flight"] == 4
    link.written()
    assert (egress(pipeline, link)["delivered"], owner.drained) == (3, 0)
    assert data_in(link.front()) == [3]
    link.written()
    assert (egress(pipeline, link)["delivered"], link.front(), owner.drained) == (4, None, 1)


def test_what_has_not_been_taken_is_given_again() -> None:
    _, owner, link = link_of()
    say(link, 1)
    owner.end_turn()
    first = link.front()
    say(link, 2)
    owner.end_turn()
    assert link.front() == first


def test_a_long_queue_is_cut_between_messages_and_counted_batch_by_batch() -> None:
    pipeline, owner, link = link_of()
    sizes = [20_000] * 7 + [150_000] + [10] * 100
    for size in sizes:
        say(link, "x" * size)
    owner.end_turn()
    seen = 0
    while (batch := link.front()) is not None:
        found = data_in(batch)
        assert len(batch) <= MOST_BATCH_BYTES or len(found) == 1
        assert [len(text) for text in found] == sizes[seen : seen + len(found)]
        seen += len(found)
        link.written()
        assert egress(pipeline, link)["delivered"] == seen
    assert seen == len(sizes)
    assert link.queued == 0


def test_what_is_dropped_at_the_end_is_what_no_stream_took() -> None:
    pipeline, owner, link = link_of()
    for _ in range(7):
        say(link, "x" * 20_000)
    owner.end_turn()
    taken = len(data_in(link.front()))
    link.written()
    link.front()
    link.close()
    assert (link.front(), link.queued) == (None, 0)
    link.written()
    assert egress(pipeline, link)["delivered"] == taken
    assert egress(pipeline, link)["dropped"]["disconnected"] == 7 - taken
    with pytest.raises(NotConnectedError):
        say(link, 1)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "disconnect", "block"])
def test_what_is_being_handed_over_counts_towards_the_limit(overflow: str) -> None:
    pipeline, owner, link = link_of(overflow)
    refused = False
    for n in range(60):
        try:
            say(link, f"{n:04}" + "x" * 50_000)
        except (TransportError, NotConnectedError):
            refused = True
            break
        owner.end_turn()
        assert link.queued <= LIMIT + 51_000
    found = egress(pipeline, link)
    assert refused == (overflow in ("block", "disconnect"))
    assert (found["dropped"]["overflow"] > 0) == (overflow != "block")
    assert owner.overflowed == (overflow == "disconnect")
    left: list[int] = []
    while (batch := link.front()) is not None:
        left += [int(text[:4]) for text in data_in(batch)]
        link.written()
    assert left == sorted(left)
    if overflow == "drop_oldest":
        assert left[-1] == 59
    if overflow == "drop_newest":
        assert left == list(range(len(left)))
    assert egress(pipeline, link)["in_flight"] == 0


def test_batches_are_taken_in_and_broken_ones_counted() -> None:
    pipeline, owner, link = link_of()
    got: list[Any] = []
    pipeline.register_handler("t", lambda event: got.append(event.data))
    batch = encode_batch(StreamEvent("t", n, source_node="s", id=f"s:1:{n + 1}") for n in range(3))
    assert link.receive(batch, NOW) == 3
    assert link.receive(batch, NOW) == 3, "duplicates are found by their numbers"
    for length in range(len(batch)):
        link.receive(batch[:length], NOW)
    assert link.receive(b"", NOW) == 0
    assert got == [0, 1, 2]
    ledger = pipeline.ledger([link])
    assert ledger["balanced"]
    assert ledger["ingress"]["duplicate"] >= 3
    assert ledger["ingress"]["malformed"] == sum(outcome == MALFORMED for outcome, *_ in owner.refused) > 0


# -- calls that are answered one by one --------------------------------------------------------------------------------


def test_a_caller_hands_out_what_it_polices_and_counts() -> None:
    pipeline = StreamPipeline("node", epoch=1)
    caller = Caller(pipeline.core)
    with pytest.raises(NotConnectedError):
        caller.datum("t", b"1", None, "", NOW)
    caller.open()
    event = StreamEvent.from_proto(caller.event("t", {"a": 1}, {"k": "v"}, "far", NOW, 5, 6, "a:1:2", 7))
    assert (event.data, event.metadata, event.target_node, event.id) == ({"a": 1}, {"k": "v"}, "far", "node:1:1")
    datum = StreamEvent.from_proto(caller.datum("d", b"\x00\xff", {"k": "v"}, "far", NOW))
    assert (datum.event_type, datum.data, datum.id, datum.timestamp) == ("d", b"\x00\xff", "", NOW)
    with pytest.raises(DeniedError):
        caller.datum("d", b'{"consent_override": true}', None, "", NOW)
    assert pipeline.ledger([caller])["egress"]["in_flight"] == 2
    caller.settle("t", True)
    caller.settle("d", False)
    ledger = pipeline.ledger([caller])
    assert ledger["balanced"]
    assert (ledger["egress"]["delivered"], ledger["egress"]["dropped"]["disconnected"]) == (1, 1)
    assert ledger["ingress"]["denied"] == 1


def test_the_fields_of_an_answer() -> None:
    assert fields_of(b"\x08\x01\x12\x02hi\x20\x96\x01") == {1: 1, 2: b"hi", 4: 150}
    assert fields_of(b"\x21" + b"\0" * 6 + b"\xf0\x3f\x2d\1\2\3\4") == {4: 1.0, 5: b"\1\2\3\4"}
    assert fields_of(encode_health_request("")) == {}
    assert fields_of(encode_health_request("nöde" * 60)) == {1: ("nöde" * 60).encode()}
    for broken in (
        b"\x08",
        b"\x12\x05hi",
        b"\x21\0",
        b"\x0b",
        b"\xff" * 11,
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ):
        with pytest.raises(MalformedError):
            fields_of(broken)
