"""Durable groups: what is published for them is handled, whoever is there when."""

import asyncio

import pytest
from durable_meshes import GROUP, STREAM, SUBJECT, Worker, counts, durable_node, known_to, pending, worker_process
from mesh_nodes import node, running
from raw_ws import eventually
from redis_meshes import all_meet, balanced, on_redis, redis_node
from redis_servers import redis_server

from lexmesh import ConfigError, StreamEvent, SubjectError


async def test_each_event_is_handled_once_by_some_member() -> None:
    with redis_server() as server:
        nodes = [durable_node(f"n{number}", server) for number in range(3)]
        workers = [Worker(one) for one in nodes[:2]]
        async with running(*nodes):
            await all_meet(nodes)
            await known_to(nodes)
            for number in range(500):
                nodes[number % 3].publish(SUBJECT, number)
            for one in nodes:
                await one.stored()
            await eventually(lambda: sum(one.got.total() for one in workers) == 500, "all are done")
            assert set(workers[0].got) | set(workers[1].got) == set(range(500))
            assert all(one.got for one in workers)
            await eventually(lambda: pending(server) == 0, "all are acknowledged")
            await eventually(lambda: balanced(nodes), "balanced ledgers")
            await eventually(lambda: server.say("XLEN", STREAM) == 0, "what is done is trimmed")


async def test_what_comes_while_nobody_is_there_waits() -> None:
    with redis_server() as server:
        first = durable_node("n0", server)
        async with running(first):
            worker = Worker(first)
            await first.stored()
        publisher = durable_node("n1", server)
        async with running(publisher):
            await known_to([publisher])
            for number in range(10):
                publisher.publish(SUBJECT, number)
            await publisher.stored()
        assert not worker.got
        last = durable_node("n2", server)
        async with running(last):
            worker = Worker(last)
            await eventually(lambda: worker.got.total() == 10, "all are done")
            assert set(worker.got) == set(range(10))


async def test_a_failure_is_tried_again() -> None:
    with redis_server() as server:
        one = durable_node("n0", server)
        async with running(one):
            worker = Worker(one)
            worker.failing = 2
            await one.stored()
            one.publish(SUBJECT, "a")
            await eventually(lambda: worker.got["a"] == 1, "it is done at last")
            assert counts(one)["failed"] == 2
            assert counts(one)["done"] == 1
            await eventually(lambda: pending(server) == 0, "it is acknowledged")
            assert balanced([one])


async def test_async_handlers_work_side_by_side() -> None:
    with redis_server() as server:
        one = durable_node("n0", server)
        async with running(one):
            arrived = asyncio.Event()
            here: list[StreamEvent] = []

            async def handler(event: StreamEvent) -> None:
                here.append(event)
                if len(here) == 50:
                    arrived.set()
                await arrived.wait()

            one.subscribe(SUBJECT, handler, group=GROUP, durable=True)
            await one.stored()
            for number in range(50):
                one.publish(SUBJECT, number)
            await eventually(lambda: counts(one)["done"] == 50, "all are done")


async def test_who_dies_leaves_his_work_to_others() -> None:
    with redis_server() as server:
        last = durable_node("n1", server)
        with worker_process(server, "n0", hangs=True) as process:
            async with running(last):
                await known_to([last])
                await eventually(lambda: "n0" in on_redis(last)["nodes"], "they know each other")
                for number in range(20):
                    last.publish(SUBJECT, number)
                await last.stored()
                await eventually(lambda: pending(server) == 20, "the other has all")
                worker = Worker(last)
                process.kill()
                await eventually(lambda: worker.got.total() == 20, "all are done here", 20)
                assert set(worker.got) == set(range(20))
                assert counts(last)["taken_over"] == 20


async def test_a_node_that_starts_anew_does_what_it_had_begun() -> None:
    with redis_server() as server:
        with worker_process(server, "n0", hangs=True) as process:
            publisher = durable_node("n1", server)
            async with running(publisher):
                await known_to([publisher])
                publisher.publish(SUBJECT, "a")
                await eventually(lambda: pending(server) == 1, "it has begun")
            process.kill()
        one = durable_node("n0", server, durable_seconds=3600)
        worker = Worker(one)
        async with running(one):
            await eventually(lambda: worker.got["a"] == 1, "it is done")


async def test_who_stops_gives_back_what_he_cannot_end() -> None:
    with redis_server() as server:
        one, other = durable_node("n0", server, durable_seconds=3600), durable_node("n1", server, durable_seconds=3600)
        begun = asyncio.Event()

        async def hang(_: StreamEvent) -> None:
            begun.set()
            await asyncio.Event().wait()

        one.subscribe(SUBJECT, hang, group=GROUP, durable=True)
        async with running(one):
            await one.stored()
            one.publish(SUBJECT, "a")
            await begun.wait()
        assert one.ledger()["balanced"]
        worker = Worker(other)
        async with running(other):
            await eventually(lambda: worker.got["a"] == 1, "the other does it")


async def test_a_handler_that_takes_too_long_is_tried_again_and_given_up() -> None:
    with redis_server() as server:
        one = durable_node("n0", server, durable_seconds=0.2, durable_attempts=2)

        async def hang(_: StreamEvent) -> None:
            await asyncio.Event().wait()

        one.subscribe(SUBJECT, hang, group=GROUP, durable=True)
        async with running(one):
            await one.stored()
            one.publish(SUBJECT, "a")
            await eventually(lambda: counts(one)["dead"] == 1, "it is given up")
            assert counts(one)["failed"] == 2
            await eventually(lambda: balanced([one]), "balanced ledger")


