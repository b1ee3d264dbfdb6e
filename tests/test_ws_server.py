"""The gateway as clients of any make see it: handshake, subscriptions, refusals, targets, drain."""

import asyncio
import json
import socket
import struct

import pytest
from raw_ws import BINARY, CLOSE, PING, PONG, TEXT, RawClient, Received, eventually, frame, gateway, text
from strategies import field, message

from lexmesh import MeshConfig, PortInUseError, StreamEvent, TransportError, WebSocketServer, decode_batch
from lexmesh.transports.gateway_protocol import MAX_DENIED_IN_A_ROW, MAX_MALFORMED_IN_A_ROW, MAX_SUBSCRIPTIONS

JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"
DENIED = {"type": "a", "metadata": {"x": "force"}}


@pytest.fixture
async def server():
    async with gateway() as server:
        yield server


@pytest.fixture
async def connect(server):
    clients: list[RawClient] = []

    async def connect(**options) -> RawClient:
        clients.append(await RawClient.connect(server.port, **options))
        return clients[-1]

    yield connect
    for client in clients:
        await client.aclose()


# -- handshake and plain HTTP ---------------------------------------------------------------------------------------


async def test_subprotocols(connect) -> None:
    for offered, chosen in [
        (JSON, JSON),
        (PROTO, PROTO),
        (f"other, {PROTO} , {JSON}", PROTO),
        (f"{JSON},{PROTO}", JSON),
        ("other", None),
        (None, None),
    ]:
        client = await connect(subprotocol=offered)
        assert client.status == 101
        assert client.headers.get("sec-websocket-protocol") == chosen


@pytest.mark.parametrize("connection", ["keep-alive, Upgrade", "Upgrade,keep-alive", "upgrade", "UPGRADE"])
async def test_connection_headers_of_browsers(connect, connection: str) -> None:
    client = await connect(headers={"Connection": connection})
    assert client.status == 101
    client.send(frame(PING, b"x"))
    assert (await client.frame()).opcode == PONG


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Connection": "keep-alive"}, 400),
        ({"Connection": "keep-alive, notupgrade"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        *(({"Sec-WebSocket-Version": version}, 426) for version in ("12", "8", "7", "", "13, 8")),
        ({"Upgrade": "h2c"}, 426),
        ({"Upgrade": ""}, 426),
    ],
)
async def test_bad_handshakes(connect, headers: dict[str, str], status: int) -> None:
    assert (await connect(headers=headers)).status == status


async def test_another_version_is_told_which_one_would_do(connect) -> None:
    client = await connect(headers={"Sec-WebSocket-Version": "8"})
    assert (client.status, client.headers["sec-websocket-version"]) == (426, "13")


ORIGINS = ["https://example.com", "HTTP://Localhost:3000", "null"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://example.com", 101),
        ("https://EXAMPLE.com", 101),
        ("http://localhost:3000", 101),
        ("null", 101),
        ("http://example.com", 403),
        ("https://example.com:8443", 403),
        ("https://example.com.evil.example", 403),
        ("https://evil.example/https://example.com", 403),
        ("https://sub.example.com", 403),
        ("https://example.com, https://evil.example", 403),
        ("*", 403),
    ],
)
async def test_origins(origin: str | None, status: int) -> None:
    async with gateway(allowed_origins=ORIGINS) as server:
        client = await RawClient.connect(server.port, headers={"Origin": origin} if origin else {})
        assert client.status == status
        await client.aclose()
        await eventually(lambda: server.ledger()["connections"] == 0)


async def test_two_origins_must_both_be_allowed() -> None:
    async with gateway(allowed_origins=ORIGINS) as server:
        both = "https://example.com\r\nOrigin: https://evil.example"
        client = await RawClient.connect(server.port, headers={"Origin": both})
        assert client.status == 403
        await client.aclose()


async def test_any_origin_unless_configured(connect) -> None:
    assert (await connect(headers={"Origin": "https://evil.example"})).status == 101


