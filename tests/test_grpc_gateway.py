"""`lexmesh mesh start --grpc-port`: one node over WebSocket and gRPC."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from certificates import Authority
from cli_process import Gateway, assert_one_line, gateway, lexmesh, subscriber
from grpc_process import grpc_address, grpc_gateway

from lexmesh import WebSocketClient


@pytest.fixture
def running() -> Iterator[Gateway]:
    with grpc_gateway() as running:
        yield running


@pytest.fixture
def stub(running: Gateway, stubs: Any) -> Iterator[Any]:
    with grpc.insecure_channel(grpc_address(running)) as channel:
        yield stubs.InternodeServiceStub(channel)


def test_what_comes_over_grpc_reaches_websocket_subscribers(running: Gateway, stub: Any, stubs: Any) -> None:
    pb = stubs.messages
    with subscriber(running.url, "greenhouse.>", "--count", "4") as subscribed:
        assert stub.SendData(pb.DataMessage(source_node="g", data_type="greenhouse.t", data=b"21.5")).success
        events = [pb.EventMessage(event_type="greenhouse.e", payload=b"%d" % n) for n in range(3)]
        assert [answer.message for answer in stub.StreamEvents(iter(events))] == ["routed"] * 3
        messages = [json.loads(subscribed.line()) for _ in range(4)]
    assert [(message["type"], message["data"]) for message in messages] == [
        ("greenhouse.t", 21.5), ("greenhouse.e", 0), ("greenhouse.e", 1), ("greenhouse.e", 2),
    ]  # fmt: skip
    assert messages[0]["source_node"] == "g"
    assert len({message["id"] for message in messages}) == 4
    ledger = running.stop()
    assert ledger["balanced"]
    assert (ledger["taken"], ledger["ingress"]["routed"], ledger["egress"]["delivered"]) == (4, 4, 4)


async def test_one_ledger_counts_both(running: Gateway, stub: Any, stubs: Any) -> None:
    async with WebSocketClient("ws", running.url) as client:
        client.publish("a", 1)
        await client.flush()
    stub.SendData(stubs.messages.DataMessage(data_type="a", metadata={"consent_override": "force"}))
    health = orjson.loads(running.get("/health"))
    assert health["taken"] == 2
    assert b'outcome="denied"' in running.get("/metrics")
    ledger = running.stop(signal.SIGINT)
    assert (ledger["taken"], ledger["ingress"]["denied"], ledger["balanced"]) == (2, 1, True)


def test_sighup_reloads_the_policy_for_grpc_too(stubs: Any, tmp_path: Path, lax_file: str) -> None:
    message = stubs.messages.DataMessage(data_type="a", metadata={"consent_override": "force"})
    policy = tmp_path / "policy.toml"
    policy.write_text(Path(lax_file).read_text())
    with grpc_gateway("--policy", str(policy)) as running, grpc.insecure_channel(grpc_address(running)) as channel:
        stub = stubs.InternodeServiceStub(channel)
        assert stub.SendData(message).success
        default = Path(__file__).parent.parent / "lexmesh/nsr/default.toml"
        policy.write_text(default.read_text())
        running.process.send_signal(signal.SIGHUP)
        running.line(of="stderr", having=b"policy reloaded")
        assert stub.SendData(message).message == "denied: consent-override at metadata.consent_override"


def test_the_port_comes_from_the_environment_too(stubs: Any) -> None:
    with gateway(env={"LEXMESH_GRPC_PORT": "0"}) as running, grpc.insecure_channel(grpc_address(running)) as channel:
        assert stubs.InternodeServiceStub(channel).HealthCheck(stubs.messages.HealthRequest()).healthy


def test_without_a_port_there_is_no_grpc() -> None:
    with gateway() as running:
        assert b"grpc" not in running.seen["stdout"][0]


def test_tls_from_a_config_file(stubs: Any, tmp_path: Path) -> None:
    authority = Authority.made_in(tmp_path)
    authority.sign("server")
    settings = tmp_path / "mesh.toml"
    settings.write_text('grpc_tls_certificate = "server.pem"\ngrpc_tls_key = "server.key"\n')
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    with grpc_gateway("--config", str(settings)) as running:
        assert b"grpcs://" in running.seen["stdout"][0]
        with grpc.secure_channel(grpc_address(running), credentials) as channel:
            assert stubs.InternodeServiceStub(channel).HealthCheck(stubs.messages.HealthRequest()).healthy


def test_a_grpc_port_that_is_taken_is_one_line() -> None:
    with grpc_gateway() as running:
        port = grpc_address(running).rpartition(":")[2]
        result = lexmesh("mesh", "start", "--port", "0", "--grpc-port", port)
        assert_one_line(result, result.returncode, f"port {port} ", "in use")
        assert result.returncode != 0
