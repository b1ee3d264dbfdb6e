"""Durable groups: what is published for them is handled, whoever is there when."""

import asyncio

from durable_meshes import GROUP, STREAM, SUBJECT, Worker, counts, durable_node, known_to, pending
from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import all_meet, balanced
from redis_servers import redis_server

from lexmesh import StreamEvent


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