async def test_the_gateways_path() -> None:
    async with gateway(websocket_path="/mesh/v1") as server:
        server.add_page("/mesh/v1/health", lambda: (200, "text/plain", b"ok"))
        plain = {"Upgrade": "", "Connection": "close"}
        for path, headers, status in [
            ("/mesh/v1", {}, 101),
            ("/mesh/v1?token=1", {}, 101),
            ("/", {}, 404),
            ("/mesh/v1/", {}, 404),
            ("/mesh", {}, 404),
            ("/mesh/v1/health", {}, 404),
            ("//mesh/v1", {}, 404),
            ("/mesh/v1", plain, 426),
            ("/mesh/v1/health", plain, 200),
            ("/", plain, 404),
        ]:
            client = await RawClient.connect(server.port, path=path, headers=headers)
            assert client.status == status, (path, headers)
            await client.aclose()


async def test_plain_http(server, connect) -> None:
    server.add_page("/health", lambda: (200, "application/json", b'{"ok":true}'))
    plain = {"Upgrade": "", "Connection": "close"}
    assert (await connect(headers=plain)).status == 426
    assert (await connect(headers=plain, path="/nothing")).status == 404
    page = await connect(headers=plain, path="/health?x=1")
    assert page.status == 200
    assert await page.reader.read() == b'{"ok":true}'
    assert (await connect(path="/health")).status == 404, "a WebSocket only at /"
    assert (await connect(path="/?token=1")).status == 101
    assert server.ledger()["taken"] == 0


async def test_rubbish_instead_of_http(server) -> None:
    for rubbish in (b"\x00\xff" * 50 + b"\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"x" * 20_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(rubbish)
        try:
            answer = await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            answer = b""
        assert not answer.startswith(b"HTTP/1.1 101")
        writer.close()
    assert server.ledger()["connections"] == 0


async def test_connection_cap() -> None:
    async with gateway(max_connections=2) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        assert [client.status for client in clients] == [101, 101, 503]
        await clients[0].aclose()
        await eventually(lambda: server.ledger()["connections"] == 1)
        clients.append(await RawClient.connect(server.port))
        assert clients[-1].status == 101
        for client in clients:
            await client.aclose()


async def test_port_in_use_and_no_such_address(server) -> None:
    with pytest.raises(PortInUseError) as error:
        await WebSocketServer("x", "127.0.0.1", server.port).start()
    assert str(server.port) in str(error.value)
    with pytest.raises(TransportError, match=r"192\.0\.2\.1:0: no address of this machine"):
        await WebSocketServer("x", "192.0.2.1", 0).start()


# -- subscriptions --------------------------------------------------------------------------------------------------


async def test_welcome_only_for_those_who_offered_a_subprotocol(connect) -> None:
    client = await connect(subprotocol=JSON)
    welcome = await client.json()
    assert welcome["type"] == "_lexmesh.welcome"
    assert welcome["data"]["node_id"] == "gateway"
    plain = await connect()
    await plain.subscribe("a")
    assert [found.json["type"] for found in plain.seen] == ["_lexmesh.subscribed"]


async def test_subscribe_publish_unsubscribe(connect) -> None:
    subscriber, publisher = await connect(), await connect()
    assert (await subscriber.subscribe("s.*", "t.>"))["data"]["subjects"] == ["s.*", "t.>"]
    for subject in ("s.1", "s.1.2", "t", "t.1.2", "s.2"):
        publisher.send(text({"type": subject, "data": subject}))
    assert [(await subscriber.json())["data"] for _ in range(3)] == ["s.1", "t.1.2", "s.2"]
    subscriber.send(text({"type": "_lexmesh.unsubscribe", "data": {"subjects": ["s.*", "never"]}, "id": "me:1:9"}))
    answer = await subscriber.json_of("_lexmesh.unsubscribed")
    assert (answer["data"]["subjects"], answer["reply_to"]) == (["never", "s.*"], "me:1:9")
    publisher.send(text({"type": "s.1"}), text({"type": "t.1"}))
    assert (await subscriber.json())["type"] == "t.1"


async def test_a_publisher_hears_itself_only_if_it_asks(connect) -> None:
    quiet, loud = await connect(), await connect()
    await quiet.subscribe("a")
    await loud.subscribe("a", echo=True)
    quiet.send(text({"type": "a", "data": 1}))
    assert (await loud.json())["data"] == 1
    loud.send(text({"type": "a", "data": 2}))
    assert (await loud.json())["data"] == 2
    assert (await quiet.json())["data"] == 2
    await loud.subscribe("a", echo=False)
    loud.send(text({"type": "a", "data": 3}))
    assert (await quiet.json())["data"] == 3
    await loud.flush()
    assert all(found.json.get("data") != 3 for found in loud.seen)


async def test_stamps_under_the_connections_own_epoch(connect) -> None:
    subscriber, one, two = await connect(), await connect(), await connect()
    await subscriber.subscribe(">")
    ids = []
    for client in (one, two, one):
        client.send(text({"type": "a"}))
        got = await subscriber.json()
        assert got["source_node"] == "gateway"
        assert got["depth"] == 1
        assert got["timestamp"] > 1_700_000_000_000
        ids.append(got["id"].split(":"))
    assert [id[2] for id in ids] == ["1", "1", "2"]
    assert ids[0][1] == ids[2][1] != ids[1][1]
    one.send(text({"type": "a", "id": "me:4:5", "depth": 7, "timestamp": 3, "priority": 2}))
    got = await subscriber.json()
    assert (got["id"], got["depth"], got["timestamp"], got["priority"]) == ("me:4:5", 8, 3, 2)


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"subjects": "a"}, {"subjects": [1]}, {"subjects": ["a..b"]}, {"subjects": ["a", "b c"]}, 5, "a"],
)
async def test_bad_subscriptions(connect, data) -> None:
    client = await connect()
    for kind in ("subscribe", "unsubscribe"):
        if kind == "unsubscribe" and isinstance(data, dict) and isinstance(data.get("subjects", [1])[0], str):
            continue
        client.send(text({"type": f"_lexmesh.{kind}", "data": data, "id": "c:1:1"}))
        answer = await client.json()
        assert (answer["type"], answer["reply_to"]) == ("_lexmesh.error", "c:1:1")
        assert answer["data"]["outcome"] == "refused"
    client.send(text({"type": "a"}))
    assert (await client.flush())["taken"] == 1


