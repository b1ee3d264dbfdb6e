"""What hostile clients and nodes try on a mesh: it stays up, keeps its bounds, and keeps its promises to the others."""

import asyncio
from typing import Any

import pytest
from mesh_nodes import node, running
from raw_ws import RawClient, Received, eventually, text

from lexmesh import MeshCore, StreamEvent
from lexmesh.mesh.correspondent import MOST_PIECES, MOST_QUEUED
from lexmesh.mesh.hello import Hello
from lexmesh.mesh.node_link import NodeLink
from lexmesh.mesh.parts import MOST_BYTES, MOST_ITEMS, in_parts
from lexmesh.mesh.registry.node import NodeEntry
from lexmesh.mesh.state.replica import Replica
from lexmesh.mesh.state.wire import MOST_COUNT, entry_from, entry_of
from lexmesh.mesh.synchronizer import MOST_HEARD, StateSynchronizer
from lexmesh.mesh.tasks.attempt import attempts_in
from lexmesh.transports.wall_clock import now_ms

ENTRY = {"node_id": "evil", "epoch": 5, "version": 0, "capabilities": [], "addresses": [], "leaving": False}


async def hostile_node(mesh: MeshCore, name: str = "evil") -> RawClient:
    """Says hello as a node would."""
    client = await RawClient.connect(mesh.port, subprotocol="lexmesh.v1.json")
    hello = {"mesh_name": "spiral_codex_mesh", "entry": {**ENTRY, "node_id": name}}
    client.send(text({"type": "_lexmesh.hello", "data": hello}))
    await eventually(lambda: name in mesh.links, "linked")
    return client


# -- tasks ------------------------------------------------------------------------------------------------------------


async def test_tasks_whose_names_run_together_take_no_place_for_good() -> None:
    gate, both = asyncio.Event(), asyncio.Barrier(2)  # each place is needed

    async def work(_data: Any) -> str:
        await gate.wait()
        await both.wait()
        return "done"

    async with running(one := node("one")):
        one.register_task_handler("work", work, concurrency=2)
        client = await RawClient.connect(one.port, subprotocol="lexmesh.v1.json")
        for source, task in (("a", "b c"), ("a b", "c")):
            data = {"task": task, "attempt": 1}
            client.send(text({"type": "agent_task.work", "data": data, "source_node": source, "target_node": "one"}))
        worked = Received()
        one.subscribe("then", worked)
        client.send(text({"type": "then", "source_node": "a"}))
        await worked.wait()
        gate.set()
        assert await asyncio.gather(*(one.submit("work", timeout=5) for _ in range(4))) == 4 * ["done"]
        await client.aclose()


def test_an_attempt_is_asked_after_once_however_often_it_is_listed() -> None:
    assert list(attempts_in({"attempts": [["a", 1], ["a", 1], ["b", 1], ["a", 2], ["a", 1]]})) == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
    ]


async def test_a_client_keeps_no_more_than_16_mib_of_tasks_under_way() -> None:
    gate = asyncio.Event()
    size = 900_000

    async def work(_data: Any) -> None:
        await gate.wait()

    async with running(one := node("one")):
        one.register_task_handler("work", work, concurrency=100)
        client = await RawClient.connect(one.port, subprotocol="lexmesh.v1.json")
        for number in range(24):
            data = {"capability": "work", "timeout": 60, "data": size * "x"}
            client.send(text({"type": "_lexmesh.submit", "data": data, "source_node": "c", "id": f"c:1:{number + 1}"}))
        refused = await client.json_of("_lexmesh.error")
        assert "16777216 bytes" in refused["data"]["reason"]
        gate.set()
        assert (await client.json_of("_lexmesh.submit"))["data"] == {"result": None}
        await client.aclose()


# -- shared state -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["\u00b2", 5000 * "0"], ids=["a digit that is none", "a long one"])
async def test_buckets_that_are_no_numbers_end_no_link(bucket: str) -> None:
    async with running(one := node("one")):
        client = await hostile_node(one)
        heard = Received()
        one.subscribe("t", heard)
        wanted = {"category": "c", "buckets": {bucket: ""}}
        client.send(text({"type": "_lexmesh.state.entries", "data": {"entries": [], "wanted": wanted}}))
        client.send(text({"type": "t"}))
        await heard.wait()
        assert one.state.get_sync_status()["refused"]["malformed"] == 1
        await client.aclose()


