"""Nodes over real sockets: links, broadcasts and direct messages over any topology, state, crashes, refusals."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from cut_proxy import CutProxy
from mesh_nodes import (
    FULL_5,
    LINE_OF_4,
    RING_OF_5,
    STAR_OF_5,
    knows_all,
    linked,
    mesh_of,
    node,
    running,
    settled,
    url_of,
)
from raw_ws import BINARY, RawClient, Received, eventually, frame, text

from lexmesh import DeniedError, MeshCore, RequestTimeoutError, StreamEvent, WebSocketClient, WebSocketServer
from lexmesh.transports.wall_clock import now_ms

TOPOLOGIES = {"line": LINE_OF_4, "ring": RING_OF_5, "star": STAR_OF_5, "full": FULL_5, "pair": (2, [(1, 0)])}


def taken(nodes: list[MeshCore]) -> int:
    return sum(one.ledger()["taken"] for one in nodes)


async def quiet(nodes: list[MeshCore]) -> None:
    """Waits until nothing is on its way: each copy of a message that one node sent another has been taken in."""
    names = {one.node_id for one in nodes}

    def is_quiet() -> bool:
        ledgers = [one.ledger() for one in nodes]
        links = [link for ledger in ledgers for link in ledger["links"] if link["name"] in names]
        sent = sum(link["egress"]["delivered"] for link in links)
        received = sum(sum(link["ingress"].values()) for link in links)
        return sent == received and all(ledger["egress"]["in_flight"] == 0 for ledger in ledgers)

    await eventually(is_quiet, "quiet")


# -- broadcasts and direct messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", TOPOLOGIES)
async def test_a_broadcast_arrives_once_at_every_node(shape: str) -> None:
    async with mesh_of(*TOPOLOGIES[shape]) as nodes:
        heard = {one.node_id: Received() for one in nodes}
        for one in nodes:
            one.subscribe("ritual_start", heard[one.node_id])
        sent = [
            await one.broadcast_event("ritual_start", {"from": one.node_id, "number": number})
            for number in range(20)
            for one in nodes
        ]
        await quiet(nodes)
        for one in nodes:
            assert sorted(event.id for event in heard[one.node_id].events) == sorted(sent)
            for other in nodes:
                own = [
                    event.data["number"] for event in heard[one.node_id].events if event.source_node == other.node_id
                ]
                assert own == list(range(20)), "in the order of each source"
            settled(one)
            assert one.ledger()["ingress"]["malformed"] == one.ledger()["ingress"]["looped"] == 0


@pytest.mark.parametrize("shape", ["line", "ring", "star"])
async def test_a_direct_message_reaches_its_node_alone_over_hops(shape: str) -> None:
    async with mesh_of(*TOPOLOGIES[shape]) as nodes:
        heard = {one.node_id: Received() for one in nodes}
        for one in nodes:
            one.subscribe("agent_message", heard[one.node_id])
        for one in nodes:
            for other in nodes:
                await one.send_to_node(other.node_id, "agent_message", f"{one.node_id} to {other.node_id}")
        await quiet(nodes)
        for one in nodes:
            texts = [event.data for event in heard[one.node_id].events]
            assert sorted(texts) == sorted(f"{other.node_id} to {one.node_id}" for other in nodes)
            settled(one)


async def test_clients_of_different_nodes_hear_each_other_once() -> None:
    async with mesh_of(*RING_OF_5) as nodes:
        url = [url_of(one) for one in nodes]
        heard, named = Received(), Received()
        async with WebSocketClient("hears", url[2]) as hears, WebSocketClient("says", url[0]) as says:
            await hears.subscribe("sensor_reading", handler=heard)
            hears.register_handler("note", named)
            ids = [says.publish("sensor_reading", number) for number in range(500)]
            says.publish("note", "for you", target_node="hears")
            await says.flush()
            await quiet(nodes)
            await heard.wait(500)
            await named.wait()
        assert [event.id for event in heard.events] == ids
        assert len(named.events) == 1
        assert nodes[2].ledger()["subjects"]["sensor_reading"]["ingress"]["duplicate"] == 500


@pytest.mark.parametrize("message", [{"type": "t"}, {"type": "t", "source_node": "n0"}, {"type": "t", "id": "n0:5:5"}])
async def test_what_a_client_does_not_name_or_names_like_its_node_goes_round_once(message: dict[str, Any]) -> None:
    async with mesh_of(*RING_OF_5) as nodes:
        heard = [Received() for _ in nodes]
        for one, handler in zip(nodes, heard, strict=True):
            one.subscribe("t", handler)
        client = await RawClient.connect(nodes[0].port)
        client.send(text(message))
        await client.flush()
        await client.aclose()
        await quiet(nodes)
        assert [len(handler.events) for handler in heard] == [1] * 5


async def test_a_message_without_a_number_cannot_go_round_for_ever() -> None:
    async with mesh_of(*RING_OF_5) as nodes:
        client = await RawClient.connect(nodes[0].port, subprotocol="lexmesh.v1.proto")
        event = b"\x0a\x01x\x1a\x01t\x38\x05"  # source x, type t, epoch 5, no seq
        client.send(frame(BINARY, b"\x0a" + bytes([len(event)]) + event))
        await eventually(lambda: taken(nodes) >= 6, "each node has seen it")
        await quiet(nodes)
        assert taken(nodes) == 7  # both ways round, each ends where the other has been
        await client.aclose()


async def test_requests_over_hops() -> None:
    async with mesh_of(*LINE_OF_4) as nodes:
        nodes[3].subscribe("double", lambda event: {"twice": 2 * event.data})
        nodes[1].subscribe("never", lambda event: None)
        assert (await nodes[0].request("n3", "double", 21)).data == {"twice": 42}
        assert (await nodes[1].request("", "double", 4)).data == {"twice": 8}
        with pytest.raises(RequestTimeoutError):
            await nodes[0].request("n1", "never", timeout=0.2)
        async with WebSocketClient("asks", url_of(nodes[0])) as client:
            assert (await client.request("double", 5)).data == {"twice": 10}
        await quiet(nodes)


async def test_a_node_answers_its_own_requests_and_the_first_answer_counts() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        one = nodes[0]

        async def slowly(event: StreamEvent) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"slowly": event.data}

        one.subscribe("double", lambda event: {"type": "doubled", "twice": 2 * event.data})
        one.subscribe("slow", slowly)
        nodes[1].subscribe("double", lambda event: {"twice": "too late"})
        answer = await one.request("", "double", 4)
        assert (answer.event_type, answer.data["twice"], answer.source_node) == ("doubled", 8, "n0")
        assert (await one.request("n0", "double", 5)).data["twice"] == 10
        assert (await one.request("n1", "double", 5)).data == {"twice": "too late"}
        assert (await one.request("n0", "slow", 6)).data == {"slowly": 6}
        answers = await asyncio.gather(*(one.request("n0", "slow", number) for number in range(50)))
        assert [answer.data["slowly"] for answer in answers] == list(range(50))
        await quiet(nodes)


async def test_an_answer_to_an_unnamed_client_of_another_node_reaches_it_and_no_other() -> None:
    async with mesh_of(*LINE_OF_4) as nodes:
        nodes[3].subscribe("double", lambda event: {"twice": 2 * event.data})
        asks, other = await RawClient.connect(nodes[0].port), await RawClient.connect(nodes[0].port)
        other.send(text({"type": "note", "data": "unnamed too"}))
        asks.send(text({"type": "double", "data": 1}), text({"type": "double", "data": 2}))
        answers = [await asks.json() for _ in range(2)]
        assert [answer["data"] for answer in answers] == [{"twice": 2}, {"twice": 4}]
        assert answers[0]["reply_to"].startswith("n0:") and answers[0]["reply_to"] != answers[1]["reply_to"]
        forged = {"type": "reply", "target_node": "n0", "data": "forged"}
        asks.send(text({**forged, "reply_to": answers[1]["reply_to"].rpartition(":")[0] + ":3"}))
        asks.send(text({**forged, "reply_to": "n0:1:1"}), text({**forged, "reply_to": "no id"}))
        await asks.flush()
        await other.flush()
        assert len(other.seen) == 1, "the ack"
        await asks.aclose()
        await other.aclose()
        await quiet(nodes)
        await eventually(lambda: len(nodes[0].pipeline.core.router.connections) == 1, "the link alone")


async def test_an_own_answer_that_nobody_waits_for_goes_nowhere_and_one_that_is_denied_is_counted() -> None:
    async with running(one := node("one")):
        one.subscribe("t", lambda event: {"answer": event.data})
        one.subscribe("denied", lambda _event: {"consent_override": "yes"})
        taken = one.ledger()["taken"]
        one.publish("t", 1)
        assert one.ledger()["taken"] == taken + 1
        with pytest.raises(RequestTimeoutError):
            await one.request("one", "denied", timeout=0.1)
        assert one.ledger()["denied_by_rule"] == {"consent-override": 1}


async def test_depth_ends_a_loop_of_handlers() -> None:
    async with mesh_of(2, [(1, 0)], max_recursion_depth=7) as nodes:
        nodes[0].subscribe("ping", lambda _event: nodes[0].publish("pong"))
        nodes[1].subscribe("pong", lambda _event: nodes[1].publish("ping"))
        nodes[0].publish("ping")
        nodes[1].publish("ping")
        await eventually(lambda: sum(one.ledger()["ingress"]["looped"] for one in nodes) == 2, "the end of both")
        await quiet(nodes)


async def test_a_node_polices_what_it_publishes() -> None:
    async with running(one := node("n0")):
        with pytest.raises(DeniedError):
            await one.broadcast_event("bio_sync", {}, metadata={"consent_override": "force"})
        assert one.ledger()["ingress"]["denied"] == 1


# -- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(5))
async def test_two_that_dial_each_other_keep_one_link_and_lose_nothing(attempt: int) -> None:
    a, b = node("a"), node("b")
    heard = Received()
    async with running(a, b):
        b.subscribe("t", heard)
        for one, other in ((a, b), (b, a))[:: 1 - 2 * (attempt % 2)]:
            one.link_to(url_of(other))
        await eventually(lambda: a.links == ["b"] and b.links == ["a"], "linked")
        for number in range(200):
            a.publish("t", number)
            await asyncio.sleep(0)
        await eventually(lambda: len(a.ledger()["links"]) == len(b.ledger()["links"]) == 1, "one link")
        await heard.wait(200)
        assert sorted(event.data for event in heard.events) == list(range(200))


async def test_a_node_with_two_urls_for_one_peer_has_one_link_that_stays() -> None:
    async with running(a := node("a")):
        b = node("b", f"ws://localhost:{a.port}", f"ws://127.0.0.1:{a.port}")
        async with running(b):
            await eventually(lambda: a.links == ["b"] and b.links == ["a"], "linked")
            await eventually(lambda: len(a.ledger()["links"]) == 1 == len(b.ledger()["links"]), "one link")
            heard = Received()
            a.subscribe("t", heard)
            await b.broadcast_event("t")
            await heard.wait()


async def test_a_node_that_is_its_own_peer_has_no_link() -> None:
    one = node("one")
    async with running(one):
        one.link_to(url_of(one))
        await eventually(lambda: one.get_mesh_status()["faults"], "refused")
        await eventually(lambda: one.ledger()["connections"] == 0, "closed")
        assert one.links == []
        assert one.get_mesh_status()["faults"] == {url_of(one): "this is the node itself"}


async def test_another_mesh_is_refused_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with running(a := node("a", mesh_name="one")):
        b = node("b", a, mesh_name="two")
        heard = Received()
        b.subscribe("t", heard)
        async with running(b):
            await eventually(lambda: b.get_mesh_status()["faults"], "refused")
            (reason,) = b.get_mesh_status()["faults"].values()
            assert "the node a is of the mesh 'one', not of 'two'" in reason
            assert a.links == b.links == []
            await a.broadcast_event("t")
            assert not heard.events
            assert [record.levelno for record in caplog.records if "of the mesh" in record.message]


async def test_a_second_node_of_a_name_is_refused() -> None:
    async with running(a := node("same")), running(b := node("same", a)):
        await eventually(lambda: b.get_mesh_status()["faults"], "refused")
        assert "names are unique in a mesh" in next(iter(b.get_mesh_status()["faults"].values()))


async def test_a_gateway_that_is_no_node_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with WebSocketServer("plain", port=0) as plain, running(b := node("b", f"ws://127.0.0.1:{plain.port}")):
        await eventually(lambda: "no node of a mesh" in caplog.text, "said")
        assert b.links == []


async def test_peers_of_peers_are_learned_and_linked() -> None:
    nodes = [node("n0", learned_links=8)]
    async with running(nodes[0]):
        for number in range(1, 5):
            nodes.append(node(f"n{number}", nodes[number - 1], learned_links=8))
            await nodes[number].start()
        try:
            await eventually(lambda: len(linked(nodes)) == 10, "each is linked to each")
            await knows_all(nodes)
            await nodes[1].stop()  # in the middle of what was configured
            heard = Received()
            nodes[4].subscribe("t", heard)
            await nodes[0].broadcast_event("t")
            await heard.wait()
        finally:
            for one in nodes[1:]:
                await one.stop()
                settled(one)


# -- who is there -----------------------------------------------------------------------------------------------------


async def test_nodes_several_hops_away_are_known_by_heart_and_load() -> None:
    async with mesh_of(*LINE_OF_4, capabilities=["t"]) as nodes:
        await knows_all(nodes)
        topology = nodes[0].registry.get_mesh_topology()
        assert topology["network_health"] == 1
        await eventually(
            lambda: nodes[0].registry.get_mesh_topology()["links"] == [["n0", "n1"], ["n1", "n2"], ["n2", "n3"]],
            "links",
        )
        assert nodes[0].registry.get_node_metrics("n1")["rtt"] < 1_000
        assert abs(nodes[0].phase.correction) < 1_000
        assert sorted(nodes[0].registry.get_nodes_by_capability("t")) == ["n0", "n1", "n2", "n3"]
        nodes[3].set_capabilities(["t", "u"])
        await eventually(lambda: nodes[0].registry.find_best_node_for_task("u") == "n3", "the new capability")
        status = nodes[0].get_mesh_status()
        assert status["connected_nodes"] == 3
        assert {"node_id", "status", "mesh_name", "connected_nodes", "uptime", "average_entropy"} < status.keys()
        assert {"total_recursion_depth", "nodes"} < status.keys()


async def test_who_says_goodbye_is_disconnected_everywhere_and_comes_back() -> None:
    async with mesh_of(3, [(1, 0), (2, 1)]) as nodes:
        await knows_all(nodes)
        await nodes[2].stop()
        await eventually(lambda: nodes[0].registry.get_node("n2")["status"] == "disconnected", "goodbye")
        await nodes[2].start()
        nodes[2].link_to(url_of(nodes[1]))
        await knows_all(nodes)


async def test_a_newcomer_does_not_wait_for_the_next_heartbeats_of_far_nodes() -> None:
    async with mesh_of(*LINE_OF_4, heartbeat_interval=3_600.0) as nodes:
        await knows_all(nodes)
        async with running(new := node("new", nodes[3], heartbeat_interval=3_600.0)):
            await knows_all([*nodes, new])


async def test_a_node_that_started_before_its_earlier_life_did_is_heard() -> None:
    async with mesh_of(2, [(1, 0)], heartbeat_interval=30.0, sync_interval=0.5) as nodes:
        earlier = node("n2").registry.table.own.changed(epoch=now_ms() + 3_600_000, leaving=True)
        assert nodes[0].registry.table.merge([earlier.data()], now_ms()) == ["n2"]
        async with running(again := node("n2", nodes[1], heartbeat_interval=30.0)):
            await eventually(lambda: again.links == ["n1"], "linked")
            await knows_all([*nodes, again])
            assert all(one.registry.get_node("n2")["epoch"] > earlier.epoch for one in nodes)
            heard = Received()
            nodes[0].subscribe("t", heard)
            nodes[1].link_to(url_of(again))  # a second link to the same node, not to one that has started anew
            for number in range(200):
                again.publish("t", number)
                await asyncio.sleep(0)
            await heard.wait(200)
            assert [event.data for event in heard.events] == list(range(200))
            assert nodes[1].links == ["n0", "n2"]
        await eventually(lambda: nodes[0].registry.get_node("n2")["status"] == "disconnected", "goodbye")


async def test_state_that_one_node_sets_is_read_on_all() -> None:
    async with mesh_of(*LINE_OF_4) as nodes:
        nodes[0].state.update_local_state("agents", "fibonacci", {"depth": 13})
        await eventually(lambda: all(one.state.get_local_state("agents", "fibonacci") for one in nodes), "written")
        nodes[3].state.delete_local_state("agents", "fibonacci")
        await eventually(lambda: not any(one.state.get_local_state("agents", "fibonacci") for one in nodes), "deleted")


async def test_a_change_reaches_ten_nodes_and_a_new_node_has_all_that_was_written_before() -> None:
    async with AsyncExitStack() as stack:
        nodes = [node("n0", learned_links=8)]
        await stack.enter_async_context(running(nodes[0]))
        for number in range(2_000):
            nodes[0].state.update_local_state("c", f"key {number}", {"value": number})
        nodes[0].state.delete_local_state("c", "key 7")
        for number in range(1, 10):
            nodes.append(node(f"n{number}", nodes[-1], learned_links=8))
            await stack.enter_async_context(running(nodes[-1]))
        await knows_all(nodes)
        await eventually(
            lambda: all(one.state.get_sync_status()["categories"].get("c", {}).get("keys") == 1_999 for one in nodes),
            "all keys",
        )
        assert len({one.state.get_sync_status()["categories"]["c"]["digest"] for one in nodes}) == 1
        nodes[4].state.update_local_state("c", "key 7", "again")
        await eventually(lambda: all(one.state.get_local_state("c", "key 7") == "again" for one in nodes), "the change")


async def test_what_was_written_apart_is_the_same_once_linked() -> None:
    nodes = [node(f"n{number}") for number in range(4)]
    async with running(*nodes):
        for one in nodes:
            for number in range(300):
                one.state.update_local_state("c", f"{one.node_id} {number}", number)
        for one, other in ((1, 0), (3, 2), (2, 1)):
            nodes[one].link_to(url_of(nodes[other]))
        await eventually(lambda: all(len(one.state.get_local_state("c")) == 1200 for one in nodes), "all of it")
        digests = {one.state.get_sync_status()["categories"]["c"]["digest"] for one in nodes}
        assert len(digests) == 1


async def test_bio_sync_comes_at_each_tick() -> None:
    one = node("one")
    ticking = MeshCore(one.config, frequency=4.0)
    heard = Received()
    ticking.subscribe("bio_sync", heard)
    async with running(ticking):
        events: list[StreamEvent] = await heard.wait(5)
    ticks = [event.data["tick"] for event in events]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert events[0].data["frequency"] == 4.0


async def test_the_snippet_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    from lexmesh import MeshConfig

    config = MeshConfig(
        mesh_name="my_spiral_mesh",
        websocket_port=0,
        redis_url="redis://localhost:6379",
        enable_redis=True,
        enable_websocket=True,
    )
    mesh = MeshCore(config)
    await mesh.start()

    def handle_agent_message(event_data: Any) -> None:
        print(f"Received agent message: {event_data}")

    mesh.register_event_handler("agent_message", handle_agent_message)
    await mesh.broadcast_event("ritual_start", {"ritual_type": "fibonacci_recursion"})
    await mesh.broadcast_event("agent_message", {"agent_id": "a"})
    assert capsys.readouterr().out == "Received agent message: {'agent_id': 'a'}\n"
    status = mesh.get_mesh_status()
    assert (status["connected_nodes"], status["total_recursion_depth"]) == (0, 0)
    await mesh.stop()
    assert mesh.get_mesh_status()["status"] == "disconnected"


async def test_a_partition_is_noticed_and_heals_within_five_seconds() -> None:
    async with running(a := node("a")), CutProxy(a.port) as wire, running(b := node("b")):
        b.link_to(f"ws://127.0.0.1:{wire.port}")
        await knows_all([a, b])
        wire.flows.clear()
        await eventually(lambda: not a.links and not b.links, "both cut what is silent", 20)
        assert a.registry.get_node("b")["status"] == b.registry.get_node("a")["status"] == "dormant"
        for one in (a, b):
            one.state.update_local_state("c", one.node_id, 1)
            one.state.update_local_state("c", "both", one.node_id)
        wire.flows.set()
        await eventually(lambda: a.links == ["b"] and b.links == ["a"], "linked", 5)
        await eventually(lambda: a.state.get_local_state("c") == b.state.get_local_state("c"), "the same state", 1)
        assert len(a.state.get_local_state("c")) == 3
        await knows_all([a, b])


# -- over gRPC --------------------------------------------------------------------------------------------------------


async def test_a_ring_over_grpc() -> None:
    async with mesh_of(*RING_OF_5, grpc_port=0) as nodes:
        heard = {one.node_id: Received() for one in nodes}
        for one in nodes:
            one.subscribe("t", heard[one.node_id])
        sent = [await one.broadcast_event("t", number) for number in range(20) for one in nodes]
        await nodes[0].send_to_node("n2", "t", "direct")
        await quiet(nodes)
        for one in nodes:
            ids = [event.id for event in heard[one.node_id].events if event.data != "direct"]
            assert sorted(ids) == sorted(sent)
        assert [len(found.events) for found in heard.values()] == [100, 100, 101, 100, 100]
        nodes[0].state.update_local_state("c", "k", 1)
        await eventually(lambda: all(one.state.get_local_state("c", "k") == 1 for one in nodes), "written")


async def test_over_grpc_two_that_dial_each_other_keep_one_link() -> None:
    a, b = node("a", grpc_port=0), node("b", grpc_port=0)
    async with running(a, b):
        a.link_to(url_of(b))
        b.link_to(url_of(a))
        await eventually(lambda: a.links == ["b"] and b.links == ["a"], "linked")
        await eventually(lambda: len(a.ledger()["links"]) == len(b.ledger()["links"]) == 1, "one link", 20)
        heard = Received()
        b.subscribe("t", heard)
        await a.broadcast_event("t")
        await heard.wait()


async def test_a_node_over_grpc_that_stops_is_linked_again() -> None:
    async with running(a := node("a")):
        b = node("b", grpc_port=0)
        async with running(b):
            a.link_to(f"grpc://127.0.0.1:{b.grpc_port}")
            await eventually(lambda: a.links == ["b"], "linked")
            port = b.grpc_port
        await eventually(lambda: not a.links, "gone")
        async with running(node("b", grpc_port=port)):
            await eventually(lambda: a.links == ["b"], "linked again", 5)


# -- rubbish ----------------------------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "node_id": "odd", "epoch": 5, "version": 0, "capabilities": [], "addresses": [], "leaving": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "hello", [None, 3, [], {}, {"mesh_name": "spiral_codex_mesh"}, {"mesh_name": 1, "entry": ENTRY}]
)
async def test_a_hello_that_is_none_is_refused(hello: Any) -> None:
    async with running(one := node("one")):
        client = await RawClient.connect(one.port)
        client.send(text({"type": "_lexmesh.hello", "data": hello}))
        assert await client.closed() == 1008
        await client.aclose()
        assert one.links == []


async def test_rubbish_of_a_node_changes_nothing_and_ends_nothing() -> None:
    beat = {"node": "odd", "epoch": 5, "number": 1, "load": {"cpu": 7, "queue_depth": -1, "links": [1]}}
    rubbish: list[Any] = [
        None, 3, [], {}, {"node": 1}, {**beat, "number": "1"}, {**beat, "load": None}, {**beat, "node": "one"}, beat,
        {"sent": "now"}, {"sent": 1e308, "time": 1e308}, {"sent": 1, "time": True}, {"whole": 3},
        {"versions": {"one": "x", "two": [1], "three": [None, None]}}, {"entries": [None, {}, {**ENTRY, "epoch": -1}]},
        {"entries": [{**ENTRY, "node_id": "one", "epoch": 1 << 50}]}, {"entries": 3}, {"roots": 3},
    ]  # fmt: skip
    async with mesh_of(2, [(1, 0)]) as nodes:
        client = await RawClient.connect(nodes[0].port)
        client.send(text({"type": "_lexmesh.mesh.beat", "data": beat}))
        assert (await client.json_of("_lexmesh.error"))["data"]["outcome"] == "refused", "who has said no hello"
        client.send(text({"type": "_lexmesh.hello", "data": {"mesh_name": "spiral_codex_mesh", "entry": ENTRY}}))
        await eventually(lambda: "odd" in nodes[0].links, "linked")
        for kind in ("mesh.beat", "mesh.probe", "mesh.answer", "mesh.nodes", "mesh.digest", "state.roots", "hello"):
            for data in rubbish:
                client.send(text({"type": f"_lexmesh.{kind}", "data": data}))
        await client.flush()
        assert sorted(nodes[0].links) == ["n1", "odd"]
        assert abs(nodes[0].phase.correction) < 60_000
        assert nodes[0].registry.get_node_metrics("odd")["cpu"] == 0
        heard = Received()
        nodes[1].subscribe("t", heard)
        await nodes[0].broadcast_event("t")
        await heard.wait()
        await client.aclose()


# -- many -------------------------------------------------------------------------------------------------------------


async def test_twelve_nodes_of_few_links_hang_together_without_the_one_that_all_were_told_of() -> None:
    first = node("first", learned_links=2)
    nodes = [node(f"n{number}", learned_links=2) for number in range(11)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first)
        for one in nodes:
            await stack.enter_async_context(one)
            one.link_to(url_of(first))
        await knows_all([first, *nodes])
        await first.stop()
        await eventually(lambda: all(reachable(one, nodes) == len(nodes) for one in nodes), "in one piece")
        assert len(linked(nodes)) <= 2 * len(nodes)
        heard = [Received() for _ in nodes]
        for one, handler in zip(nodes, heard, strict=True):
            one.subscribe("t", handler)
        for one in nodes:
            await one.broadcast_event("t")
        await quiet(nodes)
        assert [len(handler.events) for handler in heard] == [len(nodes)] * len(nodes)
        for one in nodes:
            settled(one)


def reachable(one: MeshCore, nodes: list[MeshCore]) -> int:
    """How many nodes a message can reach over links that both ends have."""
    pairs = linked(nodes)
    reached, waiting = set(), {one.node_id}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {other for pair in pairs if name in pair for other in pair} - reached
    return len(reached)


async def test_a_node_that_joins_is_active_everywhere_long_before_its_next_heartbeat() -> None:
    """Its first heartbeat may overtake its entry on the way."""
    async with mesh_of(4, [(0, 1), (1, 2), (2, 3)], heartbeat_interval=30.0) as nodes:
        await knows_all(nodes)
        async with running(late := node("late", url_of(nodes[3]), heartbeat_interval=30.0)):
            await knows_all([*nodes, late])