async def test_subscription_limit(connect) -> None:
    client = await connect()
    await client.subscribe(*(f"s{i}" for i in range(MAX_SUBSCRIPTIONS)))
    client.send(text({"type": "_lexmesh.subscribe", "data": {"subjects": ["one.more"]}}))
    assert "at most" in (await client.json_of("_lexmesh.error"))["data"]["reason"]
    await client.subscribe("s0", "s1")


async def test_unknown_reserved_types_are_answered_and_never_routed(server, connect) -> None:
    subscriber, client = await connect(), await connect()
    await subscriber.subscribe(">")
    heard = Received()
    server.subscribe(">", heard)
    client.send(text({"type": "_lexmesh.nonsense", "id": "c:1:1"}))
    assert (await client.json())["type"] == "_lexmesh.error"
    for kind in ("welcome", "ack", "error", "subscribed"):  # a peer's answers to answers would never end
        client.send(text({"type": f"_lexmesh.{kind}"}))
    client.send(text({"type": "end"}))
    assert (await subscriber.json())["type"] == "end"
    assert len(heard.events) == 1
    assert (await client.flush())["taken"] == 1
    assert [found.json["type"] for found in client.seen] == ["_lexmesh.error", "_lexmesh.ack"]


async def test_subscribing_after_more_subjects_than_have_entries(server, connect) -> None:
    client = await connect()
    for start in range(0, 17_000, 1000):
        client.send(*(text({"type": f"x.{i}"}) for i in range(start, start + 1000)))
        await client.drain()
    assert (await client.flush())["taken"] == 17_000
    subscriber = await connect()
    await subscriber.subscribe("x.>")
    client.send(text({"type": "x.0"}), text({"type": "x.20000"}))
    assert [(await subscriber.json())["type"] for _ in range(2)] == ["x.0", "x.20000"]


# -- refusals -------------------------------------------------------------------------------------------------------


async def test_denied_is_told_with_rule_and_path(server, connect) -> None:
    subscriber, client = await connect(), await connect()
    await subscriber.subscribe(">")
    heard = Received()
    server.subscribe(">", heard)
    client.send(text({**DENIED, "id": "c:1:1"}), text({"type": "after"}))
    error = await client.json()
    assert error["type"] == "_lexmesh.error"
    assert error["reply_to"] == "c:1:1"
    assert error["data"]["outcome"] == "denied"
    assert (error["data"]["rule"], error["data"]["path"]) == ("marker-metadata", "metadata.x")
    assert (await subscriber.json())["type"] == "after"
    assert [event.event_type for event in heard.events] == ["after"]
    receipt = await client.flush()
    assert (receipt["taken"], receipt["denied"], receipt["routed"]) == (2, 1, 1)
    assert dict(receipt["denied_by_rule"]) == {"marker-metadata": 1}


