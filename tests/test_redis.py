"""A mesh over Redis: real servers, real nodes, and each message once wherever somebody wants it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mesh_nodes import knows_all, node, running, url_of
from raw_ws import eventually
from redis_meshes import all_got, balanced, listen, listening, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, redis_server

from lexmesh import MeshCore, WebSocketClient


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
        assert got & {*SUBJECTS} == {*wanted}  # and its own heartbeats, now and then
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
