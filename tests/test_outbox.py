"""The outbound half of a link: order, framing, and what a consumer that never reads can and cannot do."""

import asyncio
import json
from typing import Any

import pytest
import websockets
from raw_ws import BINARY, CLOSE, TEXT, RawClient, Received, eventually, frame, gateway, text
from strategies import field, message

from lexmesh import WebSocketClient, decode_batch

KIB = 1024
LIMIT = 256 * KIB
JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"
BOTH = pytest.mark.parametrize("subprotocol", [JSON, PROTO])
PADDING = "x" * 10_000
MANY = 1200  # messages of PADDING: more than the kernel buffers of a connection and LIMIT together hold


class Subscriber:
    """A raw client subscribed to `a`, that collects the numbers in what it reads."""

    def __init__(self, client: RawClient, proto: bool) -> None:
        self.client = client
        self.proto = proto
        self.numbers: list[int] = []
        self.code: int | None = None

    @classmethod
    async def connect(cls, server: Any, subprotocol: str, receive_buffer: int | None = None) -> "Subscriber":
        client = await RawClient.connect(server.port, subprotocol=subprotocol, receive_buffer=receive_buffer)
        client.send(text({"type": "_lexmesh.subscribe", "data": {"subjects": ["a"]}}))
        while b"_lexmesh.subscribed" not in (await client.frame()).payload:
            pass
        return cls(client, subprotocol == PROTO)

    async def read(self, count: int | None = None) -> list[int]:
        """Reads until there are so many numbers, or until the end."""
        while count is None or len(self.numbers) < count:
            try:
                found = await self.client.frame()
            except (asyncio.IncompleteReadError, ConnectionError):
                self.code = self.code or 1006
                break
            if found.opcode == CLOSE:
                self.code = found.code
                break
            assert found.opcode == (BINARY if self.proto else TEXT)
            events = decode_batch(found.payload) if self.proto else [found.json]
            for event in events:
                kind = event.event_type if self.proto else event["type"]
                assert kind == "a", f"{kind} where only events were subscribed to"
                self.numbers.append((event.data if self.proto else event["data"])[0])
        return self.numbers


def publish(client: RawClient, numbers: range, padding: str = PADDING) -> None:
    client.send(*(text({"type": "a", "data": [i, padding]}) for i in numbers))


def egress(server: Any) -> dict[str, Any]:
    ledger = server.ledger()
    assert ledger["balanced"], ledger
    return ledger["egress"]


def queued(server: Any) -> int:
    return max((session.outbox.queued for session in server._sessions), default=0)


# -- a consumer that never reads ------------------------------------------------------------------------------------


@BOTH
async def test_disconnect(subprotocol: str) -> None:
    async with gateway(overflow="disconnect", overflow_bytes=LIMIT) as server:
        slow = await Subscriber.connect(server, subprotocol, 4096)
        healthy = await Subscriber.connect(server, subprotocol)
        publisher = await RawClient.connect(server.port)
        reading = asyncio.ensure_future(healthy.read(MANY))
        for start in range(0, MANY, 20):
            publish(publisher, range(start, start + 20))
            await eventually(lambda end=start + 20: len(healthy.numbers) == end)
            if slow.code is None and egress(server)["dropped"]["overflow"]:
                await asyncio.wait_for(slow.read(), 5)
        assert slow.code == 4008
        assert slow.numbers == list(range(len(slow.numbers))), "what came is in order and without a gap"
        assert await reading == list(range(MANY))
        await eventually(lambda: server.ledger()["connections"] == 2)
        counts = egress(server)
        assert (
            counts["delivered"] + counts["dropped"]["overflow"] + counts["dropped"]["disconnected"] == counts["offered"]
        )
        for client in (slow.client, healthy.client, publisher):
            await client.aclose()


@BOTH
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_drops(policy: str, subprotocol: str) -> None:
    async with gateway(overflow=policy, overflow_bytes=LIMIT) as server:
        slow = await Subscriber.connect(server, subprotocol, 4096)
        healthy = await Subscriber.connect(server, subprotocol)
        publisher = await RawClient.connect(server.port)
        reading = asyncio.ensure_future(healthy.read(MANY))
        most = 0
        for start in range(0, MANY, 20):
            publish(publisher, range(start, start + 20))
            receipt = await publisher.flush()
            await eventually(lambda end=start + 20: len(healthy.numbers) == end)
            most = max(most, queued(server))
        assert receipt["routed"] == MANY, "a stalled consumer holds nobody up"
        assert most <= LIMIT + 20 * KIB
        assert await reading == list(range(MANY))
        dropped = egress(server)["dropped"]["overflow"]
        assert dropped > 0
        got = await slow.read(MANY - dropped)
        assert got == sorted(set(got)), "in order, none twice"
        assert len(got) == MANY - dropped
        assert got[0] == 0
        assert (got[-1] == MANY - 1) == (policy == "drop_oldest")
        publish(publisher, range(MANY, MANY + 3))
        assert (await slow.read(len(got) + 3))[-3:] == [MANY, MANY + 1, MANY + 2]
        await eventually(lambda: egress(server)["in_flight"] == 0)
        for client in (slow.client, healthy.client, publisher):
            await client.aclose()


