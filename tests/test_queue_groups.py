"""Queue groups: one member of all gets each message, over any topology; members come, go and crash."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from mesh_nodes import FULL_5, LINE_OF_4, RING_OF_5, knows_all, mesh_of, node, running, url_of
from raw_ws import Received, eventually

from lexmesh import MeshCore, StreamEvent, SubjectError, TransportError, WebSocketClient, WebSocketServer
from lexmesh.mesh.registry.node import NodeEntry, NodeEntryError, entry_from

TOPOLOGIES = {"line": LINE_OF_4, "ring": RING_OF_5, "full": FULL_5}


def declared(one: MeshCore, subject: str = "jobs", group: str = "workers") -> Counter[str]:
    """How many members each active node has, as one node sees it."""
    return Counter(
        {
            known.entry.node_id: members
            for known in one.registry.table
            for pattern, name, members in known.entry.groups
            if (pattern, name) == (subject, group) and known.status == "active"
        }
    )


async def agreed(nodes: list[MeshCore], members: dict[str, int], **group: str) -> None:
    """Waits until each node knows the same of a group."""
    await eventually(lambda: all(declared(one, **group) == members for one in nodes), f"all know {members}")
    await asyncio.sleep(0)  # what came in this loop turn is reckoned at its end


async def all_told(handlers: list[Received], count: int) -> None:
    await eventually(lambda: sum(len(handler.events) for handler in handlers) >= count, f"{count} handled")


@pytest.mark.parametrize("shape", TOPOLOGIES)
async def test_each_message_is_handled_once_and_shares_are_even(shape: str) -> None:
    async with mesh_of(*TOPOLOGIES[shape]) as nodes:
        await knows_all(nodes)
        workers = [Received() for _ in nodes[1:]]
        plain = Received()
        nodes[-1].subscribe("jobs", plain)
        for one, worker in zip(nodes[1:], workers, strict=True):
            one.subscribe("jobs", worker, group="workers")
        await agreed(nodes, {one.node_id: 1 for one in nodes[1:]})
        ids = [one.publish("jobs", number) for number in range(300) for one in nodes]
        await plain.wait(len(ids))
        await all_told(workers, len(ids))
        handled = [event.id for worker in workers for event in worker.events]
        assert sorted(handled) == sorted(ids)
        assert sorted(event.id for event in plain.events) == sorted(ids)
        fair = len(ids) / len(workers)
        assert all(0.8 * fair < len(worker.events) < 1.2 * fair for worker in workers)


async def test_shares_follow_the_members_and_those_of_a_node_take_turns() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        await knows_all([one, two])
        members = [Received() for _ in range(4)]
        one.subscribe("jobs", members[0], group="workers")
        for member in members[1:]:
            two.subscribe("jobs", member, group="workers")
        await agreed([one, two], {"n0": 1, "n1": 3})
        for number in range(2000):
            one.publish("jobs", number)
        await all_told(members, 2000)
        counts = [len(member.events) for member in members]
        assert sum(counts) == 2000
        assert all(400 < count < 600 for count in counts), counts
        assert max(counts[1:]) - min(counts[1:]) <= 1


async def test_two_groups_each_get_all_and_wildcards_are_groups_of_their_own() -> None:
    async with mesh_of(*LINE_OF_4) as nodes:
        await knows_all(nodes)
        first, second, wild = ([Received() for _ in nodes] for _ in range(3))
        for one, a, b, c in zip(nodes, first, second, wild, strict=True):
            one.subscribe("jobs.x", a, group="a")
            one.subscribe("jobs.x", b, group="b")
            one.subscribe("jobs.>", c, group="a")
        even = {one.node_id: 1 for one in nodes}
        await agreed(nodes, even, subject="jobs.x", group="a")
        await agreed(nodes, even, subject="jobs.x", group="b")
        await agreed(nodes, even, subject="jobs.>", group="a")
        ids = [nodes[0].publish("jobs.x", number) for number in range(400)]
        for group in (first, second, wild):
            await all_told(group, 400)
            assert sorted(event.id for worker in group for event in worker.events) == sorted(ids)
        alike = sum(event.id in {other.id for other in second[0].events} for event in first[0].events)
        assert alike < 0.6 * len(first[0].events), "two groups do not elect alike"


async def test_members_that_leave_and_nodes_that_stop_are_taken_over_from() -> None:
    async with AsyncExitStack() as stack:
        first = node("first")
        await stack.enter_async_context(running(first))
        second = node("second", url_of(first))
        await stack.enter_async_context(running(second))
        third = node("third", url_of(first))
        await third.start()
        nodes = [first, second, third]
        await knows_all(nodes)
        workers = [Received() for _ in nodes]
        for member, worker in zip(nodes, workers, strict=True):
            member.subscribe("jobs", worker, group="workers")
        await agreed(nodes, {"first": 1, "second": 1, "third": 1})
        assert second.unsubscribe("jobs", workers[1])
        assert not second.unsubscribe("jobs", workers[1])
        await agreed(nodes, {"first": 1, "third": 1})
        await third.stop()
        await agreed(nodes[:2], {"first": 1})
        ids = [second.publish("jobs", number) for number in range(50)]
        await workers[0].wait(50)
        assert [event.id for event in workers[0].events] == ids
        assert not workers[1].events and not workers[2].events


WORKER = """
import asyncio, sys
from lexmesh import MeshConfig, MeshCore

