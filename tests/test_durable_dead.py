"""What is given up is kept, and an operator can look at it and have it tried again."""

import asyncio
import json
import sys
from collections.abc import Iterator

import pytest
from durable_meshes import GROUP, STREAM, SUBJECT, Worker, counts, durable_node, known_to, pending
from mesh_nodes import running
from raw_ws import eventually
from redis_meshes import balanced, on_redis
from redis_servers import RedisServer, redis_server

from lexmesh import StreamEvent, TaskRefusedError

DEAD = "spiral_codex_mesh:dead"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


async def command(server: RedisServer | str, *words: str) -> tuple[int, str, str]:
    """Runs `lexmesh durable` on a server or a URL; exit code, standard output and error."""
    url = server if isinstance(server, str) else server.url
    arguments = [sys.executable, "-m", "lexmesh.cli", "durable", *words, "--redis", url]
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def dead(server: RedisServer, *words: str) -> list[dict[str, object]]:
    code, out, error = await command(server, "dead", "--json", *words)
    assert (code, error) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


async def test_given_up_listed_replayed(server: RedisServer) -> None:
    one = durable_node("n0", server, durable_attempts=2)
    worker, other = Worker(one), Worker(one, group="others")
    worker.failing = 6
    async with running(one):
        await one.stored()
        for data in "abc":
            one.publish(SUBJECT, data)
        await eventually(lambda: counts(one)["dead"] == 3, "all are given up")
        await eventually(lambda: pending(server) == 0, "and acknowledged")
        found = await dead(server)
        assert [letter["event"]["data"] for letter in found] == ["a", "b", "c"]
        assert {letter["reason"] for letter in found} == {"ValueError: not now"}
        assert {letter["attempts"] for letter in found} == {2}
        assert {(letter["subject"], letter["group"]) for letter in found} == {(SUBJECT, GROUP)}
        assert await dead(server, "--group", "others") == []
        assert [letter["id"] for letter in await dead(server, "--limit", "1")] == [found[2]["id"]]
        code, out, _ = await command(server, "dead")
        assert code == 0
        assert all(str(letter["id"]) in out for letter in found)

        assert await command(server, "replay", str(found[0]["id"])) == (0, "replayed 1\n", "")
        await eventually(lambda: worker.got == {"a": 1}, "it is done now")
        assert await command(server, "replay", "--all") == (0, "replayed 2\n", "")
        await eventually(lambda: worker.got == {"a": 1, "b": 1, "c": 1}, "the others too")
        assert other.got == {"a": 1, "b": 1, "c": 1}, "they are for one group alone"
        assert await dead(server) == []
        await eventually(lambda: balanced([one]), "balanced ledger")


async def test_dropped_and_not_there(server: RedisServer) -> None:
    one = durable_node("n0", server)

    def refuse(_: StreamEvent) -> None:
        raise TaskRefusedError("nobody should\x1b[31m")

    one.subscribe(SUBJECT, refuse, group=GROUP, durable=True)
    async with running(one):
        await one.stored()
        one.publish(SUBJECT, "a")
        await eventually(lambda: counts(one)["dead"] == 1, "given up at once")
    (letter,) = await dead(server)
    assert letter["attempts"] == 1
    assert "\x1b" not in str(letter["reason"])
    code, out, error = await command(server, "drop", "1-1", str(letter["id"]))
    assert (code, out) == (1, "dropped 1\n")
    assert error == "lexmesh: there is no dead letter '1-1'; `lexmesh durable dead` lists them\n"
    assert await command(server, "dead") == (0, "no dead letters\n", "")


async def test_groups_and_the_end_of_one(server: RedisServer) -> None:
    one, publisher = durable_node("n0", server), durable_node("n1", server)
    Worker(one)
    async with running(one):
        await one.stored()
    async with running(publisher):
        await known_to([publisher])
        for number in range(7):
            publisher.publish(SUBJECT, number)
        await publisher.stored()
        code, out, _ = await command(server, "groups", "--json")
        assert json.loads(out) == {
            "subject": SUBJECT,
            "group": GROUP,
            "not_begun": 7,
            "under_way": 0,
            "members": [],
            "dead": 0,
        }
        code, out, _ = await command(server, "groups")
        assert code == 0
        assert SUBJECT in out
        assert await command(server, "forget", SUBJECT, GROUP) == (
            0,
            f"ended {GROUP} on {SUBJECT}, with 7 events not done\n",
            "",
        )
        assert server.say("EXISTS", STREAM) == 0
        await eventually(lambda: not publisher._redis._work._store._outlets, "nobody stores for it any more")
        assert on_redis(publisher)["durable_lost"] == 0
    code, _, error = await command(server, "forget", SUBJECT, GROUP)
    assert (code, error) == (
        1,
        f"lexmesh: there is no durable group {GROUP} on {SUBJECT}; `lexmesh durable groups` lists them\n",
    )


async def test_a_letter_of_a_group_that_has_ended_is_not_replayed(server: RedisServer) -> None:
    server.say("XADD", DEAD, "7-0", "subject", "a", "group", "b", "message", "x")
    code, out, error = await command(server, "replay", "7-0")
    assert (code, out) == (1, "replayed 0\n")
    assert "there is no group b on a any more; drop it instead" in error


