"""Policing at the sender: the gateway's own verdict, before anything leaves, with or without a connection."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lax_policy import LAX, LAX_TOML
from nsr_evasions import ALL_EVASIONS
from nsr_messages import PLACES, placed
from raw_ws import Received, eventually, gateway

from lexmesh import DeniedError, MalformedError, MeshConfig, StreamEvent, WebSocketClient
from lexmesh._pipeline import Core
from lexmesh._sender import Sender
from lexmesh.errors import NotConnectedError, PolicyError, TransportError
from lexmesh.nsr import NsrPolicy

JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"
BOTH = pytest.mark.parametrize("subprotocol", [JSON, PROTO])
FORCED = {"x": "force"}
POLICIES = (NsrPolicy.default(), NsrPolicy(NsrPolicy.default().rules, opaque_denied=True))
EPOCH, NOW, NODE = 1_795_000_000_000, 1_795_000_000_123, "greenhouse"

Said = tuple[str, str] | None  # rule and path of a refusal


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    async with gateway() as server:
        yield server


def client_of(server: Any, name: str = "client", **options: Any) -> WebSocketClient:
    return WebSocketClient(name, f"ws://127.0.0.1:{server.port}", **options)


def said_by(send: Callable[[], object]) -> Said:
    """What policing says of a message that has nowhere to go."""
    try:
        send()
    except DeniedError as error:
        return error.rule, error.path
    except NotConnectedError:
        return None
    raise AssertionError("sent without a connection")


# -- the verdict ----------------------------------------------------------------------------------------------------

words = st.sampled_from(["force", "harm", "exploit", "override_consent", "consent_override", "consent", "harmony"])
disguised = st.builds(
    lambda change, word: change(word), st.sampled_from(sorted(ALL_EVASIONS)).map(ALL_EVASIONS.get), words
)
texts = (
    words
    | disguised
    | st.sampled_from(["no", "false", "denied", "", "0", "ha", "rm", "for", "ce"])
    | st.text(max_size=8)
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
as_bytes = trees.map(lambda tree: json.dumps(tree).encode()) | texts.map(str.encode) | st.binary(max_size=40)
event_types = st.sampled_from(["sensor_reading", "bio_sync", "climate_control", "agent_message", "force", "a.harm.b"])
NESTED: Any = "no"
for _ in range(60):
    NESTED = {"consent_override": NESTED}


@pytest.mark.core
@pytest.mark.parametrize("proto", [False, True], ids=["json", "proto"])
@given(
    event_type=event_types,
    data=trees | as_bytes,
    metadata=st.dictionaries(texts, texts, max_size=3),
    names=st.tuples(texts, texts),
    policy=st.sampled_from(POLICIES),
)
@example("bio_sync", NESTED, {}, ("", ""), POLICIES[0])  # allowed, and only if the message's size is known
@example("bio_sync", b"\xff\xfe", {}, ("", ""), POLICIES[1])
@example(
    "bio_sync", b'{"consent_override": 1}', {}, ("", ""), POLICIES[0]
)  # bytes in JSON are base64, in protobuf JSON
@example("bio_sync", b"\xff consent_override", {}, ("", ""), POLICIES[0])
def test_the_verdict_is_that_of_the_bytes_that_leave(
    proto: bool, event_type: str, data: Any, metadata: dict[str, str], names: tuple[str, str], policy: NsrPolicy
) -> None:
    sender = Sender(Core(policy.scanner, NODE, EPOCH, 42, 1 << 20), proto)
    target, reply_to = names
    event = StreamEvent(
        event_type,
        data,
        source_node=NODE,
        target_node=target,
        metadata=metadata,
        timestamp=NOW,
        id=f"{NODE}:{EPOCH}:1",
        reply_to=reply_to,
    )
    verdict = policy.check(event) if proto else policy.check_json(event.to_json())

    def send() -> None:
        sender.publish(event_type, data, metadata, target, NOW, None, 0, reply_to, 0)

    if verdict.rule == "malformed":
        with pytest.raises(MalformedError):
            send()
        return
    expected = None if verdict.allowed else (verdict.rule, verdict.path)
    assert said_by(send) == expected
    if not isinstance(data, bytes) and names == ("", ""):
        line = json.dumps(data).encode()
        assert said_by(lambda: sender.publish_json(event_type, line, metadata, NOW)) == expected


@pytest.mark.core
@pytest.mark.parametrize("proto", [False, True], ids=["json", "proto"])
def test_every_disguise_is_seen_here_as_there(proto: bool) -> None:
    policy = NsrPolicy.default()
    sender = Sender(Core(policy.scanner, NODE, EPOCH, 42, 1 << 20), proto)
    denied = 0
    for change in ALL_EVASIONS.values():
        for place in PLACES:
            event_type, metadata, data = placed(change("force"), place)
            event = StreamEvent(event_type, data, metadata=metadata)
            verdict = policy.check(event) if proto else policy.check_json(event.to_json())
            said = said_by(lambda: sender.publish(event_type, data, metadata, "", NOW, None, 0, "", 0))  # noqa: B023
            assert said == (None if verdict.allowed else (verdict.rule, verdict.path))
            denied += said is not None
    assert denied > 3 * len(ALL_EVASIONS), "most disguises are seen in every place"


@BOTH
async def test_a_gateway_says_the_same_of_what_a_lax_client_sends(server: Any, subprotocol: str) -> None:
    """Ninety disguises over a real connection; more a second would not be told one by one."""
    strict = client_of(server, subprotocol=subprotocol)
    async with client_of(server, subprotocol=subprotocol, policy=LAX) as lax:
        for change in list(ALL_EVASIONS.values())[:90]:
            event_type, metadata, data = placed(change("exploit"), "metadata value")
            with pytest.raises(DeniedError) as here:
                strict.publish(event_type, data, metadata=metadata)
            with pytest.raises(DeniedError) as there:
                await lax.request(event_type, data, metadata=metadata)
            assert (here.value.rule, here.value.path) == (there.value.rule, there.value.path)


@pytest.mark.core
def test_what_a_gateway_would_find_malformed_does_not_leave_either() -> None:
    sender = Sender(Core(LAX.scanner, NODE, EPOCH, 42, 1 << 20), True)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    for data in (deep, b'{"a": 1, "a": 2}', b"[" * 100 + b"]" * 100):
        with pytest.raises(MalformedError):
            sender.publish("bio_sync", data, None, "", NOW, None, 0, "", 0)


@pytest.mark.core
@pytest.mark.parametrize("proto", [False, True], ids=["json", "proto"])
def test_a_line_cannot_end_its_own_value(proto: bool) -> None:
    sender = Sender(Core(LAX.scanner, NODE, EPOCH, 42, 1 << 20), proto)
    with pytest.raises(MalformedError):
        sender.publish_json("bio_sync", b'1,"metadata":{"authorization":"x"}', None, NOW)


# -- a refusal ------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_refusal_leaves_no_gap_and_balances(server: Any, subprotocol: str) -> None:
    heard = Received()
    async with client_of(server, "sub") as subscriber, client_of(server, "pub", subprotocol=subprotocol) as publisher:
        await subscriber.subscribe("a", handler=heard)
        first = publisher.publish("a", 1)
        with pytest.raises(DeniedError) as denied:
            publisher.publish("a", {"secret": "s3cr3t"}, metadata={"note": "force s3cr3t"})
        with pytest.raises(DeniedError):
            publisher.publish_json("a", b'{"consent_override": true}')
        second = publisher.publish("a", 2)
        assert (denied.value.rule, denied.value.path) == ("marker-metadata", "metadata.note")
        assert "s3cr3t" not in str(denied.value)
        assert [event.data for event in await heard.wait(2)] == [1, 2]
        assert int(second.rpartition(":")[2]) == int(first.rpartition(":")[2]) + 1
        assert subscriber.missing == 0
        receipt = await publisher.flush()
        assert (receipt["taken"], receipt["denied"], publisher.sent) == (2, 0, 2)
        ledger = publisher.ledger()
        assert (ledger["ingress"]["denied"], ledger["taken"], ledger["balanced"]) == (2, 4, True)
        assert ledger["denied_by_rule"] == {"marker-metadata": 1, "consent-override": 1}
        assert publisher.core.origin.counts()["ingress"]["denied"] == 2
    assert server.ledger()["ingress"]["denied"] == 0


@BOTH
async def test_a_refusal_needs_no_network(subprotocol: str) -> None:
    client = WebSocketClient("alone", "ws://127.0.0.1:1", subprotocol=subprotocol)
    for refused in (lambda: client.publish("a", metadata=FORCED), lambda: client.publish_json("climate_control", b"1")):
        with pytest.raises(DeniedError):
            refused()
    with pytest.raises(DeniedError):
        await client.request("a", metadata=FORCED)
    with pytest.raises(NotConnectedError):
        client.publish("a", 1)
    ledger = client.ledger()
    assert (ledger["ingress"]["denied"], ledger["taken"], ledger["sent"], ledger["balanced"]) == (3, 3, 0, True)


async def test_between_two_connections_too(server: Any) -> None:
    async with client_of(server) as client:
        await eventually(lambda: server.ledger()["connections"] == 1)
        next(iter(server._sessions)).close(1001, "going away")
        await eventually(lambda: not client.connected)
        with pytest.raises(DeniedError):
            client.publish("a", metadata=FORCED)


async def test_a_stream_ends_at_what_is_denied(server: Any) -> None:
    heard = Received()
    async with client_of(server, "sub") as subscriber, client_of(server, "pub") as publisher:
        await subscriber.subscribe("a", handler=heard)
        with pytest.raises(DeniedError):
            await publisher.stream_data("a", [1, {"consent_override": "yes"}, 3])
        await publisher.flush()
        assert [event.data for event in await heard.wait()] == [1]


async def test_a_gateway_publishes_under_the_same_rules(server: Any) -> None:
    heard = Received()
    async with client_of(server) as client:
        await client.subscribe("a", handler=heard)
        first = server.publish("a", 1)
        with pytest.raises(DeniedError) as denied:
            server.publish("a", metadata=FORCED)
        assert (denied.value.rule, denied.value.path) == ("marker-metadata", "metadata.x")
        outcome = await server.broadcast("a", metadata=FORCED)
        assert (outcome.status, outcome.rule) == ("denied", "marker-metadata")
        second = server.publish("a", 2)
        await heard.wait(2)
        assert client.missing == 0
        assert int(second.rpartition(":")[2]) == int(first.rpartition(":")[2]) + 1
    assert server.ledger()["denied_by_rule"] == {"marker-metadata": 2}


async def test_what_a_transformer_makes_of_it_is_policed_too(server: Any) -> None:
    def spoil(event: StreamEvent) -> StreamEvent:
        if event.data == 2:
            event.metadata = FORCED
        return event

    heard = Received()
    server.pipeline.add_transformer(spoil)
    server.subscribe("a", heard)
    server.publish("a", 1)
    with pytest.raises(DeniedError):
        server.publish("a", 2)
    server.publish("a", 3)
    assert [event.data for event in heard.events] == [1, 3], "the number of what was denied is not given out again"
    assert server.ledger()["ingress"] | {"routed": 2, "denied": 1} == server.ledger()["ingress"]


# -- which policy ---------------------------------------------------------------------------------------------------


async def test_the_configured_policy_holds_for_a_client_too(server: Any, tmp_path: Any) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(LAX_TOML)
    async with client_of(server, config=MeshConfig(policy_file=file)) as client:
        client.publish("a", metadata=FORCED)
        assert (await client.flush())["denied"] == 1, "the gateway has a policy of its own"
    file.write_text("[[rule]]\n")
    with pytest.raises(PolicyError):
        client_of(server, config=MeshConfig(policy_file=file))


async def test_a_client_may_be_stricter_or_laxer_than_its_gateway(server: Any) -> None:
    forbidding = '[[rule]]\nname = "quiet"\nscope = ["metadata values"]\nmarkers = ["secret"]\n'
    async with client_of(server, policy=NsrPolicy.loads(forbidding)) as client:
        with pytest.raises(DeniedError) as denied:
            client.publish("a", metadata={"note": "secret"})
        assert denied.value.rule == "quiet"
    async with client_of(server, policy=NsrPolicy.default().without("authorization")) as client:
        client.publish("climate_control", {"celsius": 20})
        with pytest.raises(DeniedError):
            client.publish("climate_control", metadata=FORCED)
        receipt = await client.flush()
        assert (receipt["denied"], receipt["denied_by_rule"]) == (1, {"authorization": 1})


# -- in handlers ----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_answer_that_the_policy_denies_ends_the_request(server: Any, subprotocol: str, is_async: bool) -> None:
    def answer(data: Any) -> dict[str, Any]:
        return {"echo": data} if data == "fine" else {"consent_override": True}

    async def answer_later(data: Any) -> dict[str, Any]:
        return answer(data)

    errors = Received()
    server.subscribe("system_error", errors)
    server.register_handler("ask", answer_later if is_async else answer)
    async with client_of(server, subprotocol=subprotocol) as client:
        with pytest.raises(TransportError, match=r"the answer was denied: consent-override at data\.consent_override"):
            await client.request("ask", "bad")
        assert (await client.request("ask", "fine")).data == {"echo": "fine"}, "the handler goes on"
        assert client.missing == 0, "the denied answer had no number"
    assert [event.data["error"] for event in errors.events] == ["DeniedError"]
    ledger = server.ledger()
    assert (ledger["ingress"]["denied"], ledger["egress"]["failed"]) == (1, 0)


@BOTH
async def test_a_client_whose_answer_is_denied_goes_on(server: Any, subprotocol: str) -> None:
    errors = Received()
    async with client_of(server, "asker") as asker, client_of(server, "oracle", subprotocol=subprotocol) as oracle:
        await oracle.subscribe("ask", handler=lambda event: {"consent_override": event.data})
        oracle.register_handler("system_error", errors)
        asker.publish("ask", True)
        assert (await errors.wait())[0].data["error"] == "DeniedError"
        assert (await asker.request("ask", "no")).data == {"consent_override": "no"}
        ledger = oracle.ledger()
        assert (ledger["ingress"]["denied"], ledger["balanced"]) == (1, True)


@BOTH
async def test_publishing_from_a_handler_what_the_policy_denies(server: Any, subprotocol: str) -> None:
    errors, heard = Received(), Received()
    async with client_of(server, "sub", subprotocol=subprotocol) as client:

        def pass_on(event: StreamEvent) -> None:
            client.publish("out", event.data, metadata={"note": str(event.data)})

        await client.subscribe("in", handler=pass_on)
        client.register_handler("system_error", errors)
        server.subscribe("out", heard)
        server.publish("in", "force")
        server.publish("in", "fine")
        assert [event.data for event in await heard.wait()] == ["fine"]
        assert errors.events[0].data["error"] == "DeniedError"
        ledger = client.ledger()
        assert (ledger["egress"]["failed"], ledger["ingress"]["denied"], ledger["balanced"]) == (1, 1, True)