async def test_malformed_is_told_and_the_connection_stays(connect) -> None:
    client = await connect()
    for _ in range(3):
        client.send(text(b'{"type":"a","type":"b"}'), text({"type": "a"}))
        error = await client.json()
        assert error["data"]["outcome"] == "malformed"
        assert "duplicate" in error["data"]["reason"]
    assert (await client.flush())["malformed"] == 3


async def test_a_new_connection_is_not_taken_for_one_that_closed(server) -> None:
    """Ids are new again on a new connection, however soon it follows the last: also where that one lay in memory."""
    for _ in range(20):
        client = await RawClient.connect(server.port)
        client.send(text({"type": "a", "id": "c:1:1"}))
        receipt = await client.flush()
        assert (receipt["taken"], receipt["duplicate"]) == (1, 0)
        await client.aclose()


async def test_nothing_but_rubbish_closes_with_1007(server, connect) -> None:
    client = await connect()
    client.send(*[text(b"{")] * (MAX_MALFORMED_IN_A_ROW + 5))
    assert await client.closed() == 1007
    assert server.ledger()["ingress"]["malformed"] == MAX_MALFORMED_IN_A_ROW + 1


async def test_now_and_then_a_good_message_keeps_a_connection(server, connect) -> None:
    client = await connect()
    for _ in range(5):
        client.send(*[text(b"{")] * MAX_MALFORMED_IN_A_ROW, text({"type": "a"}))
    assert (await client.flush())["malformed"] == 5 * MAX_MALFORMED_IN_A_ROW


async def test_denied_messages_are_not_rubbish(connect) -> None:
    client = await connect()
    client.send(*[text(DENIED)] * 3 * MAX_MALFORMED_IN_A_ROW, text(b"{"), *[text(DENIED)] * 3)
    receipt = await client.flush()
    assert (receipt["denied"], receipt["malformed"]) == (3 * MAX_MALFORMED_IN_A_ROW + 3, 1)


async def test_nothing_but_denied_messages_closes_with_1008(server, connect) -> None:
    client = await connect()
    client.send(*[text(DENIED)] * (MAX_DENIED_IN_A_ROW + 5))
    assert await client.closed() == 1008
    assert server.ledger()["denied_by_rule"] == {"marker-metadata": MAX_DENIED_IN_A_ROW + 1}
    told = sum(found.opcode == TEXT and found.json["data"].get("outcome") == "denied" for found in client.seen)
    assert told <= 210, "at most a hundred a second"


async def test_a_batch_of_nothing_closes_soon(server, connect) -> None:
    client = await connect(subprotocol=PROTO)
    client.send(frame(BINARY, b"\x0a\x00" * 100_000))
    assert await client.closed() == 1007
    assert server.ledger()["ingress"]["malformed"] == MAX_MALFORMED_IN_A_ROW + 1


# -- targets and handlers -------------------------------------------------------------------------------------------


async def test_target_node(server, connect) -> None:
    one, two, publisher = await connect(), await connect(), await connect()
    await one.subscribe("x", source_node="one")
    await two.subscribe(source_node="two")
    heard = Received()
    server.subscribe(">", heard)
    for target in ("one", "two", "gateway", "nobody", ""):
        publisher.send(text({"type": "x", "target_node": target, "data": target}))
    receipt = await publisher.flush()
    assert (receipt["routed"], receipt["unroutable"]) == (4, 1)
    assert [event.data for event in heard.events] == ["gateway", ""]
    assert [(await one.json())["data"] for _ in range(2)] == ["one", ""]
    assert (await two.json())["data"] == "two"
    await two.aclose()
    await eventually(lambda: server.ledger()["connections"] == 2)
    publisher.send(text({"type": "x", "target_node": "two"}))
    assert (await publisher.flush())["unroutable"] == 2