@pytest.mark.parametrize(
    "words", [("replay",), ("drop",), ("replay", "1-1", "--all"), ("forget", "a"), ("dead", "--limit", "0")]
)
async def test_bad_arguments(server: RedisServer, words: tuple[str, ...]) -> None:
    code, out, error = await command(server, *words)
    assert (code, out) == (2, "")
    assert len(error.splitlines()) == 1


async def test_what_anybody_wrote_there_does_no_harm(server: RedisServer) -> None:
    """Rubbish in the stream, the registry and among the dead letters is refused and counted, and work goes on."""
    one = durable_node("n0", server)
    worker = Worker(one)
    async with running(one):
        await one.stored()
        forced = StreamEvent(SUBJECT, 2, source_node="x", id="x:1:1", metadata={"consent_override": "yes"})
        rubbish = [b"", b"\x00" * 100, b"x" * 2_000_000, StreamEvent(SUBJECT, 1).to_proto(), forced.to_proto()]
        for message in rubbish:
            server.say("XADD", STREAM, "*", "message", message)
        server.say("XADD", STREAM, "*", "else", "x")
        server.say("HSET", "spiral_codex_mesh:durable", "no pattern..", "1", "\xff", "1", "g _lexmesh.x", "1")
        server.say("XADD", DEAD, "*", "reason", b"\xff\x1b[31m", "attempts", "9" * 50)
        one.publish(SUBJECT, "good")
        await eventually(lambda: worker.got == {"good": 1}, "the good one is done")
        await eventually(lambda: counts(one)["refused"] == 6, lambda: f"{counts(one)}")
        await eventually(lambda: pending(server) == 0, "all are acknowledged")
        assert "consent-override" in [record.rule for record in one.pipeline.audit.recent()]
        await eventually(lambda: on_redis(one)["refused"] >= 3, "the registry's too")
        assert balanced([one])
        (letter,) = await dead(server)
        assert letter["event"] is None
        assert "\x1b" not in str(letter["reason"])


async def test_streams_are_trimmed_and_what_goes_undone_is_counted(server: RedisServer) -> None:
    one = durable_node("n0", server, durable_max_length=100, durable_seconds=3600)
    done = asyncio.Event()
    got: list[object] = []

    async def handler(event: StreamEvent) -> None:
        await done.wait()
        got.append(event.data)

    one.subscribe(SUBJECT, handler, group=GROUP, durable=True)
    async with running(one):
        await one.stored()
        for number in range(1000):
            one.publish(SUBJECT, number)
        await one.stored()
        await eventually(lambda: server.say("XLEN", STREAM) == 100, "as long as it may be")
        await eventually(lambda: on_redis(one)["durable_lost"] == 900, lambda: f"{on_redis(one)}")
        done.set()
        await eventually(lambda: set(range(900, 1000)) <= set(got), "what was left is done")
        await eventually(lambda: pending(server) == 0, "nothing is left of what went")


async def test_old_work_goes(server: RedisServer) -> None:
    one, publisher = durable_node("n0", server), durable_node("n1", server, durable_max_age=1.0)
    Worker(one)
    async with running(one):
        await one.stored()
    async with running(publisher):
        await known_to([publisher])
        publisher.publish(SUBJECT, "a")
        await publisher.stored()
        await eventually(lambda: on_redis(publisher)["durable_lost"] == 1, "it is too old")
        assert server.say("XLEN", STREAM) == 0


async def test_many_letters_and_one_from_the_end_of_time(server: RedisServer) -> None:
    """Written by anybody: the latest are shown, and each is found by its id."""
    for number in range(1, 30):
        server.say("XADD", DEAD, f"{number}-0", "subject", SUBJECT, "group", GROUP, "message", b"x" * 100)
    end = f"{2**64 - 1}-0"
    server.say("XADD", DEAD, end, "subject", "else", "group", GROUP, "message", b"x")
    assert [letter["id"] for letter in await dead(server, "--limit", "3")] == ["28-0", "29-0", end]
    assert len(await dead(server, "--subject", SUBJECT)) == 29
    code, out, _ = await command(server, "dead", "--limit", "2")
    assert code == 0
    assert "never" in out
    assert out.endswith("there are older ones; --limit shows more\n")
    absent = ("5-1", f"{2**64}-0", "-", "+", "5", "(5-0", "\udcff")
    code, out, error = await command(server, "drop", "7-0", *absent, "7-0")
    assert (code, out) == (1, "dropped 1\n")
    assert len(error.splitlines()) == len(absent)
    assert await command(server, "drop", "--all", "--subject", SUBJECT) == (0, "dropped 28\n", "")
    assert [letter["id"] for letter in await dead(server)] == [end]


async def test_groups_that_ended_long_ago_leave_room_for_others(server: RedisServer) -> None:
    registry = "spiral_codex_mesh:durable"
    for number in range(1000):
        server.say("HSET", registry, f"g{number} a", "01000000000000")
    server.say("HSET", registry, f"{GROUP} {SUBJECT}", "1")
    assert (await command(server, "forget", SUBJECT, GROUP))[0] == 0
    assert server.say("HLEN", registry) == 1
    assert server.say("HGET", registry, f"{GROUP} {SUBJECT}").startswith(b"0")