@BOTH
async def test_block(subprotocol: str) -> None:
    async with gateway(overflow="block", overflow_bytes=LIMIT) as server:
        slow = await Subscriber.connect(server, subprotocol, 4096)
        healthy = await Subscriber.connect(server, subprotocol)
        publisher = await RawClient.connect(server.port)
        reading = asyncio.ensure_future(healthy.read(MANY))
        publish(publisher, range(MANY))
        await eventually(lambda: queued(server) > LIMIT)
        held = egress(server)["offered"]
        assert held < 2 * MANY, "the publisher is stopped"
        assert queued(server) < LIMIT + 2048 * KIB, "what one read brought in may come on top"
        assert await slow.read(MANY) == list(range(MANY))
        assert await reading == list(range(MANY))
        await eventually(lambda: egress(server)["in_flight"] == 0)
        assert egress(server)["delivered"] == 2 * MANY
        for client in (slow.client, healthy.client, publisher):
            await client.aclose()


@pytest.mark.parametrize("limit", [64 * KIB, 256 * KIB])
async def test_block_lets_a_consumer_that_reads_have_bursts_over_the_limit(limit: int) -> None:
    async with gateway(overflow="block", overflow_bytes=limit) as server:
        reader = await Subscriber.connect(server, PROTO)
        publisher = await RawClient.connect(server.port, subprotocol=PROTO)
        for start in range(0, 300, 60):
            events = (message(event_type="a", payload=json.dumps([i, PADDING])) for i in range(start, start + 60))
            publisher.send(frame(BINARY, b"".join(field(1, event) for event in events)))
        assert await reader.read(300) == list(range(300))
        await publisher.aclose()
        await reader.client.aclose()


async def test_block_lets_publishers_go_when_the_consumer_leaves() -> None:
    async with gateway(overflow="block", overflow_bytes=LIMIT) as server:
        slow = await Subscriber.connect(server, JSON, 4096)
        publisher = await RawClient.connect(server.port)
        publish(publisher, range(MANY))
        await eventually(lambda: queued(server) > LIMIT)
        await slow.client.aclose()
        receipt = await publisher.flush()
        assert receipt["taken"] == MANY
        assert egress(server)["dropped"]["disconnected"] > 0
        await publisher.aclose()


async def test_a_queue_too_old_is_given_up() -> None:
    async with gateway(overflow="disconnect", overflow_bytes=64 << 20, overflow_seconds=0.2) as server:
        slow = await Subscriber.connect(server, JSON, 4096)
        publisher = await RawClient.connect(server.port)
        publish(publisher, range(MANY))
        await eventually(lambda: egress(server)["dropped"]["overflow"])
        await slow.read()
        assert slow.code == 4008
        await publisher.aclose()
        await slow.client.aclose()


async def test_an_ack_that_a_disconnect_lets_go_does_not_take_an_events_place() -> None:
    """The ack is made while an event is on its way to one subscriber after the other."""
    async with gateway(overflow="disconnect", overflow_bytes=LIMIT) as server:
        slow = await Subscriber.connect(server, JSON, 4096)
        healthy = [await Subscriber.connect(server, subprotocol) for subprotocol in (JSON, PROTO)]
        publisher = await RawClient.connect(server.port)
        waiters = [await RawClient.connect(server.port, subprotocol=subprotocol) for subprotocol in (JSON, PROTO)]
        reading = [asyncio.ensure_future(subscriber.read(MANY)) for subscriber in healthy]
        sent = 0
        while not any(session.outbox.congested for session in server._sessions):
            publish(publisher, range(sent, sent + 5))
            sent += 5
            await eventually(lambda: all(len(reader.numbers) == sent for reader in healthy))  # noqa: B023
        for waiter in waiters:
            waiter.send(text({"type": "_lexmesh.flush"}))
        await eventually(lambda: len(server._protocol._waiting) == 2)
        for start in range(sent, MANY, 5):
            end = min(start + 5, MANY)
            publish(publisher, range(start, end))
            await eventually(lambda end=end: all(len(reader.numbers) == end for reader in healthy))
        for numbers in reading:
            assert await numbers == list(range(MANY))
        assert egress(server)["dropped"]["overflow"]
        for waiter in waiters:
            while b"_lexmesh.ack" not in (await waiter.frame()).payload:
                pass
        for client in (slow.client, publisher, *waiters, *(subscriber.client for subscriber in healthy)):
            await client.aclose()


