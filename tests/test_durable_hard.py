"""Durable work with handlers and operators that make it hard: nothing is stuck, and nothing done twice for it."""

import asyncio
from collections.abc import Iterator

import pytest
from durable_meshes import GROUP, STREAM, SUBJECT, Worker, counts, durable_node, known_to, pending
from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import balanced
from redis_servers import RedisServer, redis_server

from lexmesh import StreamEvent
from lexmesh.transports.durable.page import MOST_AT_ONCE, PageSize

REGISTRY = "spiral_codex_mesh:durable"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


async def test_more_failures_than_may_wait_do_not_stop_the_group(server: RedisServer) -> None:
    one = durable_node("n0", server)
    worker = Worker(one)
    worker.failing = 1500
    async with running(one):
        await one.stored()
        for number in range(1500):
            one.publish(SUBJECT, number)
        await eventually(lambda: len(worker.got) == 1500, "all are done in the end", 30)
        assert worker.got.total() == 1500


class Own(BaseException):
    """Not an Exception."""


async def test_a_handler_that_is_cut_off_by_itself_is_tried_again(server: RedisServer) -> None:
    one = durable_node("n0", server, durable_attempts=9)
    raised = [asyncio.CancelledError, asyncio.CancelledError, Own]
    got = []

    def sync(event: StreamEvent) -> None:
        if raised and event.data == "sync":
            raise raised.pop()
        got.append(event.data)

    late = [asyncio.CancelledError]

    async def other(event: StreamEvent) -> None:
        if late:
            raise late.pop()
        got.append(f"async {event.data}")

    one.subscribe(SUBJECT, sync, group=GROUP, durable=True)
    one.subscribe(SUBJECT, other, group="others", durable=True)
    async with running(one):
        await one.stored()
        one.publish(SUBJECT, "sync")
        await eventually(lambda: sorted(got) == ["async sync", "sync"], lambda: f"{got} {counts(one)}", 20)
        await eventually(lambda: pending(server) == 0, "it is acknowledged")
        await eventually(lambda: balanced([one]), "balanced ledger")


async def test_a_filter_that_never_ends_is_an_attempt(server: RedisServer) -> None:
    one = durable_node("n0", server, durable_seconds=0.3, durable_attempts=2)
    worker = Worker(one)

    async def hang(event: StreamEvent) -> bool:
        if event.data == "bad" and event.depth:
            await asyncio.Event().wait()
        return True

    async with running(one):
        await one.stored()
        for data in ("bad", "good"):
            event = StreamEvent(SUBJECT, data, source_node="far", id=f"far:1:{len(data)}", depth=1)
            server.say("XADD", STREAM, "*", "message", event.to_proto())
        one.pipeline.add_filter(hang)
        await eventually(lambda: worker.got == {"good": 1}, "what is behind it is done")
        await eventually(lambda: counts(one)["dead"] == 1, "it is given up")


def test_pages_shrink_behind_slow_handlers_and_for_big_messages() -> None:
    page = PageSize()
    for _ in range(9):
        page.had(1000, 0.0)
    assert page.size == MOST_AT_ONCE
    page.begin()
    first = page.size
    assert first < MOST_AT_ONCE
    page.had(1000, 2.0)
    assert page.size == first // 2
    for _ in range(9):
        page.had(8 << 20, 0.0)
    assert page.size == 1


async def test_a_group_that_an_operator_has_ended_begins_empty(server: RedisServer) -> None:
    """Though its stream goes on for another group."""
    one = durable_node("n0", server)
    first = Worker(one)
    let_go = asyncio.Event()

    async def waits(_: StreamEvent) -> None:
        await let_go.wait()

    one.subscribe(SUBJECT, waits, group="others", durable=True)
    async with running(one):
        await one.stored()
        for number in range(5):
            one.publish(SUBJECT, number)
        await eventually(lambda: first.got.total() == 5, "all are done")
        await eventually(lambda: pending(server) == 0, "and acknowledged")
        server.say("HSET", REGISTRY, f"{GROUP} {SUBJECT}", "0")
        server.say("XGROUP", "DESTROY", STREAM, GROUP)
        await eventually(lambda: server.say("HGET", REGISTRY, f"{GROUP} {SUBJECT}") == b"1", "it is there anew")
        one.publish(SUBJECT, "new")
        await eventually(lambda: first.got["new"] == 1, "it does what comes now")
        assert first.got.total() == 6
        let_go.set()


