"""Link over real gRPC: batches between nodes and clients, streams that break, peers that never read."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from cli_process import PATIENCE
from cut_proxy import CutProxy
from grpc_nodes import FarNode, grpc_node, url_of
from lax_policy import LAX
from raw_ws import Received, eventually

from lexmesh import (
    ConnectError,
    DeniedError,
    GrpcLink,
    HandshakeError,
    LinkClient,
    MeshConfig,
    StreamEvent,
    TransportError,
    WebSocketClient,
    WebSocketServer,
    decode_batch,
    encode_batch,
)

LINK = "/lexmesh.v1.InternodeService/Link"


@pytest.fixture
async def server():
    async with grpc_node() as server:
        yield server


@asynccontextmanager
async def raw_link(server: Any, *events: StreamEvent, **metadata: str):
    """A call of Link that sends what it is told to, and reads when it is told to."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        call = channel.stream_stream(LINK)(metadata=tuple(metadata.items()))
        if events:
            await call.write(encode_batch(events))
        yield call
        call.cancel()


def names_of(server: Any) -> list[str]:
    return [link.name for link in server._service.links.endpoints]


def settled(client: LinkClient) -> dict[str, Any]:
    ledger = client.ledger()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0, ledger
    return ledger


async def test_publish_and_subscribe(server) -> None:
    heard = Received()
    async with LinkClient("sub", url_of(server)) as subscriber, LinkClient("pub", url_of(server)) as publisher:
        await subscriber.subscribe("t.*", handler=heard)
        values = [None, 1, "x", "\u00e9", [1], {"a": {"b": []}}, b"\x00\xff", "y" * 500_000]
        ids = [publisher.publish("t.x", value, metadata={"k": "v"}, priority=1, ttl=60_000) for value in values]
        events = await heard.wait(len(values))
        assert [event.data for event in events] == values
        assert [event.id for event in events] == ids
        assert {(event.source_node, event.depth, event.priority, event.ttl) for event in events} == {
            ("pub", 1, 1, 60_000)
        }
        assert (await publisher.flush())["routed"] == len(values)
        await subscriber.unsubscribe("t.*")
        publisher.publish("t.x")
        assert (await publisher.flush())["unroutable"] == 1
    assert settled(publisher)["egress"]["delivered"] == len(values) + 1
    assert settled(subscriber)["ingress"]["routed"] == len(values)


async def test_requests_and_targets(server) -> None:
    server.register_event_handler("double", lambda event: {"twice": 2 * event.data})
    mail = Received()
    async with LinkClient("a", url_of(server)) as a, LinkClient("b", url_of(server)) as b:
        replies = await asyncio.gather(*(a.request("double", n) for n in range(100)))
        assert [reply.data["twice"] for reply in replies] == [2 * n for n in range(100)]
        await b.subscribe("mail", handler=mail)
        a.publish("mail", "hello", target_node="b")
        assert (await mail.wait())[0].data == "hello"


async def test_a_hundred_thousand_messages_none_lost_all_in_order(server) -> None:
    count = 100_000
    got: list[int] = []
    async with LinkClient("sub", url_of(server)) as subscriber, LinkClient("pub", url_of(server)) as publisher:
        await subscriber.subscribe("t", handler=lambda event: got.append(event.data["n"]))
        assert await publisher.stream_data("t", ({"n": n, "pad": "x" * (n % 300)} for n in range(count))) == count
        receipt = await publisher.flush()
        assert (receipt["taken"], receipt["routed"]) == (count, count)
        await eventually(lambda: len(got) == count, "all events", 60)
        assert got == list(range(count))
        assert subscriber.missing == 0
    assert settled(publisher)["egress"]["delivered"] == count


