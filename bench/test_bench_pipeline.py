"""The compiled pipeline alone, and one client-to-handler round trip over a real socket."""

import asyncio
from typing import Any

from lexmesh import StreamEvent, StreamPipeline, WebSocketClient, WebSocketServer, encode_batch
from lexmesh._router import Endpoint

EVENT = StreamEvent(
    "bio_sync",
    {"frequency": 0.0043, "phase": "synchronizing", "mycelium_nodes": ["node_01", "node_02"]},
    source_node="bio_synth_ai_control",
    metadata={"sensor_id": "bio_sensor_01"},
    timestamp=1_795_000_000_000,
)
NOW = EVENT.timestamp


def test_pipeline_to_handler(benchmark: Any) -> None:
    """One protobuf message: decode, police, route, call a handler that reads nothing."""
    pipeline = StreamPipeline("bench", epoch=1)
    seen: list[StreamEvent] = []
    pipeline.register_handler("bio_sync", seen.append)
    message, source = EVENT.to_proto(), Endpoint()
    assert pipeline.core.feed(message, "proto", source, NOW) == "routed"
    assert seen[0].data == EVENT.data
    seen.clear()
    pipeline.unregister_handler("bio_sync", seen.append)
    pipeline.register_handler("bio_sync", lambda _event: None)
    benchmark(pipeline.core.feed, message, "proto", source, NOW)
    assert pipeline.ledger()["balanced"]


def test_pipeline_denies(benchmark: Any) -> None:
    """One protobuf message that the policy refuses."""
    pipeline = StreamPipeline("bench", epoch=1)
    event = StreamEvent("bio_sync", {}, metadata={"consent_override": "force"})
    message, source = event.to_proto(), Endpoint()
    assert pipeline.core.feed(message, "proto", source, NOW) == "denied"
    benchmark(pipeline.core.feed, message, "proto", source, NOW)
    assert pipeline.ledger()["ingress"]["routed"] == 0


def test_request_and_reply(benchmark: Any) -> None:
    """One request over loopback to a handler and its reply back, idle, client and gateway in one process."""
    loop = asyncio.new_event_loop()
    server = WebSocketServer("gateway", port=0)
    server.register_handler("ask", lambda data: {"answer": data["n"] + 1})
    client: WebSocketClient | None = None

    async def start() -> WebSocketClient:
        await server.start()
        started = WebSocketClient("bench", f"ws://127.0.0.1:{server.port}")
        await started.connect()
        return started

    try:
        client = loop.run_until_complete(start())
        reply = loop.run_until_complete(client.request("ask", {"n": 41}))
        assert reply.data == {"answer": 42}
        benchmark(lambda: loop.run_until_complete(client.request("ask", {"n": 41})))
    finally:
        if client is not None:
            loop.run_until_complete(client.disconnect())
        loop.run_until_complete(server.stop())
        loop.close()
    assert server.ledger()["balanced"]


def test_stream_to_handler(benchmark: Any) -> None:
    """10,000 messages, client to gateway to subscriber in one process: protobuf batches over loopback."""
    loop = asyncio.new_event_loop()
    count = 10_000
    assert len(encode_batch([EVENT])) > 150

    async def stream() -> int:
        server = WebSocketServer("gateway", port=0)
        await server.start()
        url = f"ws://127.0.0.1:{server.port}"
        got: list[None] = []
        done = asyncio.Event()

        def handle(_event: StreamEvent) -> None:
            got.append(None)
            if len(got) == count:
                done.set()

        async with WebSocketClient("sub", url) as sub, WebSocketClient("pub", url) as pub:
            await sub.subscribe("bio_sync", handler=handle)
            await pub.stream_data("bio_sync", (EVENT.data for _ in range(count)))
            await asyncio.wait_for(done.wait(), 60)
        await server.stop()
        assert server.ledger()["balanced"]
        return len(got)

    assert benchmark.pedantic(lambda: loop.run_until_complete(stream()), rounds=5) == count
    loop.close()