async def test_a_registry_that_is_gone_is_written_again_by_whose_groups_it_had(server: RedisServer) -> None:
    one = durable_node("n0", server)
    Worker(one)
    async with running(one):
        await one.stored()
        server.say("DEL", REGISTRY)
        await eventually(lambda: server.say("HGET", REGISTRY, f"{GROUP} {SUBJECT}") == b"1", "it is there again")


async def test_a_group_without_handlers_leaves_nothing_behind(server: RedisServer) -> None:
    one = durable_node("n0", server)
    async with running(one):
        for number in range(80):
            worker = Worker(one, group=f"g{number}")
            assert one.unsubscribe(SUBJECT, worker)
        worker = Worker(one)
        await one.stored()
        await eventually(lambda: len(one.get_mesh_status()["redis"]["durable"]) == 1, "the others are over")
        one.publish(SUBJECT, "a")
        await eventually(lambda: worker.got["a"] == 1, "this one works")


async def test_one_bad_key_holds_up_no_other_group_and_is_said_once(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.say("SET", "spiral_codex_mesh:stream:bad", "x")
    server.say("SET", "spiral_codex_mesh:dead", "x")
    one = durable_node("n0", server, durable_attempts=1)
    Worker(one, subject="bad")
    worker = Worker(one)
    worker.failing = 1
    async with running(one):
        await known_to([one], SUBJECT, "bad")
        for number in range(40):
            one.publish("bad", number)
            one.publish(SUBJECT, number)
            await asyncio.sleep(0)
        await eventually(lambda: worker.got.total() == 39, "the other works")
        before = len(caplog.records)
        turns = asyncio.get_running_loop().time() + 2.5
        await eventually(lambda: asyncio.get_running_loop().time() > turns, "it has been tried again a few times")
        for number in range(5):
            one.publish("bad", number)
            one.publish(SUBJECT, f"more {number}")
        await eventually(lambda: worker.got.total() == 44, "and goes on")
        said = [record.getMessage() for record in caplog.records[before:] if record.name == "lexmesh.redis"]
        assert len(said) == len(set(said)), said
        server.say("DEL", "spiral_codex_mesh:dead")
        await eventually(lambda: counts_of(one, SUBJECT)["dead"] == 1, "the dead letter at last")


def counts_of(one: object, subject: str) -> dict[str, object]:
    durable = one.get_mesh_status()["redis"]["durable"]  # type: ignore[attr-defined]
    found: dict[str, object] = next(each for each in durable if each["subject"] == subject)
    return found


async def test_what_a_server_that_is_getting_full_has_stored_is_not_stored_again(server: RedisServer) -> None:
    one, publisher = durable_node("n0", server), durable_node("n1", server)
    Worker(one)
    async with running(one):
        await one.stored()
    async with running(publisher):
        await known_to([publisher])
        server.say("CONFIG", "SET", "maxmemory", server.say("INFO", "memory")["used_memory"] + 1_000_000)
        for number in range(300):
            publisher.publish(SUBJECT, f"{number:010000}")
        await eventually(lambda: server.say("XLEN", STREAM) > 10, "some are stored")
        full = asyncio.get_running_loop().time() + 1.5
        await eventually(lambda: asyncio.get_running_loop().time() > full, "it has been tried again a few times")
        server.say("CONFIG", "SET", "maxmemory", 0)
        await publisher.stored()
        assert server.say("XLEN", STREAM) == 300


async def test_a_handler_may_stop_its_own_node(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """And new groups are not said to have been lost."""
    one = durable_node("n0", server, durable_seconds=30.0)
    stopped = asyncio.Event()

    async def stop(_: StreamEvent) -> None:
        await one.stop()
        stopped.set()

    async with running(one):
        for number in range(30):
            Worker(one, subject=">", group=f"g{number}")
        one.subscribe(SUBJECT, stop, group=GROUP, durable=True)
        await one.stored()
        assert not [record for record in caplog.records if "has lost" in record.getMessage()]
        one.publish(SUBJECT, "a")
        async with asyncio.timeout(10):
            await stopped.wait()