async def test_messages_of_one_turn_leave_in_one_batch(server) -> None:
    """And no batch holds more than 64 KiB, unless one event does."""
    batches: list[bytes] = []

    async def keep(_requests: object, context: Any) -> None:
        await context.send_initial_metadata((("lexmesh-resumed", "0"),))
        while isinstance(batch := await context.read(), bytes):
            batches.append(batch)

    other = grpc.aio.server()
    handlers = {"Link": grpc.stream_stream_rpc_method_handler(keep)}
    other.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lexmesh.v1.InternodeService", handlers),))
    port = other.add_insecure_port("127.0.0.1:0")
    await other.start()
    async with LinkClient("pub", f"grpc://127.0.0.1:{port}") as publisher:
        for n in range(100):
            publisher.publish("t", n)
        await eventually(lambda: batches)
        assert [event.data for event in decode_batch(batches[0])] == list(range(100))
        sizes = [30_000] * 10 + [200_000] + [100] * 1000
        for size in sizes:
            publisher.publish("t", "x" * size)
        await eventually(lambda: sum(len(decode_batch(batch)) for batch in batches) >= 100 + len(sizes))
    found = [len(event.data) for batch in batches[1:] for event in decode_batch(batch) if event.event_type == "t"]
    assert found == sizes
    assert all(len(batch) <= 65_536 or len(decode_batch(batch)) == 1 for batch in batches)
    assert len(batches) < 20
    await other.stop(0)
    settled(publisher)


async def test_denied_here_and_by_the_gateway(server) -> None:
    server.register_event_handler("t", lambda event: None)
    told: list[Any] = []
    async with LinkClient("lax", url_of(server), policy=LAX, on_refused=lambda id, error: told.append(error)) as lax:
        for n in range(10):
            lax.publish("t", n, metadata={"x": "force"} if n % 2 else None)
        receipt = await lax.flush()
        assert (receipt["routed"], receipt["denied"], receipt["denied_by_rule"]) == (5, 5, {"marker-metadata": 5})
        await eventually(lambda: len(told) == 5)
        assert isinstance(told[0], DeniedError)
    unconnected = LinkClient("client", "grpc://192.0.2.1:1")
    with pytest.raises(DeniedError):
        unconnected.publish("t", 1, metadata={"x": "force"})
    with pytest.raises(TransportError, match="not connected"):
        unconnected.publish("t", 1)
    assert settled(unconnected)["ingress"]["denied"] == 1


async def test_nobody_there_and_somebody_else(server) -> None:
    with pytest.raises(ConnectError, match=r"connect to grpc://127\.0\.0\.1:1: connection refused"):
        await LinkClient("client", "grpc://127.0.0.1:1").connect(5)
    with pytest.raises(ConnectError, match="not a gRPC URL"):
        await LinkClient("client", "http://127.0.0.1:1").connect(5)
    other = grpc.aio.server()
    port = other.add_insecure_port("127.0.0.1:0")
    await other.start()
    with pytest.raises(HandshakeError, match=r"no gRPC gateway at grpc://.*no lexmesh gateway"):
        await LinkClient("client", f"grpc://127.0.0.1:{port}").connect(5)
    await other.stop(0)


# -- streams that break ------------------------------------------------------------------------------------------------


async def test_a_broken_stream_is_resumed_and_nothing_waits_in_vain(server) -> None:
    """What had not left is sent over the next stream, both ways, and the gateway goes on with the link it knew."""
    heard = Received()
    states: list[str] = []
    async with CutProxy(server.port) as proxy:
        client = LinkClient("c", f"grpc://127.0.0.1:{proxy.port}", on_state=lambda state, _detail: states.append(state))
        await client.connect()
        await client.subscribe("down", handler=heard)
        server.register_event_handler("up", lambda event: None)
        for n in range(1000):
            client.publish("up", n)
            if n % 100 == 50:
                await client.flush()
        proxy.cut()
        await eventually(lambda: not client.connected)
        for n in range(100):
            client.publish("up", n)
            server.pipeline.core.publish("down", n, None, "", None, 0, "", 0)
        assert client.ledger()["egress"]["in_flight"] >= 100, "they wait"
        await eventually(lambda: client.connected)
        receipt = await client.flush()
        assert [event.data for event in await heard.wait(100)] == list(range(100))
        assert receipt["taken"] - receipt["duplicate"] >= 100 + 950, "the gateway has not begun to count anew"
        assert (client.accounts, client.reconnects, client.unconfirmed) == (1, 1, 0)
        assert states[:2] == ["connected", "disconnected"]
        assert states[-1] == "connected"
        await client.disconnect()
    ledger = settled(client)
    lost = ledger["sent"] - (receipt["taken"] - receipt["duplicate"])
    assert lost == receipt_gap(server), "what was lost on its way is a gap at the gateway"