async def test_the_seeds_handler(server, connect) -> None:
    async def handle_bio_sync(data, websocket):
        assert websocket.remote_address.startswith("127.0.0.1:")
        return {"type": "bio_sync_ack", "status": "ok", "got": data}

    server.register_handler("bio_sync", handle_bio_sync)
    client = await connect()
    client.send(text({"type": "bio_sync", "data": {"phase": 1}, "id": "c:1:7", "depth": 3}))
    reply = await client.json()
    assert (reply["type"], reply["reply_to"]) == ("bio_sync_ack", "c:1:7")
    assert reply["data"] == {"type": "bio_sync_ack", "status": "ok", "got": {"phase": 1}}
    assert reply["source_node"] == "gateway"


async def test_handlers_of_one_argument_and_methods(server, connect) -> None:
    class Thing:
        def __init__(self) -> None:
            self.got: list = []

        def one(self, data) -> dict:
            self.got.append(data)
            return {"n": 1}

        async def two(self, data, websocket) -> dict:
            return {"n": 2}

    thing = Thing()
    server.register_handler("one", thing.one)
    server.register_handler("two", thing.two)
    client = await connect()
    for name, n in (("one", 1), ("two", 2)):
        client.send(text({"type": name}))
        reply = await client.json()
        assert (reply["type"], reply["data"]) == ("reply", {"n": n})


async def test_a_failing_handler_leaves_the_link(server, connect) -> None:
    errors = Received()
    server.subscribe("system_error", errors)

    def handler(data):
        raise RuntimeError("on purpose")

    async def handler_later(data):
        raise RuntimeError("on purpose")

    server.register_handler("a", handler)
    server.register_handler("a", handler_later)
    client = await connect()
    client.send(*[text({"type": "a"})] * 20)
    assert (await client.flush())["routed"] == 20
    await eventually(lambda: server.ledger()["egress"]["failed"] == 40)
    assert len(await errors.wait(2)) == 2, "one for each handler and second"
    client.send(text({"type": "b"}))
    assert (await client.flush())["unroutable"] == 1


async def test_replies_that_are_no_messages(server, connect) -> None:
    errors = Received()
    server.subscribe("system_error", errors)
    answers = iter([{"k": object()}, {"type": "a b"}, {"type": "_lexmesh.subscribed"}, {1: 2}, {"ok": 1}])
    server.register_handler("a", lambda data: next(answers))
    client = await connect()
    client.send(*[text({"type": "a"})] * 5)
    assert (await client.json())["data"] == {"ok": 1}
    assert (await client.flush())["routed"] == 5
    assert errors.events


async def test_a_storm_between_handlers_ends(server, connect) -> None:
    depths: list[int] = []

    async def again(event: StreamEvent) -> None:
        depths.append(event.depth)
        server.publish("storm")
        await asyncio.sleep(0)
        server.publish("storm")

    server.subscribe("storm", again)
    client = await connect()
    client.send(text({"type": "storm", "depth": 36}))
    await eventually(lambda: server.ledger()["ingress"]["looped"] == 2**7 and not server._runner.running)
    assert max(depths) == 42
    assert len(depths) == 2**7 - 1


async def test_broadcast_says_what_became_of_it(server, connect) -> None:
    client = await connect()
    await client.subscribe("a")
    assert (await server.broadcast("a", {"n": 1}, metadata={"k": "v"}, priority=4)).routed
    got = await client.json()
    assert (got["data"], got["metadata"], got["priority"]) == ({"n": 1}, {"k": "v"}, 4)
    assert (await server.broadcast("b")).status == "unroutable"
    outcome = await server.broadcast("a", metadata={"x": "force"})
    assert (outcome.status, outcome.rule, outcome.path) == ("denied", "marker-metadata", "metadata.x")
    with pytest.raises(TypeError):
        await server.broadcast("a", nonsense=1)


# -- two subprotocols in one mesh -----------------------------------------------------------------------------------

PAYLOADS = [None, 0, -1.5, True, "text", '\u00e9\n"\\', [], {"a": [1, {"b": None}]}, "x" * 70_000]


