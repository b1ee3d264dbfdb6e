"""A mesh on a cluster of Redis 7: on one shard of it, by shard channels, wherever its slot goes."""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from mesh_nodes import running
from raw_ws import eventually
from redis_clusters import cluster_of, move_slot, owner, text
from redis_meshes import Got, all_got, all_meet, balanced, each_hears_each, listen, on_redis, redis_mesh, redis_node
from redis_servers import RedisServer, lasting, needs
from test_redis import SUBJECTS, WILDCARDS
from test_redis_hostile import batch, header

from lexmesh import MeshCore, StreamEvent
from lexmesh.mesh.registry.node import MOST_WILDCARDS
from lexmesh.transports.redis_outlets import MOST_COPIES
from lexmesh.transports.subject_patterns import without_covered

RECOVERY_SECONDS = 5.0
RITUAL = "spiral_ritual_events"


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    needs(7)
    with cluster_of(3, 0) as servers:
        yield servers


@pytest.fixture
def mesh_name(request: pytest.FixtureRequest) -> str:
    """Tests share a cluster, and do not meet."""
    return f"m{zlib.crc32(request.node.name.encode()):x}"


def url(servers: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in servers)


def shard_channels(server: RedisServer) -> set[str]:
    return {text(name) for name in server.say("PUBSUB", "SHARDCHANNELS")}


def slot_of(servers: list[RedisServer], mesh_name: str) -> int:
    return int(servers[0].say("CLUSTER", "KEYSLOT", f"{{{mesh_name}}}:{RITUAL}"))


def told_of(one: MeshCore) -> set[str]:
    """What a node heeds of that which others listen to by wildcards."""
    return one._redis._wildcards.others


async def told(nodes: list[MeshCore], *patterns: str) -> None:
    await eventually(lambda: all(told_of(one) >= set(patterns) for one in nodes), f"{patterns} are told")


async def subscribed(servers: list[RedisServer], *channels: str) -> None:
    await eventually(lambda: set(channels) <= set().union(*map(shard_channels, servers)), f"{channels} are listened to")


async def test_a_mesh_is_on_one_shard(cluster: list[RedisServer], mesh_name: str) -> None:
    async with redis_mesh(url(cluster), 3, mesh_name=mesh_name) as nodes:
        got = listen(nodes, "a")
        await each_hears_each(nodes, got)
        await nodes[0].send_to_node("n2", "a", "direct")
        await eventually(lambda: "direct" in got["n2"], "the direct message")
        nodes[1].subscribe("double", lambda event: {"twice": 2 * event.data})
        assert (await nodes[0].request("n1", "double", 21, timeout=5)).data == {"twice": 42}
        where = [one for one in cluster if any(mesh_name in channel for channel in shard_channels(one))]
        assert where == [owner(cluster, slot_of(cluster, mesh_name))]
        names = {f"{{{mesh_name}}}:{RITUAL}", f"{{{mesh_name}}}:node_n0", f"{{{mesh_name}}}:{RITUAL}:a:a"}
        assert names <= shard_channels(where[0])
        assert all(one.say("PUBSUB", "CHANNELS") == [] and one.say("PUBSUB", "NUMPAT") == 0 for one in cluster)
        await eventually(lambda: balanced(nodes), "balanced ledgers")
    assert where[0].say("EXISTS", f"{{{mesh_name}}}:node_n0:losses") == 1


async def test_meshes_spread_over_a_cluster_and_never_meet(cluster: list[RedisServer]) -> None:
    names = ["mesh", "mesh2", "{mesh}", "mesh}", "a:b", "{}"]
    nodes = [redis_node(f"n{at}", url(cluster), mesh_name=name) for at, name in enumerate(names)]
    twins = [redis_node("twin", url(cluster), mesh_name=name) for name in names]
    async with running(*nodes, *twins):
        for pair in zip(nodes, twins, strict=True):
            await all_meet(list(pair))
        got = listen(nodes, "a.>")
        await told(twins, "a.>")
        for name, twin in zip(names, twins, strict=True):
            await twin.broadcast_event("a.b", name)
        await eventually(lambda: all(got.values()), f"{got}")
        assert list(got.values()) == [[name] for name in names]
        assert all(len(one.registry.get_all_nodes()) == 2 and on_redis(one)["refused"] == 0 for one in nodes)
        assert sum(bool(shard_channels(one)) for one in cluster) > 1