def receipt_gap(server: Any) -> int:
    return int(server.pipeline.core.missing)


async def test_streams_cut_again_and_again_lose_nothing_that_was_acknowledged(server) -> None:
    got: list[int] = []
    server.register_event_handler("up", lambda event: got.append(event.data))
    async with CutProxy(server.port) as proxy:
        async with LinkClient("c", f"grpc://127.0.0.1:{proxy.port}") as client:
            for n in range(20_000):
                client.publish("up", n)
                if n % 256 == 0:
                    await client.writable()
                if n % 5000 == 2500:
                    proxy.cut()
            await eventually(lambda: client.connected and client.reconnects >= 1)
            receipt = await client.flush(30)
        settled(client)
    assert got == sorted(set(got)), "in order, none twice"
    assert len(got) == receipt["routed"] == 20_000 - receipt_gap(server)


async def test_a_server_killed_mid_stream() -> None:
    with FarNode() as far:
        states: list[str] = []
        client = LinkClient("c", url_of(far), on_state=lambda state, _detail: states.append(state))
        await client.connect()
        client.publish("sensor_reading", 1)
        await client.flush()
        waiting = asyncio.ensure_future(client.request("nobody", 1))
        await asyncio.sleep(0)
        far.process.kill()
        with pytest.raises(TransportError, match="disconnected"):
            await waiting
        await eventually(lambda: not client.connected)
        for n in range(50):
            client.publish("sensor_reading", n)
        port = far.port
    with FarNode(port) as again:
        await eventually(lambda: client.connected, seconds=30)
        receipt = await client.flush()
        assert receipt["routed"] >= 50, "what waited came to the new one"
        assert client.accounts == 2, "which has begun to count anew"
        await client.disconnect()
        again.process.terminate()
        assert again.line() == b"balanced\n"
    assert states[0] == "connected"
    assert states[-1] == "closed"
    settled(client)


async def test_a_peer_that_does_not_come_back_is_forgotten() -> None:
    async with grpc_node(overflow_seconds=0.2) as server:
        links = server._service.links
        async with CutProxy(server.port) as proxy:
            client = LinkClient("c", f"grpc://127.0.0.1:{proxy.port}", reconnect=False)
            await client.connect()
            await client.subscribe("down")
            proxy.cut()
            await eventually(lambda: len(links) == 0)
            server.pipeline.core.publish("down", 1, None, "", None, 0, "", 0)
            await eventually(lambda: not links.endpoints, "the link is let go")
        assert server.ledger()["egress"]["dropped"]["disconnected"] == 1
        await client.disconnect()


