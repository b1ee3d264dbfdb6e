"""The client against a real gateway: publishing, replies, refusals, and coming back."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lax_policy import LAX
from raw_ws import TEXT, RawClient, Received, eventually, frame, gateway

from lexmesh import (
    ConnectError,
    DeniedError,
    DisconnectedError,
    HandshakeError,
    MalformedError,
    MeshConfig,
    RequestTimeoutError,
    SubjectError,
    TransportError,
    WebSocketClient,
)

BOTH = pytest.mark.parametrize("subprotocol", ["lexmesh.v1.json", "lexmesh.v1.proto"])


@pytest.fixture
async def server():
    async with gateway() as server:
        yield server


def client_of(server: Any, name: str = "client", **options: Any) -> WebSocketClient:
    return WebSocketClient(name, f"ws://127.0.0.1:{server.port}", **options)


async def test_the_seeds_snippets(server) -> None:
    got: list[Any] = []

    async def handle_bio_sync(data, websocket):
        got.append(data)
        return {"type": "bio_sync_ack", "status": "ok"}

    server.register_handler("bio_sync", handle_bio_sync)
    client = WebSocketClient("bio_synth_ai_control", f"ws://localhost:{server.port}")
    acks = Received()
    client.register_handler("bio_sync_ack", acks)
    await client.connect()
    data = {"frequency": 0.0043, "phase": "synchronizing", "mycelium_nodes": ["node_01", "node_02"]}
    id = await client.send_bio_sync(data)
    ack = (await acks.wait())[0]
    assert (ack.data, ack.reply_to) == ({"type": "bio_sync_ack", "status": "ok"}, id)
    await client.disconnect()
    assert got == [data]
    assert client.ledger()["balanced"]


@BOTH
async def test_publish_and_subscribe(server, subprotocol: str) -> None:
    heard, wild = Received(), Received()
    async with (
        client_of(server, "sub", subprotocol=subprotocol) as subscriber,
        client_of(server, "pub", subprotocol=subprotocol) as publisher,
    ):
        await subscriber.subscribe("t.*", handler=heard)
        await subscriber.subscribe(">", handler=wild)
        values = [None, 1, "x", "\u00e9", [1], {"a": {"b": []}}, b"\x00\xff", "y" * 100_000]
        ids = [publisher.publish("t.x", value, metadata={"k": "v"}, priority=1, ttl=60_000) for value in values]
        events = await heard.wait(len(values))
        expected = values if subprotocol.endswith("proto") else [*values[:6], {"$base64": "AP8="}, values[7]]
        assert [event.data for event in events] == expected
        assert [event.id for event in events] == ids
        assert {(event.source_node, event.depth, event.priority, event.ttl) for event in events} == {
            ("pub", 1, 1, 60_000)
        }
        assert all(event.metadata == {"k": "v"} for event in events)
        assert len(wild.events) == len(values)
        receipt = await publisher.flush()
        assert (receipt["taken"], receipt["routed"]) == (len(values), len(values))
        await subscriber.unsubscribe("t.*", ">")
        publisher.publish("t.x")
        assert (await publisher.flush())["unroutable"] == 1
        assert publisher.sent == len(values) + 1
        assert subscriber.received == len(values)
    for client in (subscriber, publisher):
        assert client.ledger()["balanced"]
        assert client.ledger()["egress"]["in_flight"] == 0


@BOTH
async def test_requests(server, subprotocol: str) -> None:
    server.register_handler("double", lambda data: {"twice": 2 * data})

    async def late(data):
        await asyncio.sleep(0)
        return {"late": data}

    server.register_handler("late", late)
    server.register_handler("nothing", lambda data: None)
    async with client_of(server, subprotocol=subprotocol) as client:
        replies = await asyncio.gather(*(client.request("double", i) for i in range(100)))
        assert [reply.data["twice"] for reply in replies] == [2 * i for i in range(100)]
        assert (await client.request("late", 5)).data == {"late": 5}
        with pytest.raises(RequestTimeoutError) as error:
            await client.request("nothing", timeout=0.05)
        assert "nothing" in str(error.value)
        assert client.core.awaited == set()


@BOTH
async def test_a_request_that_only_the_gateway_refuses(server, subprotocol: str) -> None:
    server.register_handler("double", lambda data: {"twice": 2 * data})
    async with client_of(server, subprotocol=subprotocol, policy=LAX) as client:
        with pytest.raises(DeniedError) as denied:
            await client.request("double", 1, metadata={"x": "force"})
        assert (denied.value.rule, denied.value.path) == ("marker-metadata", "metadata.x")
        assert (await client.request("double", 7)).data == {"twice": 14}, "the connection goes on"
        assert client.core.awaited == set()
        assert client.ledger()["balanced"]


async def test_requests_fail_when_the_connection_breaks() -> None:
    async with gateway() as server:
        server.register_handler("never", lambda data: None)
        client = client_of(server, reconnect=False)
        await client.connect()
        waiting = asyncio.ensure_future(client.request("never"))
        flushed = asyncio.ensure_future(client.flush())
        await flushed
        await server.stop()
        with pytest.raises(DisconnectedError) as error:
            await waiting
        assert error.value.code == 1001
        with pytest.raises(DisconnectedError):
            client.publish("x")
        with pytest.raises(DisconnectedError):
            await client.flush()
        await client.disconnect()


async def test_what_cannot_be_sent_raises_and_is_not_counted(server) -> None:
    async with client_of(server) as client:
        for bad, error in [
            (("",), MalformedError),
            (("a.*",), MalformedError),
            (("a b",), MalformedError),
            (("a", object()), TypeError),
            (("a", "x" * (1 << 20)), MalformedError),
        ]:
            with pytest.raises(error):
                client.publish(*bad)
        with pytest.raises(TypeError):
            client.publish("a", metadata={"k": 1})
        with pytest.raises(MalformedError):
            client.publish_json("a", b"{'a':1}")
        with pytest.raises(MalformedError):
            client.publish_json("a", b'{"a":1,"a":2}')
        assert client.publish_json("a", b' {"a": 1} ').startswith("client:")
        assert (await client.flush())["taken"] == client.sent == 1
        with pytest.raises(SubjectError):
            await client.subscribe("a..b")
        assert client.ledger()["balanced"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_streams(server, is_async: bool) -> None:
    got = Received()
    server.subscribe("sensor_reading", got)
    server.subscribe("numbers", got)

    async def later(values) -> AsyncIterator[Any]:
        for value in values:
            await asyncio.sleep(0)
            yield value

    async with client_of(server) as client:
        readings = [{"temperature": 20 + i / 10} for i in range(200)]
        source = later(readings) if is_async else iter(readings)
        assert await client.send_sensor_stream(source, metadata={"sensor_id": "s1"}) == 200
        assert await client.stream_data("numbers", later(range(100)) if is_async else range(100)) == 100
        assert await client.stream_data("numbers", []) == 0
        await client.flush()
    assert [event.data for event in got.events] == [*readings, *range(100)]
    assert got.events[0].metadata == {"sensor_id": "s1"}


async def test_the_two_subprotocols_in_one_mesh(server) -> None:
    heard = {"j": Received(), "p": Received()}
    async with (
        client_of(server, "j", subprotocol="lexmesh.v1.json") as jsons,
        client_of(server, "p", subprotocol="lexmesh.v1.proto") as protos,
    ):
        await jsons.subscribe("x", handler=heard["j"])
        await protos.subscribe("x", handler=heard["p"])
        for client, other in ((jsons, "p"), (protos, "j")):
            values = [{"a": [1, "\u00e9"]}, "text", 22.5, None]
            ids = [client.publish("x", value, metadata={"m": "n"}) for value in values]
            events = await heard[other].wait(4)
            assert [(event.id, event.data, event.metadata) for event in events] == [
                (id, value, {"m": "n"}) for id, value in zip(ids, values, strict=True)
            ]


async def test_echo_and_targets(server) -> None:
    mine, theirs = Received(), Received()
    async with client_of(server, "a") as one, client_of(server, "b") as two:
        await one.subscribe("x", handler=mine, echo=True)
        await two.subscribe("y", handler=theirs)
        two.register_handler("x", theirs)
        one.publish("x", 1)
        assert (await mine.wait())[0].data == 1
        one.publish("x", 2, target_node="b")
        assert (await theirs.wait())[0].data == 2
        assert len(mine.events) == 1


async def test_a_storm_between_client_and_gateway_ends_at_the_depth_limit(server) -> None:
    depths: list[int] = []
    server.subscribe("ping", lambda event: server.publish("pong"))
    async with client_of(server) as client:

        def again(event) -> None:
            depths.append(event.depth)
            client.publish("ping")

        await client.subscribe("pong", handler=again)
        client.publish("ping")
        await eventually(lambda: server.ledger()["ingress"]["looped"] + client.ledger()["ingress"]["looped"] >= 1)
        count = len(depths)
        await client.flush()
        assert len(depths) == count
        assert depths == sorted(depths)
        assert depths[-1] <= 42


async def test_async_handlers_publish_one_deeper(server) -> None:
    seen = Received()
    server.subscribe("effect", seen)
    async with client_of(server) as client:

        async def handler(event) -> None:
            await asyncio.sleep(0)
            await client.send_message("effect")

        await client.subscribe("cause", handler=handler)
        server.publish("cause")
        assert (await seen.wait())[0].depth == 2
        client.publish("effect")
        assert (await seen.wait(2))[1].depth == 0


# -- connecting and coming back -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://localhost:1", "ws://", "ws://:80", "ws://[::1", "ws://h:99999", "ws://h:x", "ws://a..b:1",
     "ws://" + "a" * 70 + ".example:1", "ws://ex ample:1", "ws://\ud800:1"],
)  # fmt: skip
async def test_bad_urls(url: str) -> None:
    client = WebSocketClient("c", url)
    with pytest.raises(ConnectError):
        await client.connect(5)
    assert not client.connected
    await client.disconnect()


async def test_nothing_there() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectError, match="refused"):
        await WebSocketClient("c", f"ws://127.0.0.1:{port}").connect()
    with pytest.raises(ConnectError, match="no such host"):
        await WebSocketClient("c", "ws://no-such-host.invalid:1").connect()


async def test_no_answer_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ConnectError, match="in time"):
            await WebSocketClient("c", f"ws://127.0.0.1:{silent.getsockname()[1]}").connect(0.1)


async def test_a_full_gateway_refuses_the_handshake() -> None:
    async with gateway(max_connections=1) as server, client_of(server):
        with pytest.raises(HandshakeError):
            await client_of(server).connect()


async def test_a_wrong_subprotocol_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        WebSocketClient("c", "ws://h", subprotocol="mqtt")


GATEWAY = """
import sys
from lexmesh import WebSocketServer