@pytest.mark.parametrize(("patterns", "wanted"), WILDCARDS, ids=str)
async def test_wildcards_without_patterns(
    cluster: list[RedisServer], mesh_name: str, patterns: list[str], wanted: list[str]
) -> None:
    """What is wanted comes once to each handler, and what is not wanted does not come to the node at all."""
    async with redis_mesh(url(cluster), 2, mesh_name=mesh_name) as nodes:
        got: dict[str, list[Any]] = {pattern: [] for pattern in patterns}
        for pattern in patterns:
            nodes[1].subscribe(pattern, lambda event, pattern=pattern: got[pattern].append(event.data))
        ended = listen(nodes[1:], "end")
        await eventually(lambda: nodes[0].publish("end", 0) and ended["n1"], "the subscription to a subject")
        wildcards = without_covered({*patterns, "agent_task.>"})[1]
        await eventually(lambda: told_of(nodes[0]) == wildcards, f"{wildcards} are told")
        for subject in SUBJECTS:
            nodes[0].publish(subject, subject)
        await nodes[0].broadcast_event("end", "end")
        await eventually(lambda: ended["n1"][-1] == "end", "the end")
        await eventually(lambda: all(any(one in found for found in got.values()) for one in wanted), f"{got}")
        for pattern in patterns:
            found = [one for one in got[pattern] if one in SUBJECTS]
            assert len(found) == len(set(found)) and set(found) <= set(wanted)
        assert nodes[1].ledger()["ingress"]["unroutable"] == 0
        await eventually(lambda: balanced(nodes), "balanced ledgers")


async def test_a_node_gets_only_what_is_wanted_there(cluster: list[RedisServer], mesh_name: str) -> None:
    async with redis_mesh(url(cluster), 3, mesh_name=mesh_name) as nodes:
        got: Got = listen(nodes[1:2], "wanted.*", "end") | listen(nodes[2:], "end")
        await told(nodes[:1], "wanted.*")
        await subscribed(cluster, f"{{{mesh_name}}}:{RITUAL}:a:end")
        before = [one.ledger()["taken"] for one in nodes[1:]]
        for number in range(100):
            nodes[0].publish("unwanted", number)
            nodes[0].publish("wanted", number)
            nodes[0].publish("wanted.by.none", number)
            nodes[0].publish("wanted.indeed", number)
        await nodes[0].broadcast_event("end", "end")
        await all_got({"n1": got["n1"]}, [*range(100), "end"])
        await all_got({"n2": got["n2"]}, ["end"])
        assert [one.ledger()["taken"] for one in nodes[1:]] == [before[0] + 101, before[1] + 1]


async def test_wildcards_that_end_are_published_for_no_more(cluster: list[RedisServer], mesh_name: str) -> None:
    async with redis_mesh(url(cluster), 2, mesh_name=mesh_name) as nodes:
        got: list[Any] = []

        def hear(event: StreamEvent) -> None:
            got.append(event.data)

        channel = f"{{{mesh_name}}}:{RITUAL}:*:a.*"
        nodes[1].subscribe("a.*", hear)
        await told(nodes[:1], "a.*")
        await nodes[0].broadcast_event("a.b", 1)
        await eventually(lambda: got == [1], "the message")
        nodes[1].unsubscribe("a.*", hear)
        await eventually(lambda: "a.*" not in told_of(nodes[0]), "nobody wants it")
        await eventually(lambda: channel not in set().union(*map(shard_channels, cluster)), "nobody listens")
        offered = nodes[0].ledger()["egress"]["delivered"]
        await nodes[0].broadcast_event("a.b", 2)
        await eventually(lambda: nodes[0].ledger()["egress"]["delivered"] == offered + 1, "one copy")
        assert got == [1]


async def test_more_wildcards_than_are_worth_a_channel_each(cluster: list[RedisServer], mesh_name: str) -> None:
    """Who wants very many is sent all; what very many different ones match is heard by all."""
    async with redis_mesh(url(cluster), 3, mesh_name=mesh_name) as nodes:
        greedy: list[Any] = []
        for number in range(MOST_WILDCARDS + 1):
            nodes[1].subscribe(f"g{number}.>", lambda event: greedy.append(event.data))
        await told(nodes[:1], ">")
        await nodes[0].broadcast_event("g256.x", "greedy")
        await eventually(lambda: greedy == ["greedy"], "what is wanted")
        tokens = ["a", "b", "c", "d", "e"]
        shapes = [".".join("*" if at >> bit & 1 else token for bit, token in enumerate(tokens)) for at in range(1, 32)]
        many: dict[str, list[Any]] = {shape: [] for shape in shapes}
        for shape in [one for one in shapes if one != "*.*.*.*.*"]:
            nodes[2].subscribe(shape, lambda event, shape=shape: many[shape].append(event.data))
        del many["*.*.*.*.*"]
        await told(nodes[:1], *without_covered(many)[1])
        await nodes[0].broadcast_event("a.b.c.d.e", 1)
        await eventually(lambda: all(found == [1] for found in many.values()), f"{many}")
        router = nodes[0].pipeline.core.router
        transport = nodes[0]._redis.transport
        transport.publish_to(set(shapes) | {"a.>", "a.b.>", ">"})
        assert len(shapes) > MOST_COPIES
        assert router.channels_of("a.b.c.d.e") == [transport.outlets.everyone.outbox]
        await nodes[0].broadcast_event("a.b.c.d.e", 2)
        await eventually(lambda: all(found == [1, 2] for found in many.values()), f"{many}")


