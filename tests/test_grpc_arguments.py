"""What a newcomer gets wrong with the gRPC server and clients: one line says what, where and what to do."""

import threading
from typing import Any

import pytest
from grpc_nodes import blocking_node, grpc_node

from lexmesh import (
    AsyncGrpcClient,
    ConfigError,
    ConnectError,
    FrequencySync,
    GrpcClient,
    GrpcServer,
    LinkClient,
    MeshConfig,
    NotConnectedError,
)

# -- a server that is started twice ------------------------------------------------------------------------------------


def test_a_second_start_leaves_the_server_as_it_is() -> None:
    with blocking_node() as server, GrpcClient("client", "127.0.0.1", server.port) as client:
        before, port = threading.active_count(), server.port
        with pytest.raises(RuntimeError, match="started already"):
            server.start()
        assert (client.health_check().healthy, server.port) == (True, port)
        assert threading.active_count() <= before, "no second thread"
        server.stop(1)
        assert server.wait_for_termination() is True
        server.start()
        assert client.health_check().healthy, "started again after its end"


async def test_a_second_open_leaves_the_server_as_it_is() -> None:
    async with grpc_node() as server, AsyncGrpcClient("client", "127.0.0.1", server.port) as client:
        with pytest.raises(RuntimeError, match="started already"):
            await server.open()
        with pytest.raises(RuntimeError):
            server.start()
        assert (await client.health_check()).healthy


async def test_a_server_whose_start_failed_can_be_started() -> None:
    async with grpc_node() as first:
        server = GrpcServer("second", first.port)
        with pytest.raises(OSError, match="in use"):
            await server.open()
    async with server, AsyncGrpcClient("client", "127.0.0.1", server.port) as client:
        assert (await client.health_check()).node_id == "second"


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [99_999, -1, "50051", 1.5, True])
def test_ports_that_are_none(port: Any) -> None:
    with pytest.raises(ConfigError, match=r"port = .*: must be a whole number from 0 to 65535"):
        GrpcServer("node", port=port)
    for client in (GrpcClient, AsyncGrpcClient):
        with pytest.raises(ConfigError, match=r"port = .*: must be a whole number from 1 to 65535"):
            client("client", "localhost", port)


def test_a_client_needs_a_port() -> None:
    with pytest.raises(ConfigError, match="from 1 to 65535"):
        GrpcClient("client", "localhost", 0)
    assert GrpcServer("node", 0, config=MeshConfig(grpc_port=7)).port == 0


@pytest.mark.parametrize("host", ["grpc://user:secret@localhost:1", "localhost:50051", "", "a b", "::1:99999", 7])
def test_hosts_that_are_none(host: Any) -> None:
    with pytest.raises(ConfigError, match="a name or an address, not a URL") as found:
        GrpcClient("me", host)
    assert "secret" not in str(found.value)


def test_hosts_are_names_and_addresses() -> None:
    targets = [GrpcClient("me", host, 7).address.target for host in ("localhost", "10.0.0.1", "::1")]
    assert targets == ["localhost:7", "10.0.0.1:7", "[::1]:7"]


@pytest.mark.parametrize("url", ["grpc://user:secret@localhost:1", "grpc://localhost:1?token=secret", "user:secret@h"])
async def test_urls_with_secrets_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConnectError, match="not a gRPC URL") as found:
        await LinkClient("me", url).connect(1)
    assert "secret" not in str(found.value)


# -- no connection -----------------------------------------------------------------------------------------------------


def test_a_call_that_waits_in_vain_for_its_server_says_so() -> None:
    with blocking_node() as server:
        client = GrpcClient("client", "127.0.0.1", server.port)
        client.connect()
    for call in (client.send_data, client.health_check):
        with pytest.raises(ConnectError, match=r"cannot connect to grpc://127.* connection refused"):
            call(timeout=1)
    client.disconnect()
    assert client.ledger()["balanced"]


async def test_so_does_the_async_twin() -> None:
    async with grpc_node() as server:
        client = AsyncGrpcClient("client", "127.0.0.1", server.port)
        await client.connect()
    with pytest.raises(ConnectError, match="connection refused"):
        await client.send_data(timeout=1)
    await client.disconnect()


def test_before_connect_and_after_disconnect() -> None:
    with blocking_node() as server:
        client = GrpcClient("client", "127.0.0.1", server.port)
        for _ in range(2):
            with pytest.raises(NotConnectedError, match=r"not connected: call connect\(\) first") as found:
                client.send_data()
            assert "await" not in str(found.value)
            client.connect()
            client.disconnect()


# -- types -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (float("nan"), ValueError), (-1, ValueError)])
def test_timeouts_that_are_none(timeout: Any, error: type[Exception]) -> None:
    for client in (GrpcClient, AsyncGrpcClient):
        with pytest.raises(error, match="timeout"):
            client("me", timeout=timeout)
    with blocking_node() as server, GrpcClient("client", "127.0.0.1", server.port) as client:
        for call in (client.send_data, client.health_check, lambda timeout: client.stream_events([], timeout=timeout)):
            with pytest.raises(error, match="timeout"):
                call(timeout=timeout)
        assert client.ledger()["taken"] == 0
        with pytest.raises(error, match="timeout"):
            GrpcClient("client", "127.0.0.1", server.port).connect(timeout)


def test_readings_of_the_wrong_type() -> None:
    client = GrpcClient("me")
    with pytest.raises(TypeError, match="data_type must be a str, int is not"):
        client.send_data(data_type=4)
    with pytest.raises(TypeError, match="metadata must be a dict, list is not"):
        client.send_data(metadata=["a"])


def test_handlers_of_a_type_that_is_none() -> None:
    server = GrpcServer("node", 0)
    with pytest.raises(TypeError, match="event_type must be a str, int is not"):
        server.register_event_handler(4, print)
    with pytest.raises(TypeError, match="data_type must be a str, int is not"):
        server.register_data_handler(4, print)


def test_a_frequency_that_is_no_number() -> None:
    with pytest.raises(TypeError, match="frequency must be a number of hertz, str is not"):
        FrequencySync("n", "x")


def test_a_blocking_client_takes_no_async_callback() -> None:
    async def hear(_answer: object) -> None: ...

    with blocking_node() as server, GrpcClient("client", "127.0.0.1", server.port) as client:
        with pytest.raises(TypeError, match="AsyncGrpcClient takes such ones"):
            client.stream_events([], hear)
        assert client.stream_events([]).sent == 0