async def test_two_groups_both_get_all_and_one_subject_may_match_two_patterns() -> None:
    with redis_server() as server:
        one = durable_node("n0", server)
        workers = [Worker(one), Worker(one, group="others"), Worker(one, subject="work.>"), Worker(one, subject="else")]
        async with running(one):
            await one.stored()
            for number in range(10):
                one.publish(SUBJECT, number)
            await one.stored()
            await eventually(lambda: all(each.got.total() == 10 for each in workers[:3]), "all have all")
            assert not workers[3].got


async def test_what_is_stored_twice_is_done_once() -> None:
    """As a node does whose connection was lost before the confirmation came."""
    with redis_server() as server:
        nodes = [durable_node(f"n{number}", server) for number in range(2)]
        workers = [Worker(one) for one in nodes]
        async with running(*nodes):
            await all_meet(nodes)
            await known_to(nodes)
            event = StreamEvent(SUBJECT, "a", source_node="far", id="far:1:1").to_proto()
            for _ in range(20):
                server.say("XADD", STREAM, "*", "message", event)
            await eventually(lambda: sum(counts(one)["duplicates"] for one in nodes) == 19, "19 duplicates")
            assert sum(one.got["a"] for one in workers) == 1
            await eventually(lambda: pending(server) == 0, "all are acknowledged")


async def test_an_answer_goes_to_who_published() -> None:
    with redis_server() as server:
        one, other = durable_node("n0", server), durable_node("n1", server)
        one.subscribe(SUBJECT, lambda event: {"double": 2 * event.data}, group=GROUP, durable=True)
        async with running(one, other):
            await all_meet([one, other])
            await known_to([one, other])
            assert (await other.request("", SUBJECT, 21)).data == {"double": 42}


async def test_nodes_without_redis_have_theirs_stored_by_who_has_it() -> None:
    with redis_server() as server:
        one, other = durable_node("n0", server), durable_node("n1", server)
        worker = Worker(one)
        async with running(one, other):
            await all_meet([one, other])
            await known_to([one, other])
            far = node("far", one, other, enable_redis=False)
            async with running(far):
                await eventually(lambda: len(far.links) == 2, "linked to both")
                for number in range(50):
                    far.publish(SUBJECT, number)
                await eventually(lambda: worker.got.total() == 50, "all are done")
                assert set(worker.got) == set(range(50))


async def test_filters_and_the_end_of_a_subscription() -> None:
    with redis_server() as server:
        one = durable_node("n0", server)
        worker = Worker(one)
        async with running(one):
            await one.stored()
            one.pipeline.add_filter(lambda event: event.data != "b" or event.depth == 0)  # not on its way back
            for data in "abc":
                one.publish(SUBJECT, data)
            await eventually(lambda: worker.got == {"a": 1, "c": 1} and counts(one)["filtered"] == 1, "but one")
            assert one.unsubscribe(SUBJECT, worker)
            assert not one.unsubscribe(SUBJECT, worker)
            one.publish(SUBJECT, "d")
            await one.stored()
            await eventually(lambda: server.say("XLEN", STREAM) == 1, "it waits")
            one.subscribe(SUBJECT, worker, group=GROUP, durable=True)
            await eventually(lambda: worker.got["d"] == 1, "it is done")


def test_durable_without_redis_or_name_is_an_error() -> None:
    one = node("n0", enable_redis=False)
    with pytest.raises(ConfigError, match="durable groups need it; set it to true"):
        one.subscribe(SUBJECT, print, group=GROUP, durable=True)
    other = redis_node("n1", "redis://localhost:1")
    with pytest.raises(ValueError, match="group"):
        other.subscribe(SUBJECT, print, durable=True)
    with pytest.raises(SubjectError):
        other.subscribe("a..b", print, group=GROUP, durable=True)
    with pytest.raises(TypeError):
        other.subscribe(SUBJECT, None, group=GROUP, durable=True)


async def test_what_is_dropped_while_redis_is_away_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(appendonly="yes", appendfsync="always") as server:
        one = durable_node("n0", server, overflow_bytes=65_536)
        worker = Worker(one)
        async with running(one):
            await one.stored()
            server.stop()
            await eventually(lambda: not on_redis(one)["up"], "it is away")
            for number in range(100):
                one.publish(SUBJECT, f"{number} " + "x" * 4000)
                await asyncio.sleep(0)
            server.start()
            await one.stored(20)
            await eventually(lambda: on_redis(one)["durable_lost"] > 0, "it is said")
            await eventually(lambda: worker.got.total() == 100 - on_redis(one)["durable_lost"], "the others are done")
            assert worker.got.total() >= 10
            assert "were dropped before Redis had them" in caplog.text
            await eventually(lambda: balanced([one]), "balanced ledger")


async def test_what_waits_when_a_node_stops_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        one = durable_node("n0", server)
        Worker(one)
        async with running(one):
            await one.stored()
            server.stop()
            await eventually(lambda: not on_redis(one)["up"], "it is away")
            for number in range(7):
                one.publish(SUBJECT, number)
        assert f"7 events on {SUBJECT} were dropped before Redis had them" in caplog.text
