"""The gRPC clients against real servers: readings, streams, refusals, and servers that are not there."""

import asyncio
import queue
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from grpc_nodes import FarNode, blocking_node, grpc_node
from lax_policy import LAX

from lexmesh import (
    AsyncGrpcClient,
    ConnectError,
    DeniedError,
    DisconnectedError,
    GrpcClient,
    GrpcServer,
    HandshakeError,
    MalformedError,
    NotConnectedError,
    RequestTimeoutError,
    StreamEvent,
    TransportError,
)
from lexmesh.transports.grpc_answers import EventResponse

FORCED = {"consent_override": "force"}


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with blocking_node() as server:
        yield server


def client_of(server: Any, name: str = "client", **options: Any) -> GrpcClient:
    return GrpcClient(name, "127.0.0.1", server.port, **options)


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def balanced(client: GrpcClient | AsyncGrpcClient) -> dict[str, Any]:
    """A client's ledger, once nothing may be in flight."""
    ledger = client.ledger()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0, ledger
    return ledger


def test_the_seeds_snippet(server: GrpcServer) -> None:
    got: list[Any] = []
    server.register_event_handler("sensor_reading", got.append)
    client = GrpcClient("bio_synth_ai_control", "localhost", server.port)
    client.connect()
    response = client.send_data(
        target_node="node",
        data_type="sensor_reading",
        data=b"temperature:22.5C,humidity:65%",
        metadata={"sensor_id": "bio_sensor_01"},
    )
    client.disconnect()
    assert (response.success, response.message) == (True, "routed")
    assert response.response_id.startswith("bio_synth_ai_control:")
    assert abs(response.timestamp / 1000 - time.time()) < 60
    [event] = got
    assert (event.source_node, event.data) == ("bio_synth_ai_control", "temperature:22.5C,humidity:65%")
    assert (event.metadata, event.id) == ({"sensor_id": "bio_sensor_01"}, response.response_id)
    assert balanced(client)["egress"]["delivered"] == 1


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", None),
        (b"21.5", 21.5),
        (b'{"a": [1, null]}', {"a": [1, None]}),
        ("ä".encode(), "ä"),
        (b"\x00\xff", b"\x00\xff"),
    ],
    ids=repr,
)
def test_readings_arrive_as_they_are(server: GrpcServer, data: bytes, value: Any) -> None:
    got: list[Any] = []
    server.register_data_handler("t", lambda datum: got.append(datum.value))
    with client_of(server) as client:
        assert client.send_data(data_type="t", data=data).success
    assert got == [value]


def test_a_stream_of_events_is_answered_in_order(server: GrpcServer) -> None:
    server.register_event_handler("ask", lambda event: {"twice": 2 * event.data})
    answers: list[Any] = []
    events = [StreamEvent("ask", n) if n % 2 else {"event_type": "ask", "payload": n} for n in range(500)]
    with client_of(server) as client:
        receipt = client.stream_events(iter(events), answers.append)
    assert (receipt.sent, receipt.accepted, receipt.refused, receipt.denied) == (500, 500, 0, 0)
    assert [answer.message for answer in answers] == [f'{{"twice":{2 * n}}}' for n in range(500)]
    assert balanced(client)["egress"]["delivered"] == 500


def test_an_async_iterable_and_no_callback(server: GrpcServer) -> None:
    got: list[Any] = []
    server.register_event_handler("t", lambda event: got.append(event.data))

    async def readings():
        for n in range(50):
            await asyncio.sleep(0)
            yield {"type": "t", "data": n, "metadata": {"k": "v"}}

    with client_of(server) as client:
        assert client.stream_events(readings()).accepted == 50
    assert got == list(range(50))


def test_denials_on_a_stream_do_not_end_it(server: GrpcServer) -> None:
    """Every third event is refused here, every third by the gateway alone, and all answers come in order."""
    server.register_event_handler("t", lambda event: None)
    rule = StreamEvent("t", 0, metadata=FORCED)
    answers: list[Any] = []
    with client_of(server) as client:
        receipt = client.stream_events([StreamEvent("t", 1), rule, StreamEvent("t", 2), rule], answers.append)
        assert (receipt.sent, receipt.accepted, receipt.denied) == (2, 2, 2)
    assert [answer.success for answer in answers] == [True, False, True, False]
    assert answers[1].message == "denied: consent-override at metadata.consent_override"
    assert balanced(client)["denied_by_rule"] == {"consent-override": 2}
    answers.clear()
    with client_of(server, "lax", policy=LAX) as client:
        receipt = client.stream_events([StreamEvent("t", 1), rule, StreamEvent("t", 2)], answers.append)
        assert (receipt.sent, receipt.accepted, receipt.refused, receipt.denied) == (3, 2, 1, 0)
    assert [answer.message for answer in answers] == [
        "routed",
        "denied: consent-override at metadata.consent_override",
        "routed",
    ]
    assert balanced(client)["egress"]["delivered"] == 3