@pytest.mark.parametrize("what", ["stamp", "version"])
def test_nobody_brings_a_node_to_write_what_no_other_takes(what: str) -> None:
    now = now_ms()
    ours, theirs = Replica("ours"), Replica("theirs")
    last = [now + 50_000, MOST_COUNT - 1 if what == "stamp" else 0]
    write = {"stamp": last, "node": "evil", "version": MOST_COUNT - 1 if what == "version" else 1, "value": 0}
    _, _, hostile = entry_from({"category": "c", "key": "k", "writes": [write], "seen": {"evil": last}})
    assert ours.merge("c", "k", hostile, now)
    for value in (1, 2):
        register = ours.write("c", "k", value, now)
        assert theirs.merge(*entry_from(entry_of("c", "k", register)), now)
        assert theirs.value("c", "k") == value


def test_nodes_that_come_under_ever_new_names_are_not_all_remembered() -> None:
    state = StateSynchronizer("one")
    for number in range(MOST_HEARD + 10):
        state.receive(f"n{number}", "_lexmesh.state.roots", {"roots": {}})
    state.receive("n10", "_lexmesh.state.roots", {"roots": {}})
    heard = state.get_sync_status()["nodes"]
    assert len(heard) == MOST_HEARD
    assert "n9" not in heard
    assert "n10" in heard


# -- links ------------------------------------------------------------------------------------------------------------


class _Stuck:
    """A connection whose peer does not read."""

    class outbox:
        queued = MOST_QUEUED
        closed = False


async def test_what_a_node_asks_for_and_does_not_read_does_not_pile_up() -> None:
    link = NodeLink(_Stuck(), Hello("m", NodeEntry("evil", 5)), "one", dialled=False)  # type: ignore[arg-type]
    for _ in range(MOST_PIECES + 100):
        link.send_piece("_lexmesh.mesh.nodes", {})
    assert link.pieces == MOST_PIECES
    _Stuck.outbox.closed = True  # its timer ends


def test_messages_about_many_nodes_have_a_bound_in_bytes_too() -> None:
    long = [{"node_id": str(number), "text": MOST_BYTES // 3 * "x"} for number in range(8)]
    assert [len(part) for part in in_parts(long)] == [2, 2, 2, 2]
    assert [len(part) for part in in_parts([{"text": 2 * MOST_BYTES * "x"}, {}])] == [1, 1]
    assert [len(part) for part in in_parts([{}] * (MOST_ITEMS + 1))] == [MOST_ITEMS, 1]
    assert not list(in_parts([]))


# -- queue groups -----------------------------------------------------------------------------------------------------


async def test_a_client_that_joins_and_leaves_does_not_make_the_mesh_talk_each_time() -> None:
    async with running(one := node("one")):
        seen = one.registry.table
        client = await RawClient.connect(one.port, subprotocol="lexmesh.v1.json")
        before = seen.own.version
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(200):
            subscribe = {"subjects": ["t"], "group": "g"}
            client.send(text({"type": "_lexmesh.subscribe", "data": subscribe, "source_node": "c"}))
            client.send(text({"type": "_lexmesh.flush", "id": f"c:1:{number + 1}", "source_node": "c"}))
            await client.json_of("_lexmesh.ack")
            client.send(text({"type": "_lexmesh.unsubscribe", "data": {"subjects": ["t"]}, "source_node": "c"}))
            client.send(text({"type": "_lexmesh.flush", "id": f"c:1:{number + 1001}", "source_node": "c"}))
            await client.json_of("_lexmesh.ack")
        assert seen.own.version - before <= 2 + (loop.time() - begun) / 0.05
        await client.aclose()


async def test_a_group_hears_of_nodes_too() -> None:
    async with running(one := node("one")):
        grouped: list[Received] = [Received(), Received()]
        for heard in grouped:
            one.subscribe("node_register", heard, group="w")
        other = node("other", one)
        async with running(other):
            await eventually(lambda: sum(len(heard.events) for heard in grouped) == 1, "told once")
        event: StreamEvent = (grouped[0].events or grouped[1].events)[0]
        assert event.data["node_id"] == "other"
        assert one.ledger()["egress"]["dropped"]["disconnected"] == 0
