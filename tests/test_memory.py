"""Nodes of one process that are linked in memory, and nodes that listen on no socket."""

import asyncio
from typing import Any

import pytest
from mesh_nodes import node as node_of
from mesh_nodes import running, settled, url_of
from raw_ws import Received, eventually

from lexmesh import MeshCore, TransportError


def node(name: str, *peers: str, **options: Any) -> MeshCore:
    """A node that is reached in memory alone."""
    urls = [f"memory://{peer}" for peer in peers]
    return node_of(name, *urls, **{"enable_websocket": False, "memory_name": name, **options})


async def test_messages_and_state_cross_in_memory() -> None:
    nodes = [node("a"), node("b", "a"), node("c", "b")]
    async with running(*nodes):
        await eventually(lambda: nodes[1].links == ["a", "c"], "linked")
        heard = [Received() for _ in nodes]
        for one, handler in zip(nodes, heard, strict=True):
            one.subscribe("t", handler)
        sent = [await one.broadcast_event("t", number) for number in range(50) for one in nodes]
        for handler in heard:
            await handler.wait(150)
            assert sorted(event.id for event in handler.events) == sorted(sent)
        nodes[2].subscribe("double", lambda event: {"twice": 2 * event.data})
        assert (await nodes[0].request("c", "double", 21)).data == {"twice": 42}
        nodes[0].state.update_local_state("c", "k", 1)
        await eventually(lambda: all(one.state.get_local_state("c", "k") == 1 for one in nodes), "written")


async def test_a_node_without_websocket_opens_no_socket_and_still_dials() -> None:
    async with running(listens := node_of("listens")), running(dials := node_of("dials", enable_websocket=False)):
        assert dials.gateway._server is None
        assert dials.registry.get_node("dials") is not None
        assert dials.registry.get_node("dials")["addresses"] == []  # type: ignore[index]
        dials.link_to(url_of(listens))
        await eventually(lambda: listens.links == ["dials"] and dials.links == ["listens"], "linked")
        heard = Received()
        listens.subscribe("t", heard)
        await dials.broadcast_event("t")
        await heard.wait()


async def test_learned_nodes_are_linked_in_memory() -> None:
    nodes = [node(name, *peers, learned_links=8) for name, peers in (("a", ()), ("b", "a"), ("c", "a"), ("d", "a"))]
    async with running(*nodes):
        await eventually(lambda: all(len(one.links) == 3 for one in nodes), "each with each")


async def test_a_name_is_one_nodes_until_it_stops() -> None:
    async with running(node("same")):
        with pytest.raises(TransportError, match="another node of this process"):
            await node("same").start()
    async with running(node("same")):
        pass


async def test_a_node_that_stops_is_linked_again_once_it_is_back() -> None:
    async with running(a := node("a", "b")):
        for _ in range(2):
            async with running(node("b")):
                await eventually(lambda: a.links == ["b"], "linked")
            await eventually(lambda: a.links == [], "gone")
        await eventually(lambda: "no node of this process" in str(a.get_mesh_status()["faults"]), "told")


async def test_a_burst_waits_for_a_reader_and_arrives_whole() -> None:
    async with running(a := node("a"), b := node("b", "a")):
        await eventually(lambda: a.links == ["b"] and b.links == ["a"], "linked")
        heard = Received()
        b.subscribe("t", heard)
        for number in range(2_000):
            a.publish("t", {"number": number, "text": "x" * 1_000})
        assert a.ledger()["egress"]["in_flight"] > 0
        await heard.wait(2_000)
        assert [event.data["number"] for event in heard.events] == list(range(2_000))
        await asyncio.sleep(0)
        settled(a)
