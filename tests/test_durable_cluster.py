"""Durable groups on a cluster: in the mesh's one slot, wherever that goes."""

import json

from durable_meshes import GROUP, SUBJECT, Worker, known_to
from mesh_nodes import running
from raw_ws import eventually
from redis_clusters import cluster_of, move_slot, owner
from redis_meshes import all_meet, balanced, on_redis, redis_node
from redis_servers import RedisServer, needs
from test_durable_dead import command
from test_redis_shards import slot_of, url

from lexmesh import MeshCore

PATIENCE = 30.0
MESH = "spiral_codex_mesh"


async def members(servers: list[RedisServer]) -> tuple[list[MeshCore], list[Worker]]:
    nodes = [redis_node(f"n{number}", url(servers), durable_seconds=2.0) for number in range(3)]
    return nodes, [Worker(one) for one in nodes[1:]]


def done(workers: list[Worker]) -> set[int]:
    return {number for one in workers for number in one.got}


async def test_work_follows_the_slot() -> None:
    needs(7)
    with cluster_of(3, 0) as servers:
        nodes, workers = await members(servers)
        async with running(*nodes):
            await all_meet(nodes)
            await known_to(nodes)
            for number in range(100):
                nodes[0].publish(SUBJECT, number)
            await nodes[0].stored()
            slot = slot_of(servers, MESH)
            before = owner(servers, slot)
            assert before.say("EXISTS", f"{{{MESH}}}:stream:{SUBJECT}") == 1
            move_slot(slot, before, next(one for one in servers if one is not before))
            for number in range(100, 200):
                nodes[0].publish(SUBJECT, number)
            await eventually(lambda: done(workers) == set(range(200)), lambda: f"{len(done(workers))} done", PATIENCE)
            assert all(on_redis(one)["durable_lost"] == 0 for one in nodes)
            await eventually(lambda: balanced(nodes), "balanced ledgers", PATIENCE)
        code, out, error = await command(url(servers), "groups", "--json")
        assert (code, error) == (0, "")
        assert json.loads(out)["group"] == GROUP


async def test_work_outlives_a_lost_master_but_for_what_is_said() -> None:
    needs(7)
    with cluster_of(3, 3) as servers:
        nodes, workers = await members(servers[:3])
        async with running(*nodes):
            await all_meet(nodes)
            await known_to(nodes)
            for number in range(100):
                nodes[0].publish(SUBJECT, number)
            await nodes[0].stored()
            owner(servers[:3], slot_of(servers, MESH)).kill()
            for number in range(100, 200):
                nodes[0].publish(SUBJECT, number)

            def accounted() -> bool:
                return 200 - len(done(workers)) <= sum(on_redis(one)["durable_lost"] for one in nodes)

            await eventually(accounted, lambda: f"{len(done(workers))} done", PATIENCE)
            await nodes[0].stored(PATIENCE)
            await eventually(lambda: set(range(100, 200)) <= done(workers), "what came later is done", PATIENCE)