# -- peers that misbehave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest"])
async def test_a_link_that_never_reads(policy: str) -> None:
    """Its queue is bounded as configured, and another subscriber gets everything."""
    heard: list[int] = []
    async with grpc_node(overflow=policy, overflow_bytes=1 << 18) as server:
        subscribe = StreamEvent("_lexmesh.subscribe", {"subjects": ["t"]}, source_node="stuck")
        async with raw_link(server, subscribe) as call, LinkClient("good", url_of(server)) as good:
            await call.read()
            await good.subscribe("t", handler=lambda event: heard.append(event.data["n"]))
            core, most = server.pipeline.core, 0
            for count in range(3000):
                core.publish("t", {"n": count, "pad": "x" * 10_000}, None, "", None, 0, "", 0)
                await asyncio.sleep(0)
                if count % 20 == 0:
                    await eventually(lambda count=count: len(heard) == count + 1)
                most = max([most, *(link.queued for link in server._service.links.endpoints)])
            await eventually(lambda: len(heard) == 3000)
            assert heard == list(range(3000))
            assert most < 2 << 18, "bounded"
            dropped = server.ledger()["egress"]["dropped"]["overflow"]
            assert dropped > (0 if policy == "disconnect" else 1000)
            if policy == "disconnect":
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    while await call.read() is not grpc.aio.EOF:
                        pass
                assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert dict(error.value.trailing_metadata())["lexmesh-close"] == "4008"


async def test_block_keeps_everything_for_a_link_that_reads_late() -> None:
    async with grpc_node(overflow="block", overflow_bytes=1 << 18) as server:
        subscribe = StreamEvent("_lexmesh.subscribe", {"subjects": ["t"]}, source_node="late")
        async with raw_link(server, subscribe) as call, LinkClient("pub", url_of(server)) as publisher:
            await call.read()
            count = 2000
            async with asyncio.TaskGroup() as tasks:
                publishing = tasks.create_task(publisher.stream_data("t", ("x" * 10_000 for _ in range(count))))
                await eventually(lambda: any(link.congested for link in server._service.links.endpoints))
                assert not publishing.done()
                got = 0
                while got < count:
                    got += sum(event.event_type == "t" for event in decode_batch(await call.read()))
            assert publishing.result() == count
        assert server.ledger()["egress"]["dropped"]["overflow"] == 0


async def test_nothing_but_rubbish_ends_the_link(server) -> None:
    async with raw_link(server) as call:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            for _ in range(11):
                await call.write(b"\xff\xff")
            while await call.read() is not grpc.aio.EOF:
                pass
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "nothing but malformed messages" in (error.value.details() or "")
    assert server.ledger()["ingress"]["malformed"] > 10


async def test_a_peer_that_starts_anew_gets_its_name_from_the_link_that_waits_for_it(server) -> None:
    said = StreamEvent("x", source_node="bob")
    async with raw_link(server, said, **{"lexmesh-link": "a" * 32}):
        await eventually(lambda: "bob" in names_of(server))
    await eventually(lambda: len(server._service.links) == 0)
    async with raw_link(server, said, **{"lexmesh-link": "b" * 32}) as call:
        await eventually(lambda: names_of(server) == ["bob", "bob"])
        async with (
            raw_link(server, StreamEvent("hello", target_node="bob", source_node="al")),
            asyncio.timeout(PATIENCE),
        ):
            heard: list[str] = []
            while "hello" not in heard:
                heard += [event.event_type for event in decode_batch(await call.read())]
        assert heard[-1] == "hello"


async def test_the_rest_of_a_batch_of_rubbish_is_not_looked_at(server) -> None:
    async with raw_link(server) as call:
        await call.write(b"\x0a\x00" * 500_000)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            while await call.read() is not grpc.aio.EOF:
                pass
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.ledger()["ingress"]["malformed"] < 20


async def test_a_call_whose_metadata_the_policy_denies(server) -> None:
    async with raw_link(server, note="exploit") as call:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call.read()
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error.value.details() == "denied: marker-metadata at metadata.note"


async def test_a_stop_lets_what_waits_leave_and_tells_links() -> None:
    heard = Received()
    async with grpc_node() as server:
        client = LinkClient("c", url_of(server), reconnect=False)
        states: list[str] = []
        client._on_state = lambda state, detail: states.append(f"{state} {detail}")
        await client.connect()
        await client.subscribe("t", handler=heard)
        for n in range(1000):
            server.pipeline.core.publish("t", n, None, "", None, 0, "", 0)
    await heard.wait(1000)
    await eventually(lambda: not client.connected)
    assert states[-2:] == ["disconnected 1001 going away", "closed 1001 going away"]
    await client.disconnect()