EVERY_OTHER_DENIED = [{"type": "a", "data": n, "metadata": FORCED if n % 2 else {}} for n in range(6)]


def test_events_that_each_wait_for_the_answer_to_the_one_before(server: GrpcServer) -> None:
    answers: queue.Queue[EventResponse] = queue.Queue()
    got: list[bool] = []

    def events() -> Iterator[dict[str, Any]]:
        for event in EVERY_OTHER_DENIED:
            yield event
            got.append(answers.get(timeout=10).success)

    with client_of(server) as client:
        receipt = client.stream_events(events(), answers.put, timeout=20)
    assert got == [True, False] * 3
    assert (receipt.accepted, receipt.denied) == (3, 3)


async def test_events_that_each_wait_for_the_answer_to_the_one_before_in_a_coroutine() -> None:
    answers: asyncio.Queue[EventResponse] = asyncio.Queue()
    got: list[bool] = []

    async def events() -> AsyncIterator[dict[str, Any]]:
        for event in EVERY_OTHER_DENIED:
            yield event
            got.append((await answers.get()).success)

    async with grpc_node() as server, AsyncGrpcClient("client", "127.0.0.1", server.port) as client:
        await client.stream_events(events(), answers.put, timeout=20)
    assert got == [True, False] * 3


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
def test_events_that_end_the_program_end_the_stream(server: GrpcServer, error: type[BaseException]) -> None:
    def events() -> Iterator[dict[str, Any]]:
        yield {"type": "a"}
        raise error

    with client_of(server) as client:
        with pytest.raises(error):
            client.stream_events(events(), timeout=20)
        balanced(client)


def test_a_refusal_here_needs_no_network() -> None:
    client = GrpcClient("client", "192.0.2.1", 1)
    with pytest.raises(DeniedError) as denied:
        client.send_data(data_type="t", data=b"x", metadata=FORCED)
    assert (denied.value.rule, denied.value.path) == ("consent-override", "metadata.consent_override")
    with pytest.raises(DeniedError):
        client.send_data(data_type="climate_control", data=b'{"vent": 1}')
    with pytest.raises(NotConnectedError, match="not connected"):
        client.send_data(data_type="t", data=b"x")
    assert balanced(client)["ingress"]["denied"] == 2
    with pytest.raises(DeniedError):
        GrpcClient("client", "192.0.2.1", 1, headers={"note-bin": b"exploit"})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"data_type": ""}, MalformedError),
        ({"data_type": "a.*"}, MalformedError),
        ({"data_type": "_lexmesh.subscribe"}, MalformedError),
        ({"data": "text"}, TypeError),
        ({"metadata": {"a": 1}}, TypeError),
        ({"data": b"x" * 2_000_000}, MalformedError),
    ],
    ids=repr,
)
def test_what_makes_no_message_raises_and_is_not_counted(server, arguments: dict[str, Any], error: type) -> None:
    with client_of(server) as client:
        with pytest.raises(error):
            client.send_data(**arguments)
        assert balanced(client)["taken"] == 0


def test_an_event_that_is_none_ends_the_stream_with_its_error(server: GrpcServer) -> None:
    server.register_event_handler("t", lambda event: None)

    def broken():
        yield StreamEvent("t", 1)
        raise KeyError("sensor")

    with client_of(server) as client:
        for events, error in [(broken(), KeyError), ([5], TypeError), ([{"type": "t", "color": 1}], TypeError)]:
            with pytest.raises(error):
                client.stream_events(events)
        assert balanced(client)["egress"]["offered"] == 1


def test_a_callback_that_raises_ends_the_stream(server: GrpcServer) -> None:
    server.register_event_handler("t", lambda event: None)

    def fail(_answer: object) -> None:
        raise ZeroDivisionError

    with client_of(server) as client:
        with pytest.raises(ZeroDivisionError):
            client.stream_events((StreamEvent("t", n) for n in range(1000)), fail)
        balanced(client)
        assert client.stream_events([StreamEvent("t", 1)]).accepted == 1, "the connection goes on"


def test_health(server: GrpcServer) -> None:
    with client_of(server) as client:
        health = client.health_check()
        assert (health.healthy, health.node_id, health.status) == (True, "node", "active")
        assert 0 <= health.uptime < 60
        assert client.health_check("another").status == "unknown"


# -- servers that are not there ----------------------------------------------------------------------------------------


def test_a_dead_port_fails_within_its_deadline() -> None:
    client = GrpcClient("client", "127.0.0.1", port := dead_port())
    started = time.monotonic()
    with pytest.raises(ConnectError) as error:
        client.connect(timeout=5)
    assert time.monotonic() - started < 5
    assert str(error.value) == (
        f"cannot connect to grpc://127.0.0.1:{port}: connection refused; is a gateway running there?"
    )
    assert not client.connected


