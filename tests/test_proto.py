"""The published wire contract: every number of it, a comment for every field, and our codec against Google's on each
message."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lexmesh import MalformedError, StreamEvent, StreamPipeline, decode_batch, encode_batch
from lexmesh._answers import decode_health_request, encode_health
from lexmesh._asker import Asker

NUMBERS = {
    "EventMessage": {
        "source_node": (1, "string"), "target_node": (2, "string"), "event_type": (3, "string"),
        "payload": (4, "bytes"), "timestamp": (5, "int64"), "metadata": (6, "message"),
        "epoch": (7, "uint64"), "seq": (8, "uint64"),
        "depth": (9, "uint32"), "ttl_ms": (10, "uint32"), "priority": (11, "uint32"), "reply_to": (12, "string"),
        "content_type": (13, "string"),
    },
    "Batch": {"events": (1, "message")},
    "DataMessage": {
        "source_node": (1, "string"), "target_node": (2, "string"), "data_type": (3, "string"), "data": (4, "bytes"),
        "timestamp": (5, "int64"), "metadata": (6, "message"),
    },
    "EventResponse": {"success": (1, "bool"), "message": (2, "string"), "timestamp": (3, "int64")},
    "DataResponse": {
        "success": (1, "bool"), "message": (2, "string"), "response_id": (3, "string"), "timestamp": (4, "int64"),
    },
    "HealthRequest": {"node_id": (1, "string")},
    "HealthResponse": {
        "healthy": (1, "bool"), "node_id": (2, "string"), "status": (3, "string"), "uptime": (4, "int64"),
    },
}  # fmt: skip
METHODS = {
    "StreamEvents": ("EventMessage", True, "EventResponse", True),
    "SendData": ("DataMessage", False, "DataResponse", False),
    "HealthCheck": ("HealthRequest", False, "HealthResponse", False),
    "Link": ("Batch", True, "Batch", True),
}
KINDS = descriptor_pb2.FieldDescriptorProto.Type


@pytest.fixture(scope="module")
def published(internode: Callable[[str], Any]) -> Any:
    return internode("EventMessage").DESCRIPTOR.file


def test_every_number_and_type(published: Any) -> None:
    found = {
        name: {field.name: (field.number, KINDS.Name(field.type)[5:].lower()) for field in message.fields}
        for name, message in published.message_types_by_name.items()
    }
    assert found == NUMBERS


def test_every_method(published: Any) -> None:
    proto = descriptor_pb2.FileDescriptorProto()
    published.CopyToProto(proto)
    (service,) = proto.service
    assert (proto.package, service.name) == ("lexmesh.v1", "InternodeService")
    found = {
        method.name: (
            method.input_type.rpartition(".")[2], method.client_streaming,
            method.output_type.rpartition(".")[2], method.server_streaming,
        )
        for method in service.method
    }  # fmt: skip
    assert found == METHODS


def test_every_field_and_method_is_explained(root: Path) -> None:
    lines = (root / "protos/lexmesh/v1/internode.proto").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"\s+.* = \d+;", line):
            assert re.search(r"; +// \S", line), line
        if re.match(r"(message|service|  rpc) ", line):
            assert before.strip().startswith("//"), line


def test_the_built_descriptors_are_the_published_ones(published: Any) -> None:
    from lexmesh.transports.grpc_descriptors import message_class

    built = descriptor_pb2.FileDescriptorProto()
    message_class("EventMessage").DESCRIPTOR.file.CopyToProto(built)
    proto = descriptor_pb2.FileDescriptorProto()
    published.CopyToProto(proto)
    assert built == proto


# -- our codec against Google's, message by message; EventMessage alone is tested at length in test_codec.py -----------

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=40)
subjects = st.from_regex(r"\A[a-z]{1,8}(\.[a-z0-9]{1,8}){0,3}\Z")
texts: SearchStrategy[str] = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
readings = st.fixed_dictionaries(
    {"data_type": subjects},
    optional={
        "source_node": names,
        "target_node": names,
        "data": st.binary(max_size=60),
        "timestamp": st.integers(-(2**63), 2**63 - 1),
        "metadata": st.dictionaries(st.from_regex(r"\A[a-z]{1,8}\Z"), st.from_regex(r"\A[a-z]{0,8}\Z"), max_size=4),
    },
)


def asked(pipeline: StreamPipeline) -> Asker:
    return Asker(pipeline.core, None, 5)


@given(readings)
def test_data_messages(internode: Callable[[str], Any], fields: dict[str, Any]) -> None:
    pipeline = StreamPipeline()
    got: list[StreamEvent] = []
    pipeline.register_handler(">", got.append)
    message = internode("DataMessage")(**fields)
    answer = internode("DataResponse").FromString(asked(pipeline).reading(message.SerializeToString()))
    if not got:
        assert answer.message.startswith("denied"), "the policy alone may refuse these"
        return
    (event,) = got
    assert internode("EventMessage").FromString(event.to_proto()).payload == message.data
    assert (answer.success, answer.message) == (True, "routed")
    assert answer.response_id == event.id
    assert event.event_type == message.data_type
    assert (event.source_node, event.target_node) == (message.source_node, message.target_node)
    assert event.metadata == dict(message.metadata)
    if "timestamp" in fields:
        assert message.timestamp in (event.timestamp, 0)


def test_a_data_message_has_no_identity(internode: Callable[[str], Any]) -> None:
    """Fields past the sixth are those of an EventMessage: here they are unknown."""
    event = internode("EventMessage")(event_type="a", epoch=1, seq=1, source_node="s")
    with pytest.raises(MalformedError, match="unknown field"):
        asked(StreamPipeline()).reading(event.SerializeToString())
    asked(StreamPipeline()).event(event.SerializeToString())


@given(st.lists(st.builds(dict, event_type=subjects, source_node=names, priority=st.integers(0, 9)), max_size=5))
def test_batches(internode: Callable[[str], Any], fields: list[dict[str, Any]]) -> None:
    theirs = internode("Batch")(events=[internode("EventMessage")(**each) for each in fields])
    ours = decode_batch(theirs.SerializeToString())
    assert [(e.event_type, e.source_node, e.priority) for e in ours] == [
        (e.event_type, e.source_node, e.priority) for e in theirs.events
    ]
    assert internode("Batch").FromString(encode_batch(ours)) == theirs


def test_event_responses(internode: Callable[[str], Any]) -> None:
    pipeline = StreamPipeline("n")
    event, response = internode("EventMessage"), internode("EventResponse")
    pipeline.register_handler("a", lambda event: {"é": event.data})
    for message, success, text in [
        (event(event_type="a", payload=b"1"), True, '{"é":1}'),
        (event(event_type="b"), True, "unroutable"),
        (event(event_type="b", metadata={"x": "force"}), False, "denied: marker-metadata at metadata.x"),
        (event(event_type="b", depth=43), False, "looped"),
        (event(event_type="b", ttl_ms=0), False, "expired"),
    ]:
        raw = asked(pipeline).event(message.SerializeToString())
        assert isinstance(raw, bytes)
        answer = response.FromString(raw)
        assert (answer.success, answer.message) == (success, text)
        assert answer.timestamp > 1_700_000_000_000
        assert answer.SerializeToString() == raw, "what Google writes too"


@given(st.booleans(), names, texts, st.integers(-(2**63), 2**63 - 1))
def test_health_responses(
    internode: Callable[[str], Any], healthy: bool, node_id: str, status: str, uptime: int
) -> None:
    ours = encode_health(healthy, node_id, status, uptime)
    theirs = internode("HealthResponse")(healthy=healthy, node_id=node_id, status=status, uptime=uptime)
    assert ours == theirs.SerializeToString()


@given(names)
def test_health_requests(internode: Callable[[str], Any], node_id: str) -> None:
    assert decode_health_request(internode("HealthRequest")(node_id=node_id).SerializeToString()) == node_id


@given(
    st.binary(max_size=12)
    | st.builds(lambda head, rest: b"\x0a" + bytes([head]) + rest, st.integers(0, 9), st.binary(max_size=12))
)
def test_random_health_requests(internode: Callable[[str], Any], raw: bytes) -> None:
    """What we accept, Google's parser accepts too, and reads the same from it."""
    try:
        node_id = decode_health_request(raw)
    except MalformedError:
        return
    assert internode("HealthRequest").FromString(raw).node_id == node_id


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x0a\x01a\x0a\x01b", "repeated"),
        (b"\x0a\x01a\x12\x01b", "unknown"),
        (b"\x12\x01b", "unknown"),
        (b"\x08\x01", "wire type"),
        (b"\x0a\x05a", "cut short"),
        (b"\x0a\x01\xff", "UTF-8"),
        (b"\x0a\x80\x02" + b"a" * 256, "range"),
        (b"\xff", "varint"),
    ],
)
def test_health_requests_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        decode_health_request(raw)