class Server(WebSocketServer):
    async def start(self):
        await super().start()
        print("listening", flush=True)

Server("gateway", "127.0.0.1", int(sys.argv[1])).run()
"""


class GatewayProcess:
    """A gateway in a process of its own, on a port of its own, that can be killed."""

    def __init__(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", GATEWAY, str(self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)  # noqa: ASYNC220
        assert self.process.stdout is not None
        assert await asyncio.to_thread(self.process.stdout.readline) == b"listening\n"

    def end(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_comes_back_when_the_gateway_does(how: int) -> None:
    process = GatewayProcess()
    await process.start()
    states: list[str] = []
    heard = Received()
    try:
        subscriber = WebSocketClient("sub", f"ws://127.0.0.1:{process.port}", on_state=lambda s, _d: states.append(s))
        publisher = WebSocketClient("pub", f"ws://127.0.0.1:{process.port}")
        await subscriber.connect()
        await publisher.connect()
        await subscriber.subscribe("a.*", handler=heard)
        for i in range(10):
            publisher.publish("a.b", i)
        await publisher.flush()
        await heard.wait(10)
        for i in range(5):
            publisher.publish("a.b", 100 + i)  # no receipt for these
        process.end(how)
        await eventually(lambda: not publisher.connected and not subscriber.connected)
        assert publisher.unconfirmed == 5
        with pytest.raises(DisconnectedError):
            publisher.publish("a.b")
        await process.start()
        await eventually(lambda: (publisher.reconnects, subscriber.reconnects) == (1, 1))
        assert publisher.connected
        assert subscriber.connected
        await subscriber.flush()  # answered after the subscription that went ahead of it
        before = len(heard.events)
        publisher.publish("a.b", "back")
        receipt = await publisher.flush()
        assert receipt["taken"] == 1
        await heard.wait(before + 1)
        assert heard.events[-1].data == "back"
        assert publisher.unconfirmed == 5
        await publisher.disconnect()
        await subscriber.disconnect()
        assert states[:2] == ["connected", "disconnected"]
        assert states.count("connected") == 2
        assert states[-1] == "closed"
        for client in (publisher, subscriber):
            assert client.ledger()["balanced"]
            assert client.ledger()["egress"]["in_flight"] == 0
    finally:
        process.end(signal.SIGTERM)


async def test_without_reconnect_it_stays_away() -> None:
    states: list[str] = []
    async with gateway() as server:
        client = client_of(server, reconnect=False, on_state=lambda state, _detail: states.append(state))
        await client.connect()
    await eventually(lambda: not client.connected)
    assert states == ["connected", "disconnected", "closed"]
    await client.disconnect()


async def test_a_gateway_that_closes_at_once_is_no_connection() -> None:
    async with gateway() as server:

        def slam(session: Any) -> None:
            session.close(1013, "try later")

        server._protocol.opened = slam
        client = client_of(server)
        try:
            await client.connect()
        except TransportError:
            assert not client.connected
        await client.disconnect()
        assert client.ledger()["balanced"]


async def test_disconnect_ends_attempts_to_come_back() -> None:
    async with gateway() as server:
        client = client_of(server)
        await client.connect()
        await server.stop()
        await eventually(lambda: not client.connected)
        await client.disconnect()
        assert client._connector._retry is None


async def test_disconnect_sends_what_waits(server) -> None:
    got = Received()
    server.subscribe("a", got)
    client = client_of(server, config=MeshConfig(overflow="block"))
    await client.connect()
    for i in range(5000):
        client.publish("a", [i, "x" * 1000])
    await client.disconnect()
    assert [event.data[0] for event in await got.wait(5000)] == list(range(5000))
    ledger = client.ledger()
    assert (ledger["egress"]["delivered"], ledger["balanced"]) == (5000, True)


async def test_what_arrives_is_policed_too() -> None:
    """A gateway that lets things pass is not to be trusted."""
    heard = Received()
    async with gateway() as server, client_of(server, subprotocol="lexmesh.v1.json") as client:
        await client.subscribe("a", handler=heard)
        session = next(iter(server._sessions))
        forged = frame(TEXT, b'{"type":"a","metadata":{"x":"force"}}', mask=None)
        session.link.transport.underlying_transport.write(forged)
        server.publish("a", 1)
        assert (await heard.wait())[0].data == 1
        assert client.ledger()["denied_by_rule"] == {"marker-metadata": 1}


async def test_raw_and_lexmesh_clients_side_by_side(server) -> None:
    raw = await RawClient.connect(server.port)
    await raw.subscribe("a")
    async with client_of(server) as client:
        client.publish("a", {"n": 1})
        got = await raw.json()
        assert (got["data"], got["source_node"]) == ({"n": 1}, "client")
    await raw.aclose()


@BOTH
async def test_one_client_answers_another(server, subprotocol: str) -> None:
    async with (
        client_of(server, "asker", subprotocol=subprotocol) as asker,
        client_of(server, "oracle", subprotocol=subprotocol) as oracle,
    ):
        await oracle.subscribe("question", handler=lambda event: {"type": "answer", "n": event.data["n"] + 1})
        reply = await asker.request("question", {"n": 41})
        assert (reply.event_type, reply.data["n"], reply.source_node) == ("answer", 42, "oracle")
    assert server.ledger()["balanced"]


@BOTH
@pytest.mark.parametrize(
    "payload", [b'"' + b"x" * (2**20 - 300) + b'"', b"\x01" * (2**20 - 300)], ids=["json", "bytes"]
)
async def test_the_largest_message_arrives_whatever_the_relay_makes_of_it(
    server, subprotocol: str, payload: bytes
) -> None:
    heard = Received()
    async with client_of(server, "sub", subprotocol=subprotocol) as subscriber, client_of(server, "pub") as publisher:
        await subscriber.subscribe("big", handler=heard)
        if payload[:1] == b'"':
            publisher.publish_json("big", payload)
        else:
            publisher.publish("big", payload)
        event = (await heard.wait())[0]
        assert len(event.to_proto()) > 2**20 - 300
        assert subscriber.connected
    assert server.ledger()["egress"]["delivered"] == 1


async def test_reserved_types_cannot_be_published(server) -> None:
    async with client_of(server) as client:
        with pytest.raises(MalformedError, match="reserved"):
            client.publish("_lexmesh.ack")
        with pytest.raises(MalformedError, match="reserved"):
            server.publish("_lexmesh.subscribe")
        assert client.sent == 0
    assert server.ledger()["taken"] == 0


async def test_a_refusing_gateway_is_not_visited_again(server) -> None:
    states: list[str] = []
    client = client_of(server, on_state=lambda state, _detail: states.append(state), policy=LAX)
    await client.connect()
    for _ in range(1100):
        client.publish("x", metadata={"consent_override": "yes"})
    await eventually(lambda: "closed" in states)
    assert "retrying" not in states
    assert client.receipt["denied"] >= 1000
    await client.disconnect()


def test_a_client_without_a_name_could_not_be_answered() -> None:
    with pytest.raises(ValueError, match="node_id = '': must be 1 to 128"):
        WebSocketClient("", "ws://127.0.0.1:1")
