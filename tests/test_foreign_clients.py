"""Clients that no one here wrote: `websockets` from PyPI, and Google's protobuf classes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from raw_ws import Received, eventually, gateway

from lexmesh import WebSocketClient

JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"


@pytest.fixture
async def server():
    async with gateway() as server:
        yield server


def connect(server: Any, subprotocol: str | None = None, **options: Any) -> Any:
    subprotocols = [subprotocol] if subprotocol else None
    return websockets.connect(f"ws://127.0.0.1:{server.port}", subprotocols=subprotocols, **options)


async def ask(client: Any, **message: Any) -> Any:
    """Sends a message and returns the answer to it."""
    await client.send(json.dumps(message))
    while (answer := json.loads(await asyncio.wait_for(client.recv(), 5)))["type"] == "_lexmesh.welcome":
        pass
    return answer


@pytest.mark.parametrize("subprotocol", [None, JSON])
async def test_subscribe_publish_denied_and_again(server, subprotocol: str | None) -> None:
    server.register_handler("question", lambda data: {"answer": data * 2})
    for n in range(2):  # and once more after a reconnect
        async with connect(server, subprotocol) as subscriber, connect(server, subprotocol) as publisher:
            assert subscriber.subprotocol == subprotocol
            answer = await ask(subscriber, type="_lexmesh.subscribe", data={"subjects": ["s.*", "t.>"]})
            assert answer["type"] == "_lexmesh.subscribed"
            await publisher.send(json.dumps({"type": "s.1", "data": {"é": "ü" * 70_000}}, ensure_ascii=False))
            await publisher.send(['{"type":', '"t.2', '.3"}'])  # three fragments
            await publisher.send(json.dumps({"type": "u"}))
            got = [json.loads(await asyncio.wait_for(subscriber.recv(), 5)) for _ in range(2)]
            assert [message["type"] for message in got] == ["s.1", "t.2.3"]
            assert got[0]["data"] == {"é": "ü" * 70_000}
            denied = await ask(publisher, type="s.1", id="me:1:1", metadata={"x": "force"})
            assert (denied["type"], denied["reply_to"], denied["data"]["rule"]) == (
                "_lexmesh.error", "me:1:1", "marker-metadata",
            )  # fmt: skip
            reply = await ask(publisher, type="question", id=f"me:1:{2 + n}", data=21)
            assert (reply["reply_to"], reply["data"]) == (f"me:1:{2 + n}", {"answer": 42})
            await (await publisher.ping())
    await eventually(lambda: server.ledger()["connections"] == 0)
    assert server.ledger()["ingress"]["denied"] == 2


async def test_compression_is_declined(server) -> None:
    async with connect(server, compression="deflate") as client:
        assert client.protocol.extensions == []
        assert (await ask(client, type="_lexmesh.flush"))["type"] == "_lexmesh.ack"


async def test_closing_either_way(server) -> None:
    async with connect(server) as client:
        await client.close(4321, "bye")
        assert client.close_code in (4321, 1000)
    async with connect(server) as client:
        await client.send(b"\xff not a batch")
        await client.send("\x00" * 10)
        await ask(client, type="_lexmesh.flush")
        session = next(iter(server._sessions))
        session.close(1001, "going away")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(client.recv(), 5)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "going away")


async def test_many_messages_in_order(server) -> None:
    async with connect(server) as subscriber, connect(server) as publisher:
        await ask(subscriber, type="_lexmesh.subscribe", data={"subjects": ["n"]})
        for i in range(2000):
            await publisher.send(f'{{"type":"n","data":{i}}}')
        got = [json.loads(await asyncio.wait_for(subscriber.recv(), 5)) for _ in range(2000)]
        assert [message["data"] for message in got] == list(range(2000))
        assert len({message["id"] for message in got}) == 2000


async def test_with_googles_protobuf(server, internode: Callable[[str], Any]) -> None:
    batch_class, event_class = internode("Batch"), internode("EventMessage")
    heard = Received()
    async with connect(server, PROTO) as client, WebSocketClient("ours", f"ws://127.0.0.1:{server.port}") as ours:
        await ours.subscribe("g.>", handler=heard)
        events = [
            event_class(source_node="google", event_type="_lexmesh.subscribe", payload=b'{"subjects":["o.*"]}'),
            *(
                event_class(source_node="google", event_type="g.x", payload=json.dumps([i]).encode(),
                            metadata={"k": str(i)}, epoch=5, seq=i + 1, priority=2, timestamp=1_700_000_000_000)
                for i in range(300)
            ),
            event_class(event_type="g.x", metadata={"x": "force"}, epoch=5, seq=400, source_node="google"),
            event_class(event_type="g.x", depth=43),
        ]  # fmt: skip
        await client.send(batch_class(events=events).SerializeToString())
        got = await heard.wait(300)
        assert [(event.data, event.metadata) for event in got] == [([i], {"k": str(i)}) for i in range(300)]
        assert [event.id for event in got] == [f"google:5:{i + 1}" for i in range(300)]
        received: list[Any] = []
        values = [{"a": 1}, "text", b"\x00\xff", None]
        for value in values:
            ours.publish("o.x", value, metadata={"m": "n"})
        while len([event for event in received if event.event_type == "o.x"]) < len(values):
            received += batch_class.FromString(await asyncio.wait_for(client.recv(), 5)).events
        by_type = {event.event_type: event for event in received}
        assert json.loads(by_type["_lexmesh.welcome"].payload)["node_id"] == "gateway"
        assert json.loads(by_type["_lexmesh.subscribed"].payload) == {"subjects": ["o.*"]}
        assert by_type["_lexmesh.error"].reply_to == "google:5:400"
        ours_back = [event for event in received if event.event_type == "o.x"]
        assert [event.payload for event in ours_back] == [b'{"a":1}', b'"text"', b"\x00\xff", b""]
        assert all(
            (event.source_node, event.depth, dict(event.metadata)) == ("ours", 1, {"m": "n"}) for event in ours_back
        )
        ingress = server.ledger()["ingress"]
        assert (ingress["denied"], ingress["looped"]) == (1, 1)
