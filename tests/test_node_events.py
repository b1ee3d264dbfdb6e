"""What nodes find out about each other, as events for their own handlers and clients."""

from typing import Any

import pytest
from mesh_nodes import knows_all, mesh_of, node, running
from raw_ws import RawClient, Received, eventually, text

from lexmesh import MeshConfig, MeshCore, NsrPolicy, StreamEvent, WebSocketClient

SUBJECTS = ("node_register", "node_unregister", "heartbeat")


def told(heard: Received, event_type: str, name: str) -> list[Any]:
    return [event.data for event in heard.events if event.event_type == event_type and event.data["node_id"] == name]


async def test_a_node_that_comes_beats_and_leaves_is_told_to_handlers_and_clients_of_each_node() -> None:
    async with running(first := node("first"), middle := node("middle")):
        middle.link_to(f"ws://127.0.0.1:{first.port}")
        here, there = Received(), Received()
        for subject in SUBJECTS:
            first.subscribe(subject, here)
        async with WebSocketClient("screen", f"ws://127.0.0.1:{first.port}") as client:
            await client.subscribe(*SUBJECTS, handler=there)
            async with running(late := node("late", middle, capabilities=["sequence"])):
                for heard in (here, there):
                    await eventually(lambda heard=heard: len(told(heard, "heartbeat", "late")) >= 2, "beats")  # type: ignore[misc]
                (joined,) = told(here, "node_register", "late")
                assert joined["status"] == "active"
                assert joined["capabilities"] == ["sequence"]
                beat = told(there, "heartbeat", "late")[-1]
                assert {"cpu", "queue_depth", "entropy_level", "recursion_depth", "total_messages"} < beat.keys()
                await eventually(lambda: told(there, "heartbeat", "late")[-1]["links"] == ["middle"], "its links")
                assert late.links == ["middle"]
            for heard in (here, there):
                await eventually(lambda heard=heard: told(heard, "node_unregister", "late"), "gone")  # type: ignore[misc]
            (left,) = told(there, "node_unregister", "late")
            assert left["status"] == "disconnected"
            assert {event.source_node for event in there.events} == {"first"}, "each node tells its own"
            await eventually(lambda: told(here, "heartbeat", "first"), "this node's own heartbeats too")


async def test_node_events_cross_no_link_and_are_counted_only_where_somebody_listens() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard = Received()
        nodes[0].subscribe("heartbeat", heard)
        await heard.wait(4)
        assert "heartbeat" not in nodes[1].ledger()["subjects"]
        counts = nodes[0].ledger()["subjects"]["heartbeat"]
        assert counts["ingress"]["routed"] == counts["egress"]["delivered"] == len(heard.events)
        links = {link["name"]: link for link in nodes[0].ledger()["links"]}
        assert links["n1"]["egress"]["delivered"] == 0


async def test_a_node_that_died_is_unregistered_and_comes_back_registered() -> None:
    async with running(watch := node("watch")):
        heard = Received()
        for subject in SUBJECTS[:2]:
            watch.subscribe(subject, heard)
        client = await RawClient.connect(watch.port)
        entry = {"node_id": "odd", "epoch": 5, "version": 0, "capabilities": [], "addresses": [], "leaving": False}
        beat = {"node": "odd", "epoch": 5, "number": 1, "load": {"cpu": 0.5}}
        client.send(text({"type": "_lexmesh.hello", "data": {"mesh_name": "spiral_codex_mesh", "entry": entry}}))
        client.send(text({"type": "_lexmesh.mesh.beat", "data": beat}))
        await eventually(lambda: told(heard, "node_register", "odd"), "there")
        assert told(heard, "node_register", "odd")[0]["status"] == "active"
        await eventually(lambda: told(heard, "node_unregister", "odd"), "silent")
        assert told(heard, "node_unregister", "odd")[0]["status"] == "dormant"
        client.send(text({"type": "_lexmesh.mesh.beat", "data": {**beat, "number": 2}}))
        await eventually(lambda: len(told(heard, "node_register", "odd")) == 2, "back")
        await client.aclose()


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_forged_node_event_is_an_event_and_changes_no_registry(subject: str) -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        await knows_all(nodes)
        heard = Received()
        nodes[1].subscribe(subject, heard)
        forged = {"node_id": "n0", "status": "disconnected", "capabilities": ["everything"], "epoch": 1 << 50}
        client = await RawClient.connect(nodes[0].port)
        client.send(text({"type": subject, "data": forged}))
        client.send(text({"type": subject, "source_node": "n1", "data": {**forged, "node_id": "ghost"}}))
        await eventually(lambda: told(heard, subject, "ghost"), "the forged ones, as events")
        for one in nodes:
            assert {node["node_id"] for node in one.registry.get_all_nodes()} == {"n0", "n1"}
            assert one.registry.find_best_node_for_task("everything") is None
            assert len(one.registry.get_active_nodes()) == 2
        await client.aclose()


async def test_the_policy_may_refuse_node_events_and_ends_nothing_by_that() -> None:
    policy = NsrPolicy.loads("""
[[rule]]
name = "no-beats"
scope = ["event type"]
markers.heartbeat = []
""")
    quiet, plain = MeshCore(MeshConfig(node_id="quiet", websocket_port=0), policy=policy), node("plain")
    async with running(quiet, plain):
        heard = Received()
        quiet.subscribe("*", heard)
        quiet.link_to(f"ws://127.0.0.1:{plain.port}")
        await eventually(lambda: told(heard, "node_register", "plain"), "there")
        await eventually(lambda: quiet.ledger()["denied_by_rule"].get("no-beats", 0) >= 2, "refused")
        assert quiet.links == ["plain"]
        assert not [event for event in heard.events if event.event_type == "heartbeat"]


async def test_a_handler_that_registers_nodes_at_each_registration_ends_by_depth() -> None:
    async with running(one := node("one")):
        heard = Received()

        def register(event: StreamEvent) -> None:
            heard(event)
            one.registry.register_node(f"made-up-{len(heard.events)}")

        one.subscribe("node_register", register)
        one.registry.register_node("first")
        assert 40 < len(heard.events) < 50
        assert one.ledger()["ingress"]["looped"] == 1
