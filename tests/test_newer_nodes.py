"""Fields this version does not know: refused from clients; from nodes taken, policed, passed on as they came."""

import pytest
from mesh_nodes import node, running
from raw_ws import BINARY, RawClient, Received, eventually, frame

from lexmesh import MeshCore, NsrPolicy, StreamEvent

ENTRY = {"node_id": "newer", "epoch": 5, "version": 0, "capabilities": [], "addresses": [], "leaving": False}
BYTES_14 = b"\x72\x05later"
VARINT_15 = b"\x78\x96\x01"
FIXED = b"\x81\x01" + bytes(8) + b"\x8d\x01" + bytes(4)  # fields 16 and 17
ALL_KINDS = BYTES_14 + VARINT_15 + FIXED


def batch(*events: bytes) -> bytes:
    body = b""
    for event in events:
        size = len(event)
        body += b"\x0a" + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + event
    return frame(BINARY, body)


def message(number: int) -> bytes:
    return StreamEvent("t", number, source_node="newer", id=f"newer:5:{number}").to_proto()


async def newer_node(mesh: MeshCore, name: str = "newer") -> RawClient:
    """Says hello like a node of a later version."""
    client = await RawClient.connect(mesh.port, subprotocol="lexmesh.v1.proto")
    hello = {"mesh_name": "spiral_codex_mesh", "entry": {**ENTRY, "node_id": name}}
    client.send(batch(StreamEvent("_lexmesh.hello", hello).to_proto()))
    await eventually(lambda: name in mesh.links, "linked")
    return client


async def received(client: RawClient, wanted: bytes) -> bytes:
    """Reads until the bytes arrive."""
    seen = b""
    while wanted not in seen:
        seen = (await client.frame()).payload
    return seen


async def test_a_client_is_refused_them_as_before() -> None:
    async with running(one := node("one")):
        client = await RawClient.connect(one.port, subprotocol="lexmesh.v1.proto")
        client.send(batch(message(1) + BYTES_14))
        await eventually(lambda: one.ledger()["ingress"]["malformed"] == 1, "refused")
        await client.aclose()


async def test_from_a_node_they_are_taken_and_passed_on_byte_for_byte() -> None:
    async with running(one := node("one")):
        heard = Received()
        one.subscribe("t", heard)
        client, other = await newer_node(one), await newer_node(one, "other")
        sent = message(1) + ALL_KINDS, BYTES_14 + message(2), message(3)
        client.send(batch(*sent))
        await heard.wait(3)
        assert [(event.data, event.source_node) for event in heard.events] == [(1, "newer"), (2, "newer"), (3, "newer")]
        relayed = await received(other, sent[0])
        assert sent[1] in relayed
        assert one.ledger()["ingress"]["malformed"] == 0
        await client.aclose()
        await other.aclose()


@pytest.mark.parametrize(
    "forbidden",
    [b'{"consent_override":"force"}', b'{"a":1,"a":{"consent_override":"yes"}}'],
    ids=["JSON", "JSON with a key twice"],
)
async def test_what_is_in_them_is_policed_like_a_payload(forbidden: bytes) -> None:
    async with running(one := node("one")):
        heard = Received()
        one.subscribe("t", heard)
        client = await newer_node(one)
        client.send(batch(message(1) + b"\x72" + bytes([len(forbidden)]) + forbidden, message(2) + BYTES_14))
        await heard.wait()
        assert [event.data for event in heard.events] == [2]
        assert one.ledger()["denied_by_rule"] == {"consent-override": 1}
        await client.aclose()


async def test_a_policy_that_denies_opaque_payloads_denies_opaque_fields() -> None:
    rules = '[[rule]]\nname = "r"\nscope = ["event type"]\nmarkers.harm = []\n'
    mesh = node("one")
    mesh.pipeline.use_policy(NsrPolicy.loads('opaque = "deny"\n' + rules))
    async with running(mesh):
        client = await newer_node(mesh)
        client.send(batch(message(1) + b"\x72\x02\xff\xfe"))
        await eventually(lambda: mesh.ledger()["denied_by_rule"].get("opaque") == 1, "denied")
        await client.aclose()


@pytest.mark.parametrize(
    "tail",
    [
        b"\x73\x74",  # a group
        b"\x72\x7fshort",
        b"\x81\x01\0\0\0",
        9 * BYTES_14,  # each is scanned with all of the metadata, so there are few
        b"\x78" + 10 * b"\xff" + b"\x01",
    ],
    ids=["group", "cut off", "cut off number", "too many", "endless number"],
)
async def test_what_is_no_protobuf_is_malformed_from_nodes_too(tail: bytes) -> None:
    async with running(one := node("one")):
        client = await newer_node(one)
        client.send(batch(message(1) + tail))
        await eventually(lambda: one.ledger()["ingress"]["malformed"] == 1, "refused")
        assert one.links == ["newer"]
        await client.aclose()
