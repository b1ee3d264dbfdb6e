"""What an attacker or a careless user found once, kept so that it stays found."""

import asyncio
import logging
import socket
import threading
from typing import Any

import pytest
from raw_ws import Received, eventually, gateway

from lexmesh import MalformedError, StreamEvent, StreamPipeline, WebSocketClient
from lexmesh._router import Endpoint

NOW = 1_795_000_000_000


def client_of(server: Any, name: str, **options: Any) -> WebSocketClient:
    return WebSocketClient(name, f"ws://127.0.0.1:{server.port}", **options)


async def test_a_transformer_cannot_slip_an_unpoliced_message_in() -> None:
    pipeline = StreamPipeline()
    commands: list[StreamEvent] = []
    pipeline.register_handler("climate_control", commands.append)
    forbidden = b'{"type":"climate_control","data":{"cmd":"force override"},"metadata":{"x":"exploit"}}'
    pipeline.add_transformer(lambda _event: StreamEvent.from_json(forbidden))
    assert (await pipeline.process_event(StreamEvent("safe", {}))).status == "denied"
    assert not commands
    pipeline.core.set_middleware(None, None)
    assert (await pipeline.process_event(StreamEvent("safe", {}))).status == "unroutable", "no stale route"
    assert not commands
    assert pipeline.ledger()["balanced"]


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("role", ["handler", "filter"])
def test_whatever_user_code_raises_the_message_is_counted(error: type[BaseException], role: str) -> None:
    pipeline = StreamPipeline(epoch=1)

    def fail(_event: StreamEvent) -> None:
        raise error

    if role == "filter":
        pipeline.add_filter(fail)
    pipeline.register_handler("x", fail if role == "handler" else lambda _event: None)
    source = Endpoint()
    try:
        outcome = pipeline.core.feed(b'{"type":"x"}', "json", source, NOW)
    except BaseException as raised:
        assert isinstance(raised, error)
    else:
        assert outcome == ("routed" if role == "handler" else "filtered")
    ledger = pipeline.ledger()
    assert (ledger["balanced"], ledger["egress"]["in_flight"]) == (True, 0)
    assert sum(ledger["subjects"]["x"]["ingress"].values()) == 1


async def test_a_mapping_that_lies_about_its_length() -> None:
    class Liar(dict[str, str]):
        def __len__(self) -> int:
            return 1

    pairs = Liar({f"key{i}": "v" for i in range(1000)})
    async with gateway() as server:
        heard = Received()
        server.subscribe("x", heard)
        server.publish("x", metadata=pairs)
        assert len((await heard.wait())[0].metadata) == 1000


async def test_logging_about_a_slow_reader_may_publish() -> None:
    """A slow reader is closed while a message is being served to links; a log handler that publishes then must not
    disturb the links after it."""
    async with gateway(overflow_bytes=65_536) as server:

        class Publisher(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                server.publish("log", record.getMessage())

        heard = Received()
        raw = socket.create_connection(("127.0.0.1", server.port))
        slow = client_of(server, "slow")
        await slow.connect()
        await slow.subscribe("x")
        slow._session.link.transport.underlying_transport.pause_reading()  # type: ignore[union-attr]
        handler = Publisher()
        logging.getLogger("lexmesh.websocket").addHandler(handler)
        try:
            async with client_of(server, "good") as good:
                await good.subscribe("x", handler=heard)
                before = server.ledger()["egress"]["dropped"]["overflow"]
                count = 0
                while server.ledger()["egress"]["dropped"]["overflow"] == before:
                    server.publish("x", {"n": count, "pad": "y" * 50_000})
                    count += 1
                    await good.writable()
                    assert count < 2000
                events = await heard.wait(count)
                assert [event.data["n"] for event in events] == list(range(count))
        finally:
            logging.getLogger("lexmesh.websocket").removeHandler(handler)
            await slow.disconnect()
            raw.close()
        assert server.ledger()["balanced"]


async def test_another_thread_is_told_so() -> None:
    async with gateway() as server:
        errors: list[Exception] = []

        def publish() -> None:
            try:
                server.publish("x")
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=publish)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert "call_soon_threadsafe" in str(errors[0])
        assert server.ledger()["taken"] == 0


async def test_a_handler_may_stop_its_own_server() -> None:
    async with gateway() as server:
        stopped = asyncio.Event()

        async def stop(_data: Any) -> None:
            await server.stop(0.1)
            stopped.set()

        server.register_handler("stop", stop)
        async with client_of(server, "client", reconnect=False) as client:
            client.publish("stop")
            await asyncio.wait_for(stopped.wait(), 10)
            await eventually(lambda: not client.connected)
        assert server.ledger()["connections"] == 0


async def test_messages_behind_a_cancelled_filter_go_on_in_order() -> None:
    async with gateway() as server:
        heard: list[int] = []
        server.subscribe("x", lambda event: heard.append(event.data))

        async def check(event: StreamEvent) -> bool:
            if event.data == 3:
                raise asyncio.CancelledError
            await asyncio.sleep(0)
            return True

        server.pipeline.add_filter(lambda event: check(event) if event.data % 2 else True)
        async with client_of(server, "client") as client:
            for n in range(10):
                client.publish("x", n)
            await eventually(lambda: len(heard) == 9)
        assert heard == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        ledger = server.ledger()
        assert (ledger["balanced"], ledger["undecided"], ledger["ingress"]["filtered"]) == (True, 0, 1)


async def test_waiting_filters_stop_the_reading() -> None:
    async with gateway() as server:
        go = asyncio.Event()

        async def check(_event: StreamEvent) -> bool:
            return await go.wait()

        server.pipeline.add_filter(check)
        heard: list[int] = []
        server.subscribe("x", lambda event: heard.append(event.data))
        async with client_of(server, "flood") as client:
            total = 50_000
            for n in range(total):
                client.publish("x", n)
                if n % 1000 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: server.ledger()["undecided"] > 1000)
            assert server.ledger()["undecided"] < total
            go.set()
            await eventually(lambda: len(heard) == total)
        assert heard == list(range(total))


@pytest.mark.parametrize("handler", [5, None, "x"])
def test_what_cannot_be_called_is_no_handler(handler: Any) -> None:
    pipeline = StreamPipeline()
    with pytest.raises(TypeError, match="callable"):
        pipeline.register_handler("x", handler)
    with pytest.raises(TypeError, match="callable"):
        pipeline.add_filter(handler)


def test_a_generator_is_no_handler() -> None:
    def generate(event: StreamEvent) -> Any:
        yield event

    with pytest.raises(TypeError, match="generator"):
        StreamPipeline().register_handler("x", generate)


async def test_too_large_by_its_metadata_is_refused_here() -> None:
    async with gateway() as server, client_of(server, "client") as client:
        with pytest.raises(MalformedError, match="max_message_size"):
            client.publish("x", metadata={"a": "x" * 2_000_000})
        assert client.sent == 0
        await client.flush()