async def main():
    config = MeshConfig(node_id="process", websocket_port=0, peers=sys.argv[1:], learned_links=0)
    async with MeshCore(config) as mesh:
        mesh.subscribe("jobs", print, group="workers")
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def worker_process(*urls: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WORKER, *urls], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_a_member_that_is_killed_is_taken_over_from_at_once_where_it_was_linked() -> None:
    async with mesh_of(2, [(1, 0)], heartbeat_interval=30.0) as nodes:
        with worker_process(*(url_of(one) for one in nodes)) as process:
            workers = [Received() for _ in nodes]
            for one, worker in zip(nodes, workers, strict=True):
                one.subscribe("jobs", worker, group="workers")
            await agreed(nodes, {"n0": 1, "n1": 1, "process": 1})
            await eventually(lambda: all("process" in one.links for one in nodes), "linked to both")
            os.kill(process.pid, signal.SIGKILL)
            await eventually(lambda: not any("process" in one.links for one in nodes), "missed")
            await asyncio.sleep(0)
            ids = [nodes[0].publish("jobs", number) for number in range(200)]
            await all_told(workers, 200)
            assert sorted(event.id for worker in workers for event in worker.events) == sorted(ids)
            assert nodes[0].registry.get_node("process")["status"] == "active", "its heartbeat is not due"


async def test_clients_are_members_beside_handlers() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        await knows_all([one, two])
        handler, members = Received(), [Received(), Received()]
        one.subscribe("jobs", handler, group="workers")
        async with WebSocketClient("a", url_of(one)) as a, WebSocketClient("b", url_of(two)) as b:
            await a.subscribe("jobs", handler=members[0], group="workers")
            await b.subscribe("jobs", handler=members[1], group="workers")
            await agreed([one, two], {"n0": 2, "n1": 1})
            ids = [a.publish("jobs", number) for number in range(300)]
            ids += [two.publish("jobs", number) for number in range(300)]
            await all_told([handler, *members], 600)
            handled = [event.id for member in (handler, *members) for event in member.events]
            assert sorted(handled) == sorted(ids), "even to the one that has published it"
            assert all(100 < len(member.events) < 300 for member in (handler, *members))
            await b.unsubscribe("jobs")
            await agreed([one, two], {"n0": 2})
        await agreed([one, two], {"n0": 1})


async def test_a_gateway_alone_has_groups_of_handlers_and_clients() -> None:
    async with WebSocketServer("alone", port=0) as server:
        handlers = [Received(), Received()]
        for handler in handlers:
            server.subscribe("jobs", handler, group="workers")
        plain, member = Received(), Received()
        url = f"ws://127.0.0.1:{server.port}"
        async with WebSocketClient("both", url) as both, WebSocketClient("says", url) as says:
            await both.subscribe("jobs", handler=member, group="workers")
            ids = [says.publish("jobs", number) for number in range(30)]
            await says.flush()
            await all_told([*handlers, member], 30)
            assert [len(one.events) for one in (*handlers, member)] == [10, 10, 10]
            await both.subscribe("jobs", group="")
            both.register_handler("jobs", plain)
            ids = [says.publish("jobs", number) for number in range(30)]
            await plain.wait(30)
            assert [event.id for event in plain.events] == ids, "a connection gets each event once"
        ledger = server.ledger()
        assert ledger["balanced"], ledger


