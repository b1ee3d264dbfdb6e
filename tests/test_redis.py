"""A mesh over Redis: real servers, real nodes, and each message once wherever somebody wants it."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from cli_process import assert_one_line, lexmesh
from mesh_nodes import knows_all, node, running, url_of
from raw_ws import eventually
from redis_meshes import all_got, all_meet, balanced, listen, listening, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, free_ports, lasting, redis_server

from lexmesh import MeshConfig, MeshCore, WebSocketClient
from lexmesh.errors import ConfigError, ConnectError


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


@pytest.fixture
def mesh_name(request: pytest.FixtureRequest) -> str:
    """Tests share a server, and do not meet."""
    return request.node.name.replace("[", "-").replace("]", "")


# -- what a mesh does ------------------------------------------------------------------------------------------------


async def test_20_nodes_get_each_broadcast_once(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 20, mesh_name=mesh_name) as nodes:
        got = listen(nodes, "ritual_start")
        await listening(server, f"{mesh_name}:spiral_ritual_events:a:ritual_start", 20)
        for number, one in enumerate(nodes):
            await one.broadcast_event("ritual_start", number)
        await all_got(got, list(range(20)))
        await eventually(lambda: balanced(nodes), "balanced ledgers")
        assert all(one.ledger()["ingress"]["duplicate"] == 0 for one in nodes)
        assert all(on_redis(one)["lost"] == on_redis(one)["refused"] == 0 for one in nodes)


async def test_direct_messages_and_requests(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 3, mesh_name=mesh_name) as nodes:
        got = listen(nodes, "agent_message")
        nodes[1].subscribe("double", lambda event: {"twice": 2 * event.data})
        await nodes[0].send_to_node("n2", "agent_message", "to n2")
        await eventually(lambda: got["n2"] == ["to n2"], "the message")
        answer = await nodes[0].request("n1", "double", 21, timeout=5)
        assert answer.data == {"twice": 42}
        assert got["n0"] == got["n1"] == []


async def test_clients_of_other_nodes(server: RedisServer, mesh_name: str) -> None:
    async with (
        redis_mesh(server.url, 3, mesh_name=mesh_name) as nodes,
        WebSocketClient("phone", url_of(nodes[0])) as phone,
        WebSocketClient("lamp", url_of(nodes[1])) as lamp,
    ):
        got: list[Any] = []
        lamp.register_handler("agent_message", lambda event: got.append((event.source_node, event.data)))
        await lamp.subscribe("agent_message")
        await listening(server, f"{mesh_name}:spiral_ritual_events:a:agent_message", 1)
        phone.publish("agent_message", "direct", target_node="lamp")
        phone.publish("agent_message", "to all")
        await eventually(lambda: len(got) == 2, "both messages")
        assert sorted(got) == [("phone", "direct"), ("phone", "to all")]


async def test_a_node_is_known_within_a_heartbeat(server: RedisServer, mesh_name: str) -> None:
    options = {"mesh_name": mesh_name, "heartbeat_interval": 5.0}
    async with redis_mesh(server.url, 2, **options) as nodes:
        begun = asyncio.get_running_loop().time()
        late = redis_node("late", server.url, **options)
        async with running(late):
            await knows_all([*nodes, late])
            assert asyncio.get_running_loop().time() - begun < 5
        await eventually(lambda: len(nodes[0].registry.get_active_nodes()) == 2, "its goodbye")


async def test_state_deltas_and_a_late_join(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        nodes[0].state.update_local_state("agents", "a", {"v": 1})
        await eventually(lambda: nodes[1].state.get_local_state("agents", "a") == {"v": 1}, "the delta")
        for number in range(2000):
            nodes[1].state.update_local_state("many", str(number), number)
        late = redis_node("late", server.url, mesh_name=mesh_name)
        async with running(late):
            await eventually(lambda: late.state.get_local_state("agents", "a") == {"v": 1}, "what was before")
            await eventually(lambda: late.state.get_local_state("many", "1999") == 1999, "all of it")


async def test_linked_both_ways_is_once(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 3, mesh_name=mesh_name) as nodes:
        nodes[1].link_to(url_of(nodes[0]))
        await eventually(lambda: nodes[0].links == ["n1"] and nodes[1].links == ["n0"], "the link")
        got = listen(nodes, "a.>")
        for number in range(50):
            await nodes[number % 3].broadcast_event("a.b", number)
        await all_got(got, list(range(50)))
        await nodes[0].send_to_node("n1", "a.c", "direct")
        await eventually(lambda: got["n1"][-1] == "direct", "the direct message")
        await eventually(lambda: balanced(nodes), "balanced ledgers")
        assert all(len(set(map(str, one))) == len(one) for one in got.values()), got


async def test_relays_for_nodes_that_are_not_on_redis(server: RedisServer, mesh_name: str) -> None:
    """x – n0 = Redis = n1 – y: what x and y say reaches all, and each other."""
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        apart = [node("x", nodes[0], mesh_name=mesh_name), node("y", nodes[1], mesh_name=mesh_name)]
        async with running(*apart):
            everyone = [*nodes, *apart]
            await knows_all(everyone)
            got = listen(everyone, "sensor_reading")
            await listening(server, f"{mesh_name}:spiral_ritual_events:a:sensor_reading", 0)
            for number, one in enumerate(everyone):
                await one.broadcast_event("sensor_reading", number)
            await all_got(got, [0, 1, 2, 3])
            apart[1].subscribe("echo", lambda event: {"back": event.data})
            assert (await apart[0].request("y", "echo", "there", timeout=5)).data == {"back": "there"}
            await eventually(lambda: balanced(everyone), "balanced ledgers")


async def test_a_link_that_breaks_leaves_redis(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        nodes[1].link_to(url_of(nodes[0]))
        await eventually(lambda: nodes[0].links == ["n1"], "the link")
        got = listen(nodes, "a")
        await nodes[0].send_to_node("n1", "a", "by link")
        await eventually(lambda: got["n1"] == ["by link"], "what comes by the link")
        nodes[1]._members.stop_dialling()
        nodes[1]._members.links.get("n0").session.close()
        await eventually(lambda: nodes[0].links == nodes[1].links == [], "no link")
        await nodes[0].send_to_node("n1", "a", "by Redis")
        await nodes[1].broadcast_event("a", "to all")
        await eventually(lambda: got["n0"] == ["to all"] and set(got["n1"]) == {"by link", "by Redis", "to all"}, "all")


# -- interest --------------------------------------------------------------------------------------------------------


async def test_a_node_gets_only_what_is_wanted_there(server: RedisServer, mesh_name: str) -> None:
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        got = listen(nodes[1:], "wanted")
        await listening(server, f"{mesh_name}:spiral_ritual_events:a:wanted", 1)
        before = nodes[1].ledger()["taken"]
        for number in range(100):
            nodes[0].publish("unwanted", number)
            nodes[0].publish("wanted.not", number)
        await nodes[0].broadcast_event("wanted", 1)
        await eventually(lambda: got["n1"] == [1], "what is wanted")
        assert nodes[1].ledger()["taken"] == before + 1
        assert nodes[1].ledger()["ingress"]["unroutable"] == 0


SUBJECTS = ["a", "b", "a.b", "a.c", "a.b.c", "b.b", "a.b.c.d", "x[1]", "x1", "a?", "ab", "Ä.ß"]


WILDCARDS = [
    (["*"], ["a", "b", "x[1]", "x1", "a?", "ab"]),
    (["a.*"], ["a.b", "a.c"]),
    (["a.>"], ["a.b", "a.c", "a.b.c", "a.b.c.d"]),
    (["*.b"], ["a.b", "b.b"]),
    (["a.*.c"], ["a.b.c"]),
    (["*.b.>"], ["a.b.c", "a.b.c.d"]),
    ([">"], SUBJECTS),
    (["a.*", "*.b", "a.b", ">"], SUBJECTS),
    (["a.*", "*.b", "a.b"], ["a.b", "a.c", "b.b"]),
    (["x[1]", "a?"], ["x[1]", "a?"]),
    (["Ä.*"], ["Ä.ß"]),
]


@pytest.mark.parametrize(("patterns", "wanted"), WILDCARDS, ids=str)
async def test_wildcards_are_exact_and_do_not_deliver_twice(
    server: RedisServer, patterns: list[str], wanted: list[str]
) -> None:
    mesh_name = "wild-" + "".join(f"{ord(sign):x}" for sign in "".join(patterns))
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        got: set[str] = set()
        for pattern in [*patterns, "end"]:
            nodes[1].subscribe(pattern, lambda event: got.add(event.event_type))
        before = nodes[1].ledger()["taken"]
        await eventually(lambda: _hears(nodes, got), "the subscription")
        for subject in SUBJECTS:
            nodes[0].publish(subject, subject)
        await nodes[0].broadcast_event("end", 0)
        await eventually(lambda: got >= {*wanted, "end"}, f"{got}")
        assert got - {"end"} == set(wanted)
        ledger = nodes[1].ledger()
        assert ledger["ingress"]["duplicate"] == ledger["ingress"]["unroutable"] == 0
        assert before <= ledger["taken"]


def _hears(nodes: list[MeshCore], got: set[str]) -> bool:
    """Whether the second node hears what the first says: says it until then."""
    nodes[0].publish("end", 0)
    return "end" in got


async def test_messages_of_one_source_keep_together(server: RedisServer, mesh_name: str) -> None:
    """More on one channel, before one on another, than a window of duplicates spans: nothing is taken for a repeat."""
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        got = listen(nodes[1:], "bulk", "rare", "agent_message")
        await listening(server, f"{mesh_name}:spiral_ritual_events:a:agent_message", 1)
        for number in range(20_000):
            nodes[0].publish("bulk", number)
        nodes[0].publish("rare", "rare")
        nodes[0].publish("agent_message", "direct", target_node="n1")
        await nodes[0].flush()
        await eventually(lambda: len(got["n1"]) == 20_002, "all of it")
        assert [one for one in got["n1"] if isinstance(one, int)] == list(range(20_000))
        assert nodes[1].ledger()["ingress"]["duplicate"] == 0


@pytest.mark.parametrize(
    "names", [("mesh", "mesh2"), ("a", "a:node_n0"), ("a:b", "a"), ("é", "e"), ("a*", "ab"), ("{a}", "a")]
)
async def test_two_meshes_on_one_server_never_meet(server: RedisServer, names: tuple[str, str]) -> None:
    one, two = (redis_node(f"n{at}", server.url, mesh_name=name) for at, name in enumerate(names))
    twin = redis_node("n1", server.url, mesh_name=names[0])
    async with running(one, two, twin):
        await knows_all([one, twin])
        got = listen([one], "a.>") | {"other": listen([two], "a.>")["n1"]}
        await one.broadcast_event("a.b", 1)
        await two.broadcast_event("a.b", 2)
        await eventually(lambda: got["n0"] == [1] and got["other"] == [2], f"{got}")
        await one.send_to_node("n1", "a", 3)
        assert [entry["node_id"] for entry in two.registry.get_all_nodes()] == ["n1"]
        assert on_redis(two)["nodes"] == [] and on_redis(two)["refused"] == 0
        assert got["other"] == [2]


async def test_many_subjects_leave_room(server: RedisServer, mesh_name: str) -> None:
    """Who makes subjects up does not use up the channels for good."""
    async with redis_mesh(server.url, 2, mesh_name=mesh_name) as nodes:
        got = listen(nodes[1:], "made.>")
        await eventually(lambda: server.say("PUBSUB", "NUMPAT") > 0, "the pattern")
        for number in range(3000):
            nodes[0].publish(f"made.{number}", number)
        await nodes[0].flush()
        await eventually(lambda: len(got["n1"]) == 3000, "all of them")
        outlets = nodes[0]._redis.transport.outlets
        assert len(outlets.endpoints) <= 1024
        await eventually(lambda: len(outlets.endpoints) < 16 or outlets.let_go(frozenset(["n1"])), "room")
        await nodes[0].broadcast_event("made.again", "again")
        await eventually(lambda: got["n1"][-1] == "again", "what comes after")


# -- getting there ---------------------------------------------------------------------------------------------------


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
        assert len(caplog.records) == 2
    finally:
        absent.close()


async def test_what_waits_for_a_server_is_bounded() -> None:
    url = f"redis://127.0.0.1:{free_ports(1)[0]}"
    one = redis_node("n0", url, overflow_bytes=65_536, overflow_seconds=60)
    async with running(one):
        for number in range(30):
            for subject in range(100):
                one.publish(f"s.{subject}", "x" * 4000)
            await lasting(0.01 * (number % 2))
        await eventually(lambda: not one._redis.transport.outlets.carry, "it gives up")
        assert one.ledger()["egress"]["in_flight"] == 0
        one.publish("s.1", "not offered")
        assert one.ledger()["ingress"]["unroutable"] == 1


async def test_required_and_absent_is_an_error() -> None:
    port = free_ports(1)[0]
    one = redis_node("n0", f"redis://:secret@127.0.0.1:{port}/2", redis_required=True)
    with pytest.raises(ConnectError) as error:
        await one.start()
    assert str(error.value) == f"cannot connect to redis://127.0.0.1:{port}/2: connection refused"
    assert one.get_mesh_status()["status"] == "disconnected"


async def fault_of(url: str, caplog: pytest.LogCaptureFixture) -> str:
    """Why a node that must have Redis does not start; nowhere a password."""
    one = redis_node("n0", url, redis_required=True)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError) as error:
        await one.start()
    told = f"{error.value} {error.value!r} {one.config!r} {one.get_mesh_status()} {caplog.text}"
    assert "hunter2" not in told and "\n" not in str(error.value)
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
