"""The gRPC server, called by the stubs that Google's compiler makes of the published .proto."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_nodes import blocking_node, grpc_node
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from raw_ws import Received, eventually

from lexmesh import ConfigError, GrpcServer, MeshConfig, PortInUseError, StreamData, StreamEvent, TransportError

FORCED = {"consent_override": "force"}
EVENTS = 10_000


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    async with grpc_node() as server:
        yield server


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture
def stub(stubs: Any, channel: grpc.aio.Channel) -> Any:
    return stubs.InternodeServiceStub(channel)


@pytest.fixture
def pb(stubs: Any) -> Any:
    return stubs.messages


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status that a call ends with, which is not OK."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@asynccontextmanager
async def served(stubs: Any, **options: object) -> AsyncIterator[tuple[GrpcServer, Any]]:
    """A server with options, and a stub for it."""
    async with grpc_node(**options) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, stubs.InternodeServiceStub(channel)


async def all_answers(call: Any) -> list[Any]:
    return [answer async for answer in call]


# -- what is asked and answered ----------------------------------------------------------------------------------------


async def test_health(server: GrpcServer, stub: Any, pb: Any) -> None:
    for wanted in ("", "node"):
        answer = await stub.HealthCheck(pb.HealthRequest(node_id=wanted))
        assert (answer.healthy, answer.node_id, answer.status) == (True, "node", "active")
        assert 0 <= answer.uptime < 60
    answer = await stub.HealthCheck(pb.HealthRequest(node_id="other"))
    assert (answer.healthy, answer.node_id, answer.status) == (False, "node", "unknown")
    assert server.ledger()["taken"] == 0, "health is no message"


async def test_a_reading_and_an_event_of_a_type_reach_either_handler(server: GrpcServer, stub: Any, pb: Any) -> None:
    events, readings = Received(), Received()
    server.register_event_handler("sensor_reading", events)
    server.register_data_handler("sensor_reading", readings)
    fields = {"source_node": "greenhouse", "target_node": "node", "metadata": {"sensor_id": "bio_sensor_01"}}
    answer = await stub.SendData(pb.DataMessage(data_type="sensor_reading", data=b"temperature:22.5C", **fields))
    assert (answer.success, answer.message) == (True, "routed")
    assert answer.response_id.startswith("greenhouse:")
    event = pb.EventMessage(event_type="sensor_reading", payload=b'{"celsius":22.5}', **fields)
    (response,) = await all_answers(stub.StreamEvents(iter([event])))
    assert (response.success, response.message) == (True, "routed")
    assert [event.data for event in events.events] == ["temperature:22.5C", {"celsius": 22.5}]
    assert events.events[0].id == answer.response_id
    assert [(type(reading), reading.data_type, reading.value) for reading in readings.events] == [
        (StreamData, "sensor_reading", "temperature:22.5C"),
        (StreamData, "sensor_reading", {"celsius": 22.5}),
    ]
    assert readings.events[0].metadata == {"sensor_id": "bio_sensor_01"}


async def test_handlers_answer_sync_or_async(server: GrpcServer, stub: Any, pb: Any) -> None:
    async def later(event: StreamEvent) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"later": event.data}

    server.register_event_handler("ask.now", lambda event: {"now": event.data})
    server.register_event_handler("ask.later", later)
    server.register_data_handler("ask.>", lambda data: None)
    answer = await stub.SendData(pb.DataMessage(data_type="ask.later", data=b"1"))
    assert (answer.success, answer.message) == (True, '{"later":1}')
    types = ["ask.later", "ask.now"] * 200
    events = [pb.EventMessage(event_type=name, payload=b"%d" % n) for n, name in enumerate(types)]
    answers = await all_answers(stub.StreamEvents(iter(events)))
    assert [answer.message for answer in answers] == [
        json.dumps({name.removeprefix("ask."): n}, separators=(",", ":")) for n, name in enumerate(types)
    ], "in the order of the events, whatever their handlers take"


async def test_ten_thousand_events_with_every_tenth_denied(server: GrpcServer, stub: Any, pb: Any) -> None:
    got = Received()
    server.register_event_handler("bio_sync", got)
    events = (
        pb.EventMessage(event_type="bio_sync", payload=b"%d" % n, metadata=FORCED if n % 10 == 9 else {})
        for n in range(EVENTS)
    )
    answers = await all_answers(stub.StreamEvents(events))
    expected = "denied: consent-override at metadata.consent_override"
    assert [(answer.success, answer.message) for answer in answers] == [
        (False, expected) if n % 10 == 9 else (True, "routed") for n in range(EVENTS)
    ]
    assert [event.data for event in got.events] == [n for n in range(EVENTS) if n % 10 != 9]
    ingress = server.ledger()["ingress"]
    assert (ingress["routed"], ingress["denied"]) == (EVENTS * 9 // 10, EVENTS // 10)


async def test_handlers_that_raise_end_no_stream(server: GrpcServer, stub: Any, pb: Any) -> None:
    def fails(_event: StreamEvent) -> None:
        raise ValueError("on purpose")

    server.register_event_handler("a", fails)
    answers = await all_answers(stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 3)))
    assert [answer.message for answer in answers] == ["routed"] * 3
    assert server.ledger()["egress"]["failed"] == 3


async def test_an_answer_of_a_kind_that_raises_ends_no_stream(server: GrpcServer, stub: Any, pb: Any) -> None:
    class Evil(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            raise KeyError("secret")

    server.register_event_handler("a", lambda _event: Evil())
    answers = await all_answers(stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 3)))
    assert [answer.message for answer in answers] == ["routed"] * 3


async def test_a_fault_of_the_node_is_told_without_its_text(server: GrpcServer, stub: Any, pb: Any) -> None:
    core = server.pipeline.core
    core.thread, own = 1, core.thread  # whatever is asked of it now raises
    call = stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 3))
    for failing in (call.read(), stub.SendData(pb.DataMessage(data_type="a"))):
        code, said = await status_of(failing)
        assert code is grpc.StatusCode.INTERNAL
        assert "thread" not in said
    core.thread = own
    assert (await stub.SendData(pb.DataMessage(data_type="a"))).success


# -- what is refused ---------------------------------------------------------------------------------------------------


def _streamed_too_big(port: int, stubs: Any) -> grpc.StatusCode:
    """How a stream ends with 10 MB. Not by grpc.aio: its clients say INTERNAL of a call that ends while they write."""
    event = stubs.messages.EventMessage
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = stubs.InternodeServiceStub(channel).StreamEvents(
            iter([event(event_type="a", payload=b"x" * 10_000_000)])
        )
        with pytest.raises(grpc.RpcError):
            list(call)
        return call.code()


async def test_too_big(server: GrpcServer, stub: Any, stubs: Any, pb: Any) -> None:
    ten = b"x" * 10_000_000
    code, _ = await status_of(stub.SendData(pb.DataMessage(data_type="a", data=ten)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    a_little = b"x" * (server.config.max_message_size + 1)
    code, details = await status_of(stub.SendData(pb.DataMessage(data_type="a", data=a_little)))
    assert (code, "larger than max_message_size" in details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert await asyncio.to_thread(_streamed_too_big, server.port, stubs) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.ledger()["ingress"]["malformed"] == 1, "the one that was looked at"
    assert (await stub.HealthCheck(pb.HealthRequest())).healthy


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff", b"\x1a\x01a\x1a\x01a", b"", b"\x1a\x01a\x7a\x01a", b"\x1a\x01a\x32\x03\x0a\x01\xff"]
)
async def test_undecodable(server: GrpcServer, channel: grpc.aio.Channel, stub: Any, pb: Any, raw: bytes) -> None:
    unary = channel.unary_unary("/lexmesh.v1.InternodeService/SendData")
    stream = channel.stream_stream("/lexmesh.v1.InternodeService/StreamEvents")
    code, details = await status_of(unary(raw))
    assert (code, details.startswith("malformed message: ")) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    good = pb.EventMessage(event_type="a").SerializeToString()
    call = stream(iter([good, raw]))
    assert pb.EventResponse.FromString(await call.read()).message == "unroutable"
    assert (await status_of(call.read()))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert server.ledger()["ingress"]["malformed"] == 2
    health = channel.unary_unary("/lexmesh.v1.InternodeService/HealthCheck")
    assert (await status_of(health(b"\xff")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    unknown = channel.unary_unary("/lexmesh.v1.InternodeService/Nothing")
    assert (await status_of(unknown(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("x-note", "use force"), "denied: marker-metadata at metadata.x-note"),
        (("consent-override", "yes"), "denied: consent-override at metadata.consent-override"),
        (("x-note-bin", b"\xff use force \xff"), "denied: marker-metadata at metadata.x-note-bin"),
        (("x-harm-bin", b"\x00"), "denied: marker-metadata at metadata.x-harm-bin"),
    ],
)
async def test_metadata_of_a_call_is_policed(
    server: GrpcServer, stub: Any, pb: Any, pair: tuple[str, str | bytes], said: str
) -> None:
    got = Received()
    server.register_event_handler("a", got)
    answer = await stub.SendData(pb.DataMessage(data_type="a"), metadata=(pair,))
    assert (answer.success, answer.message, answer.response_id) == (False, said, "")
    answers = await all_answers(stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 3), metadata=(pair,)))
    assert [(answer.success, answer.message) for answer in answers] == [(False, said)] * 3
    assert await status_of(stub.HealthCheck(pb.HealthRequest(), metadata=(pair,))) == (
        grpc.StatusCode.PERMISSION_DENIED, said,
    )  # fmt: skip
    assert not got.events
    assert server.ledger()["ingress"]["denied"] == 4


async def test_a_policy_that_changes_polices_the_calls_that_are_open(server: GrpcServer, stub: Any, pb: Any) -> None:
    call = stub.StreamEvents(metadata=(("x-note", "use force"),))
    await call.write(pb.EventMessage(event_type="a"))
    assert not (await call.read()).success
    server.pipeline.use_policy(server.pipeline.policy.without("marker-metadata"))
    await call.write(pb.EventMessage(event_type="a"))
    assert (await call.read()).message == "unroutable"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_deadline_ends_the_call_and_not_its_handler(server: GrpcServer, stub: Any, pb: Any) -> None:
    may_end, ended = asyncio.Event(), Received()

    async def slow(event: StreamEvent) -> dict[str, str]:
        await may_end.wait()
        ended(event)
        return {"too": "late"}

    server.register_event_handler("a", slow)
    code, _ = await status_of(stub.SendData(pb.DataMessage(data_type="a"), timeout=0.2))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: server.ledger()["connections"] == 0)
    may_end.set()
    await ended.wait()
    await eventually(lambda: server.ledger()["egress"]["dropped"]["disconnected"] == 1)


# -- the services that every gRPC tool knows ---------------------------------------------------------------------------


async def test_the_standard_health_service(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "lexmesh.v1.InternodeService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    code, _ = await status_of(health.Check(health_pb2.HealthCheckRequest(service="nothing")))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_reflection(server: GrpcServer) -> None:
    def reflect() -> tuple[set[str], list[str]]:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            file = database.FindFileContainingSymbol("lexmesh.v1.InternodeService")
            return set(database.get_services()), [method.name for method in file.service[0].method]

    services, methods = await asyncio.to_thread(reflect)
    assert {"lexmesh.v1.InternodeService", "grpc.health.v1.Health"} <= services
    assert methods == ["StreamEvents", "SendData", "HealthCheck", "Link"]


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_calls_past_the_limit_of_a_connection_wait(stubs: Any, pb: Any) -> None:
    event = pb.EventMessage(event_type="a")
    async with served(stubs, grpc_max_streams=2) as (_, stub):
        calls = [stub.StreamEvents() for _ in range(2)]
        for call in calls:
            await call.write(event)
            assert (await call.read()).success
        third = asyncio.ensure_future(stub.SendData(pb.DataMessage(data_type="a"), timeout=20))
        await calls[0].write(event)
        assert (await calls[0].read()).success
        assert not third.done()
        await calls[0].done_writing()
        assert await calls[0].read() is grpc.aio.EOF
        assert (await third).success
        await calls[1].done_writing()


async def test_who_sends_too_much_is_read_more_slowly(pb: Any, stubs: Any) -> None:
    loop = asyncio.get_running_loop()
    async with served(stubs, messages_per_second=100, message_burst=10) as (_, stub):
        begun = loop.time()
        assert len(await all_answers(stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 60)))) == 60
        assert loop.time() - begun > 0.4, "50 more than at once, at 100 a second"


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("tls"))


def tls_options(authority: Authority, **more: Path) -> dict[str, Path]:
    pair = authority.sign("server")
    return {"grpc_tls_certificate": pair.certificate, "grpc_tls_key": pair.key, **more}


async def test_tls(authority: Authority, stubs: Any, pb: Any) -> None:
    trusted = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    async with grpc_node(**tls_options(authority)) as server:
        async with grpc.aio.secure_channel(f"localhost:{server.port}", trusted) as channel:
            assert (await stubs.InternodeServiceStub(channel).HealthCheck(pb.HealthRequest())).healthy
        async with grpc.aio.insecure_channel(f"localhost:{server.port}") as channel:
            call = stubs.InternodeServiceStub(channel).HealthCheck(pb.HealthRequest())
            assert (await status_of(call))[0] is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls(authority: Authority, stubs: Any, pb: Any, tmp_path: Path) -> None:
    root, known, stranger = authority.certificate.read_bytes(), authority.sign("known"), None
    stranger = Authority.made_in(tmp_path).sign("stranger")
    async with grpc_node(**tls_options(authority, grpc_tls_client_ca=authority.certificate)) as server:
        for pair, is_let_in in [(known, True), (stranger, False), (None, False)]:
            chain = [pair.key.read_bytes(), pair.certificate.read_bytes()] if pair else [None, None]
            credentials = grpc.ssl_channel_credentials(root, *chain)
            async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
                call = stubs.InternodeServiceStub(channel).HealthCheck(pb.HealthRequest())
                if is_let_in:
                    assert (await call).healthy
                else:
                    assert (await status_of(call))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"grpc_tls_key": "key"}, "needs both"),
        ({"grpc_tls_certificate": "certificate"}, "needs both"),
        ({"grpc_tls_client_ca": "ca"}, "needs both"),
        ({"grpc_tls_key": "/nowhere/key", "grpc_tls_certificate": "/nowhere/certificate"}, "no such file"),
    ],
)
async def test_certificates_that_are_not_there(options: dict[str, str], reason: str) -> None:
    server = GrpcServer("node", 0, config=MeshConfig(**options))
    with pytest.raises(ConfigError, match=reason):
        await server.open()


# -- beginning and end -------------------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_or_none(server: GrpcServer) -> None:
    with pytest.raises(PortInUseError, match=f"port {server.port} "):
        await GrpcServer("other", server.port).open()
    with pytest.raises(TransportError, match=r"cannot listen on 192\.0\.2\.1:0"):
        await GrpcServer("other", 0, "192.0.2.1").open()


async def test_a_stop_answers_what_came_in_and_says_that_it_goes(stubs: Any, pb: Any) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_event: StreamEvent) -> dict[str, bool]:
        begun.set()
        await may_end.wait()
        return {"done": True}

    async with grpc_node() as server:
        server.register_event_handler("slow", slow)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = stubs.InternodeServiceStub(channel).StreamEvents()
            await call.write(pb.EventMessage(event_type="slow"))
            await begun.wait()
            closing = asyncio.ensure_future(server.close(10))
            await eventually(server._service.stopping.is_set)
            may_end.set()
            assert (await call.read()).message == '{"done":true}'
            assert await status_of(call.read()) == (grpc.StatusCode.UNAVAILABLE, "going away")
            await closing


async def test_a_stop_takes_no_longer_than_it_may(stubs: Any, pb: Any) -> None:
    begun = asyncio.Event()

    async def hangs(_event: StreamEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    server = GrpcServer("node", 0)
    await server.open()
    server.register_event_handler("a", hangs)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = stubs.InternodeServiceStub(channel).StreamEvents()
        await call.write(pb.EventMessage(event_type="a"))
        await begun.wait()
        started = asyncio.get_running_loop().time()
        await server.close(1)
        assert asyncio.get_running_loop().time() - started < 2
    assert server.ledger()["balanced"]


async def test_serve_until_cancelled(stubs: Any, pb: Any) -> None:
    server = GrpcServer("node", 0)
    serving = asyncio.ensure_future(server.serve())
    await eventually(lambda: server.port)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert (await stubs.InternodeServiceStub(channel).HealthCheck(pb.HealthRequest(), wait_for_ready=True)).healthy
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_start_is_not_for_coroutines() -> None:
    with pytest.raises(RuntimeError, match="async with server"):
        GrpcServer("node", 0).start()


# -- plain scripts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def blocking() -> Iterator[GrpcServer]:
    with blocking_node() as server:
        yield server


def test_the_blocking_form(blocking: GrpcServer, stubs: Any, pb: Any) -> None:
    threads: set[str] = set()

    async def handle(_event: StreamEvent) -> dict[str, int]:
        threads.add(threading.current_thread().name)
        return {"n": 1}

    blocking.register_event_handler("a", lambda _event: threads.add(threading.current_thread().name))
    blocking.register_event_handler("a", handle)
    with grpc.insecure_channel(f"127.0.0.1:{blocking.port}") as channel:
        stub = stubs.InternodeServiceStub(channel)
        assert stub.SendData(pb.DataMessage(data_type="a")).message == '{"n":1}'
        answers = list(stub.StreamEvents(iter([pb.EventMessage(event_type="a")] * 5)))
    assert [answer.message for answer in answers] == ['{"n":1}'] * 5
    assert threads == {"lexmesh-grpc"}, "one loop, on which handlers run"
    assert blocking.wait_for_termination(timeout=0.01) is False
    blocking.stop(1)
    assert blocking.wait_for_termination() is True
    blocking.stop(1)


def test_a_handler_may_stop_its_own_server(blocking: GrpcServer, stubs: Any, pb: Any) -> None:
    blocking.register_event_handler("stop", lambda _event: blocking.stop(1))
    with grpc.insecure_channel(f"127.0.0.1:{blocking.port}") as channel:
        assert stubs.InternodeServiceStub(channel).SendData(pb.DataMessage(data_type="stop")).message == "routed"
    assert blocking.wait_for_termination(timeout=20)


def test_what_keeps_a_script_from_starting_is_raised_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUseError):
            GrpcServer("node", taken.getsockname()[1]).start()


def test_import_lexmesh_loads_no_grpc() -> None:
    code = "import sys, lexmesh; sys.exit(any(name.split('.')[0] in ('grpc', 'google') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
