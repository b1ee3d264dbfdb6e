"""The ways to a Redis: URLs, users and passwords, TLS, none there; and what is told of a way that fails."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from cli_process import assert_one_line, lexmesh
from mesh_nodes import running, url_of
from raw_ws import eventually
from redis_meshes import all_got, all_meet, listen, listening, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, free_ports, lasting, redis_server

from lexmesh import MeshConfig
from lexmesh.errors import ConfigError, ConnectError


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


@pytest.fixture
def mesh_name(request: pytest.FixtureRequest) -> str:
    """Tests share a server, and do not meet."""
    return request.node.name.replace("[", "-").replace("]", "")


async def test_no_server_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    absent = RedisServer()
    try:
        nodes = [redis_node(f"n{number}", absent.url) for number in range(2)]
        with caplog.at_level(logging.WARNING, "lexmesh.redis"):
            async with running(*nodes):
                await eventually(lambda: len(caplog.records) == 2, "a warning each")
                assert "connection refused" in caplog.text and "enable_redis" in caplog.text
                assert on_redis(nodes[0])["fault"] == "connection refused"
                assert not on_redis(nodes[0])["up"]
                absent.start()
                begun = asyncio.get_running_loop().time()
                await all_meet(nodes)
                assert asyncio.get_running_loop().time() - begun < 5
                assert on_redis(nodes[0])["reconnects"] == 0
        told = [record.getMessage() for record in caplog.records]
        assert told[2:] == [f"Redis at {absent.url} answers"] * 2
    finally:
        absent.close()


async def test_what_waits_for_a_server_that_is_gone_is_bounded() -> None:
    with redis_server() as server:
        one = redis_node("n0", server.url, overflow_bytes=65_536, overflow_seconds=60)
        async with running(one):
            await eventually(lambda: on_redis(one)["up"], "it is there")
            server.stop()
            await eventually(lambda: not on_redis(one)["up"], "it is gone")
            for number in range(30):
                for subject in range(100):
                    one.publish(f"s.{subject}", "x" * 4000)
                await lasting(0.01 * (number % 2))
            await eventually(lambda: not one._redis.transport.outlets.carry, "it gives up")
            assert one.ledger()["egress"]["in_flight"] == 0
            before = one.ledger()["ingress"]["unroutable"]
            one.publish("s.1", "not offered")
            assert one.ledger()["ingress"]["unroutable"] == before + 1


async def test_nothing_is_kept_for_a_server_that_was_never_there() -> None:
    one = redis_node("n0", f"redis://127.0.0.1:{free_ports(1)[0]}")
    async with running(one):
        await eventually(lambda: on_redis(one)["fault"], "it is not there")
        one.publish("s.1", "not offered")
        assert one.ledger()["ingress"]["unroutable"] == 1
        assert one.ledger()["egress"]["offered"] == 0


async def test_required_and_absent_is_an_error() -> None:
    port = free_ports(1)[0]
    one = redis_node("n0", f"redis://:secret@127.0.0.1:{port}/2", redis_required=True)
    with pytest.raises(ConnectError) as error:
        await one.start()
    assert str(error.value) == f"cannot connect to redis://127.0.0.1:{port}/2: connection refused"
    assert one.get_mesh_status()["status"] == "disconnected"


async def test_required_and_there_starts(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        one = redis_node("n0", server.url, redis_required=True)
        async with asyncio.timeout(10):
            await one.start()
        assert on_redis(one)["up"]
        server.restart()
        await eventually(lambda: on_redis(one)["up"] and on_redis(one)["reconnects"] == 1, "it is back")
        await one.stop()
        assert "answers again" in caplog.text


async def fault_of(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """Why a node that must have Redis does not start; nowhere a password."""
    one = redis_node("n0", url, redis_required=True)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError) as error:
        await one.start()
    told = f"{error.value} {error.value!r} {one.config!r} {one.get_mesh_status()} {caplog.text}"
    assert "hunter2" not in told and "\n" not in str(error.value)
    assert "goes on without it" not in caplog.text
    return error.value.reason


async def test_wrong_password(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(requirepass="right") as server:
        bad = server.url.replace("redis://", "redis://bob:hunter2@")
        assert "refuses the user or the password" in await fault_of(bad, caplog)
        assert "refuses the user or the password" in await fault_of(server.url, caplog)
        async with redis_mesh(server.url.replace("redis://", "redis://:right@"), 2) as nodes:
            assert "right" not in str(nodes[0].get_mesh_status())


async def test_a_user_that_may_not(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        server.say("ACL", "SETUSER", "bob", "on", ">hunter2", "+@all", "~*", "resetchannels", "&other:*")
        bob = server.url.replace("redis://", "redis://bob:hunter2@")
        reason = await fault_of(bob, caplog)
        assert "may not do that" in reason and "ACL SETUSER" in reason
        server.say("ACL", "SETUSER", "bob", "allchannels", "resetkeys")  # counters cannot be kept: that stops nothing
        async with redis_mesh(bob, 2) as nodes:
            got = listen(nodes, "a")
            await listening(server, "spiral_codex_mesh:spiral_ritual_events:a:a", 2)
            await nodes[0].broadcast_event("a", 1)
            await all_got(got, [1])
            assert on_redis(nodes[0])["reconnects"] == 0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 smtp\r\n", b""])
async def test_not_a_redis_there(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    other = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with other:
        reason = await fault_of(f"redis://:hunter2@127.0.0.1:{other.sockets[0].getsockname()[1]}", caplog)
    assert reason in (
        "what answers there is no Redis; correct the host and port of redis_url",
        "the connection was lost",
    )
    assert answer == b"" or "no Redis" in reason


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/x@h",
        "redis://bob:port",
        "redis://h:70000",
        "redis://h/path",
        "redis://h?x=1",
        "redis://h,i",
        "redis+sentinel://h",
        "redis+cluster://h/3",
        "redis://h?ca=/x",
        "redis://h?sentinel_password=hunter2",
        "redis+sentinel://h/s?sentinel_passwrd=hunter2",
    ],
)
def test_urls_that_are_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found when the node is configured, and nothing of a password is told."""
    with pytest.raises(ConfigError, match=r"not a Redis URL: .*; give redis://") as error:
        MeshConfig(redis_url=url)
    told = f"{error.value} {error.value!r}"
    assert "hunter2" not in told and "\n" not in str(error.value)
    monkeypatch.setenv("LEXMESH_REDIS_URL", url)
    with pytest.raises(ConfigError, match="LEXMESH_REDIS_URL"):
        MeshConfig()