def test_a_port_that_never_answers_fails_at_its_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = GrpcClient("client", "127.0.0.1", silent.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(ConnectError, match="no answer in time"):
            client.connect(timeout=0.3)
        assert time.monotonic() - started < 5


def test_a_server_of_something_else() -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with pytest.raises(HandshakeError, match="no lexmesh gateway"):
            GrpcClient("client", "127.0.0.1", port).connect()
    finally:
        other.stop(None).wait()


def test_in_a_coroutine_it_says_what_to_use_instead() -> None:
    async def main() -> None:
        GrpcClient("client").connect()

    with pytest.raises(RuntimeError, match="AsyncGrpcClient"):
        asyncio.run(main())


def test_a_server_killed_in_the_middle_of_a_stream() -> None:
    with FarNode() as far:
        client = client_of(far, timeout=30)
        client.connect()
        seen = 0

        def kill(_answer: object) -> None:
            nonlocal seen
            seen += 1
            if seen == 100:
                far.process.kill()

        with pytest.raises(DisconnectedError, match=r"\d+ events that had left were not answered"):
            client.stream_events((StreamEvent("ask", n) for n in iter(int, 1)), kill)
        ledger = balanced(client)
        assert ledger["egress"]["delivered"] >= 100
        assert ledger["egress"]["dropped"]["disconnected"] >= 0
        port = far.port
    with FarNode(port):
        assert client.send_data(data_type="ask", data=b"21").message == '{"twice":42}', "it has come back by itself"
        assert client.stream_events([StreamEvent("ask", 1)]).accepted == 1
    client.disconnect()
    balanced(client)


def test_without_reconnect_calls_fail_at_once() -> None:
    with FarNode() as far:
        client = client_of(far, reconnect=False, timeout=30)
        client.connect()
    with pytest.raises(DisconnectedError):
        client.send_data(data_type="ask", data=b"1")
    client.disconnect()
    assert balanced(client)["egress"]["dropped"]["disconnected"] == 1


def test_a_deadline(server: GrpcServer) -> None:
    async def never(_event: StreamEvent) -> None:
        await asyncio.Event().wait()

    server.register_event_handler("never", never)
    with client_of(server) as client:
        with pytest.raises(RequestTimeoutError, match=r"send_data within 0\.2 s"):
            client.send_data(data_type="never", data=b"1", timeout=0.2)
        balanced(client)


# -- coroutines --------------------------------------------------------------------------------------------------------


async def test_the_async_twin() -> None:
    async with grpc_node() as server, AsyncGrpcClient("client", "127.0.0.1", server.port) as client:
        server.register_event_handler("ask", lambda event: {"twice": 2 * event.data})
        assert (await client.send_data(data_type="ask", data=b"4")).message == '{"twice":8}'
        assert (await client.health_check()).healthy
        answers: list[Any] = []

        async def keep(answer: Any) -> None:
            await asyncio.sleep(0)
            answers.append(answer)

        async def events():
            for n in range(100):
                yield StreamEvent("ask", n)

        for source in (events(), [StreamEvent("ask", n) for n in range(100)]):
            assert (await client.stream_events(source, keep)).accepted == 100
            assert [answer.message for answer in answers] == [f'{{"twice":{2 * n}}}' for n in range(100)]
            answers.clear()
        receipt = await client.stream_events(
            [StreamEvent("ask", 1), StreamEvent("ask", 2, metadata=FORCED), StreamEvent("ask", 3)], keep
        )
        assert (receipt.sent, receipt.accepted, receipt.denied) == (2, 2, 1)
        assert [answer.success for answer in answers] == [True, False, True]
        with pytest.raises(DeniedError):
            await client.send_data(data_type="t", metadata=FORCED)
        with pytest.raises(TypeError):
            await client.stream_events([5])  # type: ignore[list-item]
    balanced(client)
    with pytest.raises(NotConnectedError):
        await client.send_data(data_type="t", data=b"x")


async def test_the_async_twin_and_a_server_killed_in_the_middle() -> None:
    with FarNode() as far:
        client = AsyncGrpcClient("client", "127.0.0.1", far.port)
        await client.connect()
        seen: list[Any] = []

        def kill(answer: object) -> None:
            seen.append(answer)
            if len(seen) == 100:
                far.process.kill()

        with pytest.raises(DisconnectedError, match="not answered"):
            await client.stream_events((StreamEvent("ask", n) for n in iter(int, 1)), kill)
        balanced(client)
    await client.disconnect()
    dead = AsyncGrpcClient("client", "127.0.0.1", dead_port())
    with pytest.raises(ConnectError, match="connection refused"):
        await dead.connect(5)


async def test_too_big_for_the_gateway_but_not_for_us() -> None:
    from lexmesh import MeshConfig

    async with grpc_node(max_message_size=2048) as server:
        config = MeshConfig(max_message_size=1 << 20)
        async with AsyncGrpcClient("client", "127.0.0.1", server.port, config=config) as client:
            with pytest.raises(TransportError):
                await client.send_data(data_type="t", data=b"x" * 500_000)
            balanced(client)


def test_importing_lexmesh_loads_no_grpc() -> None:
    code = "import lexmesh, sys; assert 'grpc' not in sys.modules; lexmesh.GrpcClient; assert 'grpc' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