@pytest.mark.parametrize("policy", ["disconnect", "drop_newest", "drop_oldest", "block"])
async def test_one_who_asks_and_never_reads_the_answers(policy: str) -> None:
    count = 40_000
    async with gateway(overflow=policy, overflow_bytes=LIMIT) as server:
        client = await RawClient.connect(server.port, receive_buffer=4096)
        flush = text({"type": "_lexmesh.flush"})
        most = 0
        for _ in range(0, count, 250):
            client.send(flush * 250)
            for _ in range(5):
                await asyncio.sleep(0)
            most = max(most, queued(server))
        assert LIMIT < most < 4 * LIMIT, "answers must not pile up"
        acks = 0
        while acks < count:
            acks += (await client.json())["type"] == "_lexmesh.ack"
        await client.aclose()


# -- framing and order ----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("size", [0, 60, 110, 125, 126, 127, 65_400, 65_535, 65_536, 70_000, 300_000, 1_000_000])
async def test_sizes(subprotocol: str, size: int) -> None:
    async with gateway() as server:
        reader = await Subscriber.connect(server, subprotocol)
        publisher = await RawClient.connect(server.port)
        publish(publisher, range(5), "x" * size)
        assert await reader.read(5) == list(range(5))
        await publisher.aclose()
        await reader.client.aclose()


async def test_batches_at_the_edge_of_a_frame() -> None:
    """Events around the size at which a batch frame closes, in every phase."""
    async with gateway() as server:
        reader = await Subscriber.connect(server, PROTO)
        for size in range(65_535 - 120, 65_535 + 20, 4):
            await server.broadcast("a", [size, "x" * size])
            server.publish("a", [size + 1, "x" * 100])
            server.publish("a", [size + 2, "x" * size])
            await asyncio.sleep(0)
        numbers = await reader.read(35 * 3)
        assert numbers == sorted(numbers)
        await reader.client.aclose()


async def test_one_turn_one_batch() -> None:
    async with gateway() as server:
        reader = await Subscriber.connect(server, PROTO)
        for i in range(100):
            server.publish("a", [i])
        assert [event.data[0] for event in decode_batch((await reader.client.frame()).payload)] == list(range(100))
        await reader.client.aclose()


async def test_nothing_follows_a_close_frame() -> None:
    async with gateway() as server:
        reader = await Subscriber.connect(server, JSON)
        session = next(iter(server._sessions))
        server.publish("a", [1])
        session.close(1000, "enough")
        server.publish("a", [2])
        assert await reader.read() == [1]
        assert reader.code == 1000
        assert server.ledger()["egress"]["delivered"] == 1, "what was not sent is not delivered"
        await reader.client.aclose()


class ForeignGateway:
    """A server that checks every frame by RFC 6455 and understands just enough."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def __call__(self, connection: Any) -> None:
        proto = connection.subprotocol == PROTO
        async for raw in connection:
            assert isinstance(raw, bytes) == proto
            found = decode_batch(raw) if proto else [json.loads(raw)]
            self.events += [event.data if proto else event.get("data") for event in found]


@BOTH
async def test_a_clients_frames_are_masked(subprotocol: str) -> None:
    foreign = ForeignGateway()
    async with websockets.serve(foreign, "127.0.0.1", 0, subprotocols=[subprotocol], max_size=1 << 22) as server:
        port = server.sockets[0].getsockname()[1]
        values = [None, "", "x" * 60, "x" * 126, "x" * 65_536, "\u00e9" * 1000, *range(500), "x" * 1_000_000]
        async with WebSocketClient("c", f"ws://127.0.0.1:{port}", subprotocol=subprotocol) as client:
            for value in values:
                client.publish("a", value)
            await eventually(lambda: len(foreign.events) == len(values))
            assert foreign.events == values
            await eventually(lambda: client.ledger()["egress"]["in_flight"] == 0)
            assert client.ledger()["egress"]["delivered"] == len(values)


async def test_a_client_that_outruns_its_gateway_waits() -> None:
    """send_message and stream_data stop while the queue is over its soft limit, so that nothing overflows."""
    async with gateway() as server:
        got = Received()
        server.subscribe("a", got)
        async with WebSocketClient("c", f"ws://127.0.0.1:{server.port}") as client:
            assert await client.stream_data("a", ([i, "x" * 20_000] for i in range(1500))) == 1500
            assert (await client.flush())["routed"] == 1500
        assert [event.data[0] for event in got.events] == list(range(1500))
        assert client.ledger()["egress"]["delivered"] == 1500