def test_a_url_on_the_command_line_that_is_none() -> None:
    done = lexmesh("mesh", "start", "--redis", "redis://:hunter2/x@h")
    assert_one_line(done, 1, "--redis", "not a Redis URL", "%2F", "redis://***@h")
    assert b"hunter2" not in done.stderr


async def test_user_and_password_of_the_environment(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    with redis_server(requirepass="right") as server:
        server.say("ACL", "SETUSER", "bob", "on", ">hunter2", "+@all", "~*", "&*", password="right")
        server.say("ACL", "SETUSER", "default", "off", password="right")
        monkeypatch.setenv("LEXMESH_REDIS_USERNAME", "bob")
        monkeypatch.setenv("LEXMESH_REDIS_PASSWORD", "hunter3")
        assert "refuses the user or the password" in await fault_of(server.url, caplog)
        monkeypatch.setenv("LEXMESH_REDIS_PASSWORD", "hunter2")
        bad = server.url.replace("redis://", "redis://bob:hunter3@")  # what the URL says wins
        assert "refuses the user or the password" in await fault_of(bad, caplog)
        urls = [
            server.url,
            server.url.replace("redis://", "redis://bob@"),
            server.url.replace("redis://", "redis://:hunter2@"),
        ]
        nodes = [redis_node(f"n{at}", url) for at, url in enumerate(urls)]
        with caplog.at_level(logging.DEBUG):
            async with running(*nodes):
                await all_meet(nodes)
                told = f"{nodes[0].config!r} {nodes[0].config} {nodes[0].get_mesh_status()} {caplog.text}"
        assert "hunter2" not in told and "'bob'" not in told


async def test_unix_socket_and_database() -> None:
    with redis_server() as server:
        path = server.directory / "socket"
        with redis_server(unixsocket=str(path)) as local:
            async with redis_mesh(f"unix://{path}?db=3", 2) as nodes:
                got = listen(nodes, "a")
                await listening(local, "spiral_codex_mesh:spiral_ritual_events:a:a", 2)
                await nodes[0].broadcast_event("a", 1)
                await all_got(got, [1])
            assert local.say("KEYS", "*") == []
            assert len(local.say("KEYS", "*", db=3)) == 2


async def test_tls(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority.made_in(tmp_path)
    with redis_server(tls=authority.sign("redis"), ca=authority.certificate) as server:
        async with redis_mesh(f"{server.url}?ca={authority.certificate}", 2) as nodes:
            got = listen(nodes, "a.*")
            await eventually(lambda: nodes[0].publish("a.b", 1) and got["n1"], "a message")
        assert "certificate is not trusted" in await fault_of(server.url, caplog)


async def test_mesh_status_has_a_line_for_redis(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        done = await asyncio.to_thread(lexmesh, "mesh", "status", "--url", url_of(nodes[0]))
        assert f"redis://127.0.0.1:{server.port}/0, up, 1 other nodes" in done.stdout.decode()


async def test_no_file_of_certificates(caplog: pytest.LogCaptureFixture) -> None:
    fault = await fault_of("rediss://127.0.0.1:1/0?ca=/nowhere.pem", caplog)
    assert fault == "/nowhere.pem: no such file or directory; ?ca= in redis_url names a file with certificates (PEM)"


async def test_tls_where_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        assert "speak TLS? else use redis://" in await fault_of(server.url.replace("redis://", "rediss://"), caplog)