# -- nodes -------------------------------------------------------------------------------------------------------------


async def test_two_nodes_linked_by_one_that_dials() -> None:
    """What clients of either publish reaches the clients of the other that want it, once, and finds nodes by name."""
    near = WebSocketServer("near", "127.0.0.1", 0, config=MeshConfig(drain_seconds=1.0))
    heard_near, heard_far, mail = Received(), Received(), Received()
    async with near, grpc_node("far") as far:
        link = GrpcLink(near.pipeline, url_of(far), ["to.near.>"])
        await link.connect()
        assert link.session is not None
        async with (
            WebSocketClient("phone", f"ws://127.0.0.1:{near.port}") as phone,
            LinkClient("sensor", url_of(far)) as sensor,
        ):
            await phone.subscribe("to.near.>", handler=heard_near)
            far.register_event_handler("mail", mail)
            await eventually(lambda: any("to.near.>" in link.patterns for link in far._service.links.endpoints))
            for n in range(100):
                sensor.publish("to.near.room", n)
            events = await heard_near.wait(100)
            assert [(event.data, event.source_node, event.depth) for event in events] == [
                (n, "sensor", 2) for n in range(100)
            ]
            near.publish("mail", "hello", target_node="far")
            assert (await mail.wait())[0].source_node == "near"
            far_session = next(iter(far._service.links._links))
            far_session.send("_lexmesh.subscribe", {"subjects": ["to.far"]})
            await eventually(lambda: "to.far" in link.session.outbox.patterns)
            far.register_event_handler("to.far", heard_far)
            phone.publish("to.far", {"set": 1})
            assert (await heard_far.wait())[0].data == {"set": 1}
        await link.close()
        assert near.ledger()["balanced"]
    assert near.ledger()["egress"]["in_flight"] == 0


async def test_a_subject_that_is_none() -> None:
    near = WebSocketServer("near", "127.0.0.1", 0)
    with pytest.raises(ValueError, match="not a subject"):
        GrpcLink(near.pipeline, "grpc://127.0.0.1:1", ["a..b"])


async def test_a_client_that_is_refused_does_not_come_back(server) -> None:
    """Nothing but denied messages ends a link with 1008, also while more is being written."""
    states: list[str] = []
    client = LinkClient(
        "lax", url_of(server), policy=LAX, on_state=lambda state, detail: states.append(f"{state} {detail}"[:20])
    )
    await client.connect()
    for n in range(3000):
        if not client.connected:
            break
        client.publish("t", n, metadata={"x": "force"})
        await client.writable()
    await eventually(lambda: not client.connected)
    assert states[-2:] == ["disconnected 1008 no", "closed 1008 nothing "]
    assert client.reconnects == 0
    await client.disconnect()
    settled(client)


async def test_a_name_that_is_taken_over_goes_on_with_the_newer_stream(server) -> None:
    """A peer may be back before its old stream is known to be dead."""
    name = {"lexmesh-link": "0123456789abcdef" * 2}
    subscribe = StreamEvent("_lexmesh.subscribe", {"subjects": ["t"]}, source_node="twice")
    async with raw_link(server, subscribe, **name) as old:
        await old.read()
        await eventually(lambda: any(link.patterns for link in server._service.links.endpoints))
        async with raw_link(server, **name) as new:
            assert dict(await new.initial_metadata())["lexmesh-resumed"] == "1"
            await new.read()
            server.pipeline.core.publish("t", 1, None, "", None, 0, "", 0)
            types: list[str] = []
            while "t" not in types:
                types += [event.event_type for event in decode_batch(await new.read())]
            assert len(server._service.links.endpoints) == 1
            while await old.read() is not grpc.aio.EOF:
                pass