async def test_a_client_is_a_member_again_after_a_reconnect() -> None:
    async with WebSocketServer("alone", port=0) as server:
        port, members = server.port, [Received(), Received()]
        async with WebSocketClient("a", f"ws://127.0.0.1:{port}") as a, WebSocketClient("b", a.url) as b:
            for client, member in zip((a, b), members, strict=True):
                await client.subscribe("jobs", handler=member, group="workers")
            await server.stop()
            again = WebSocketServer("alone", port=port)
            await again.start()
            await eventually(lambda: a.reconnects == b.reconnects == 1, "both are back")
            await asyncio.gather(a.flush(), b.flush())
            ids = [again.publish("jobs", number) for number in range(20)]
            await all_told(members, 20)
            assert [len(member.events) for member in members] == [10, 10]
            assert sorted(event.id for member in members for event in member.events) == sorted(ids)
            await again.stop()


async def test_a_directed_message_is_for_that_node_s_members() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        members = [Received() for _ in range(4)]
        for number, member in enumerate(members):
            (one, two)[number // 2].subscribe("jobs", member, group="workers")
        await agreed([one, two], {"n0": 2, "n1": 2})
        for number in range(20):
            one.publish("jobs", number, target_node="n1")
            two.publish("jobs", number, target_node="n1")
        await all_told(members, 40)
        assert [len(member.events) for member in members] == [0, 0, 20, 20]


async def test_a_member_that_publishes_to_its_own_group_does_not_disturb_the_turn() -> None:
    async with running(one := node("one")):
        seen: list[Any] = []

        def again(event: StreamEvent) -> None:
            seen.append(event.data)
            if event.data < 20:
                one.publish("jobs", event.data + 1)

        one.subscribe("jobs", again, group="a")
        one.subscribe("jobs", lambda event: seen.append(event.data), group="b")
        one.publish("jobs", 0)
        await eventually(lambda: len(seen) == 42, "both groups have each")
        assert sorted(seen) == sorted([*range(21)] * 2)


async def test_what_is_no_group_is_refused() -> None:
    async with running(one := node("one")):
        with pytest.raises(ValueError, match="group 'two words'"):
            one.subscribe("jobs", print, group="two words")
        with pytest.raises(SubjectError):
            one.subscribe("a..b", print, group="workers")
        with pytest.raises(TypeError):
            one.subscribe("jobs", "no handler", group="workers")  # type: ignore[arg-type]
        one.publish("jobs", 1)
        for number in range(256):
            one.subscribe(f"jobs.{number}", print, group="workers")
        with pytest.raises(ValueError, match="at most 256 groups"):
            one.subscribe("jobs", print, group="workers")
        assert one.ledger()["subjects"]["jobs"]["ingress"]["unroutable"] == 1
        async with WebSocketClient("c", url_of(one)) as client:
            with pytest.raises(TransportError, match="at most 256 groups"):
                await client.subscribe("more", group="workers")
            with pytest.raises(ValueError, match="group"):
                await client.subscribe("jobs", group="two words")
            for group in (7, "two words", ["x"]):
                with pytest.raises(TransportError, match="group"):
                    await client.ask("_lexmesh.subscribe", {"subjects": ["jobs"], "group": group})


def test_groups_in_an_entry_are_bounded_and_optional() -> None:
    entry = NodeEntry("n", 1, groups=(("jobs.>", "workers", 3),))
    assert entry_from(entry.data()) == entry
    assert "groups" not in NodeEntry("n", 1).data()
    good = NodeEntry("n", 1).data()
    too_many = [["jobs", "w", 1]] * 257
    for groups in ("x", [["jobs", "w"]], [["jobs", "w", 0]], [["jobs", "", 1]], [[1, "w", 1]], too_many, [1]):
        with pytest.raises(NodeEntryError):
            entry_from(good | {"groups": groups})