async def test_what_no_node_writes_is_refused(cluster: list[RedisServer], mesh_name: str) -> None:
    async with redis_mesh(url(cluster), 2, mesh_name=mesh_name) as nodes:
        got = listen(nodes, "a")
        master = owner(cluster, slot_of(cluster, mesh_name))
        channel = f"{{{mesh_name}}}:{RITUAL}:a:a"
        await eventually(lambda: master.say("PUBSUB", "SHARDNUMSUB", channel)[1] == 2, "both listening")
        forced = StreamEvent("a", 1, source_node="mallory", metadata={"consent_override": "yes"})
        for publication in (b"rubbish", b"x" * 3_000_000, header("mallory") + batch(forced, StreamEvent("a", 2))):
            master.say("SPUBLISH", channel, publication)
        await eventually(lambda: got["n0"] == got["n1"] == [2], "the message beside it")
        for one in nodes:
            assert on_redis(one)["refused"] == 2 and one.ledger()["ingress"]["denied"] == 1
            assert on_redis(one)["up"] and on_redis(one)["reconnects"] == 0


async def test_output_buffer_limit(cluster: list[RedisServer], mesh_name: str) -> None:
    """A shard cuts off who reads too slowly as any server does; what has been missed is counted."""
    async with redis_mesh(url(cluster), 1, mesh_name=mesh_name) as nodes:
        got = listen(nodes, "a")
        master, channel = owner(cluster, slot_of(cluster, mesh_name)), f"{{{mesh_name}}}:{RITUAL}:a:a"
        await eventually(lambda: master.say("PUBSUB", "SHARDNUMSUB", channel)[1] == 1, "the subscription")
        master.say("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 64kb 1")
        sent = 200
        with redis.Redis(port=master.port) as writer:  # which does not let this loop, and so the node, read
            writer.execute_command("SPUBLISH", channel, header("far") + batch(StreamEvent("a", "first")))
            await eventually(lambda: got["n0"] == ["first"], "the first")
            for number in range(1, sent):
                publication = header("far", before=number) + batch(StreamEvent("a", "x" * 100_000))
                writer.execute_command("SPUBLISH", channel, publication)
            await eventually(lambda: on_redis(nodes[0])["reconnects"] == 1 and on_redis(nodes[0])["up"], "the cut")
            last = header("far", before=sent) + batch(StreamEvent("a", "end"))
            writer.execute_command("SPUBLISH", channel, last)
        await eventually(lambda: got["n0"][-1] == "end", "what comes afterwards")
        assert on_redis(nodes[0])["lost"] == sent - (len(got["n0"]) - 1) > 0
        master.say("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


async def test_a_slot_that_moves(cluster: list[RedisServer], mesh_name: str) -> None:
    """While traffic runs: heard again within five seconds, each message once, ledgers balanced, losses counted."""
    async with redis_mesh(url(cluster), 3, mesh_name=mesh_name) as nodes:
        got, numbers = listen(nodes, "a"), listen(nodes, "b.*")
        await each_hears_each(nodes, got)
        await told(nodes, "b.*")
        slot = slot_of(cluster, mesh_name)
        for _ in range(3):
            source = owner(cluster, slot)
            target = cluster[(cluster.index(source) + 1) % 3]
            traffic = asyncio.create_task(_keep_saying(nodes[0]))
            try:
                await lasting(0.2)
                await asyncio.to_thread(move_slot, slot, source, target)
                moved = asyncio.get_running_loop().time()
                await eventually(lambda source=source: not _has_channels(source, mesh_name), "the old one is left")
                await each_hears_each(nodes, got)
                await eventually(lambda: all(len(on_redis(one)["nodes"]) == 2 for one in nodes), "all on Redis")
                assert asyncio.get_running_loop().time() - moved <= RECOVERY_SECONDS
                assert _has_channels(target, mesh_name)
                before = len(numbers["n1"])
                await eventually(lambda before=before: len(numbers["n1"]) > before + 100, "traffic goes on")
            finally:
                traffic.cancel()
            await eventually(lambda: balanced(nodes), "balanced ledgers")
            for one in numbers.values():
                assert len(one) == len(set(one)) > 0, "each once"
                one.clear()
        assert all(on_redis(one)["reconnects"] == 3 for one in nodes)


def _has_channels(server: RedisServer, mesh_name: str) -> bool:
    return any(mesh_name in channel for channel in shard_channels(server))


async def _keep_saying(one: MeshCore) -> None:
    number = 0
    while True:
        for _ in range(20):
            one.publish("b.c", number)
            number += 1
        await lasting(0.01)