async def test_json_in_protobuf_out_and_back(connect) -> None:
    jsons, protos = await connect(subprotocol=JSON), await connect(subprotocol=PROTO)
    await jsons.subscribe("p.>")
    protos.send(frame(BINARY, field(1, message(event_type="_lexmesh.subscribe", payload='{"subjects":["j.>"]}'))))
    while b"_lexmesh.subscribed" not in (await protos.frame()).payload:
        pass
    for seq, value in enumerate(PAYLOADS):
        jsons.send(text({"type": "j.x", "data": value, "metadata": {"k": "\u00e9"}, "id": f"me:1:{seq}"}))
        protos.send(frame(BINARY, field(1, message(event_type="p.x", payload=json.dumps(value).encode()))))
        event = decode_batch((await protos.frame()).payload)[0]
        assert (event.event_type, event.data, event.metadata, event.depth) == ("j.x", value, {"k": "\u00e9"}, 1)
        assert event.id == f"me:1:{seq}"
        back = await jsons.json()
        assert (back["type"], back.get("data"), back["depth"]) == ("p.x", value, 1)
        assert back["id"].startswith("gateway:")
    for payload, shown in [(b"plain \xc3\xa9", "plain \u00e9"), (b"\x00\xff", {"$base64": "AP8="})]:
        protos.send(frame(BINARY, field(1, message(event_type="p.y", payload=payload))))
        assert (await jsons.json())["data"] == shown


# -- stop -----------------------------------------------------------------------------------------------------------


async def test_a_drain_delivers_what_was_accepted_and_says_1001() -> None:
    async with gateway() as server:
        subscriber = await RawClient.connect(server.port, receive_buffer=8192)
        await subscriber.subscribe("a")
        publisher = await RawClient.connect(server.port)
        publisher.send(*(text({"type": "a", "data": [i, "x" * 1000]}) for i in range(3000)))
        await eventually(lambda: server.ledger()["ingress"]["routed"] == 3000)
        stopping = asyncio.ensure_future(server.stop(5))
        got = []
        while (found := await subscriber.frame()).opcode != CLOSE:
            got.append(found.json["data"][0])
        assert found.code == 1001
        assert got == list(range(3000))
        subscriber.send(frame(CLOSE, struct.pack("!H", 1001)))
        assert await publisher.closed() == 1001
        await stopping
        egress = server.ledger()["egress"]
        assert (egress["delivered"], egress["in_flight"]) == (3000, 0)
        await subscriber.aclose()
        await publisher.aclose()


async def test_a_drain_lets_async_handlers_finish_and_cuts_those_that_do_not() -> None:
    async with gateway() as server:
        release = asyncio.Event()
        server.register_handler("quick", lambda data: release.wait())
        server.register_handler("slow", lambda data: asyncio.Event().wait())
        client = await RawClient.connect(server.port)
        client.send(text({"type": "quick"}), text({"type": "slow"}))
        assert (await client.flush())["routed"] == 2
        stopping = asyncio.ensure_future(server.stop(0.3))
        await asyncio.sleep(0)
        release.set()
        assert await client.closed() == 1001
        await stopping
        egress = server.ledger()["egress"]
        assert (egress["delivered"], egress["dropped"]["cancelled"]) == (1, 1)
        await client.aclose()


async def test_a_handshake_that_comes_during_a_drain_is_turned_away() -> None:
    async with gateway() as server:
        late = socket.create_connection(("127.0.0.1", server.port))
        # Accepted after the one above; answers no close frame, so that the drain waits a second for it.
        stuck = await RawClient.connect(server.port)
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = await asyncio.to_thread(late.recv, 4096)
        assert answer == b"" or b" 503 " in answer
        late.close()
        await asyncio.wait_for(stopping, 5)
        assert server.ledger()["connections"] == 0
        await stuck.aclose()


async def test_stops_twice_and_starts_again() -> None:
    server = WebSocketServer("gateway", "127.0.0.1", 0, config=MeshConfig())
    await server.stop()
    for _ in range(2):
        async with server:
            client = await RawClient.connect(server.port)
            await client.subscribe("a")
            server.publish("a")
            assert (await client.json())["type"] == "a"
            await client.aclose()
        await server.stop()


async def test_connections_that_come_and_go_leave_nothing(server) -> None:
    for _ in range(100):
        client = await RawClient.connect(server.port)
        await client.subscribe("a.*", source_node="same")
        await client.aclose()
    await eventually(lambda: server.ledger()["connections"] == 0)
    assert server._protocol._peers == {}
    assert (await server.broadcast("a.b")).status == "unroutable"
