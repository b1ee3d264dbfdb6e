"""Tasks over real nodes: who does them, what comes back, and what happens when nodes fail, hang, die or stop."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from mesh_nodes import FULL_5, LINE_OF_4, knows_all, mesh_of, node, running, url_of
from raw_ws import Received, eventually

from lexmesh import (
    DeniedError,
    DisconnectedError,
    MeshCore,
    NoNodeError,
    StreamEvent,
    TaskAttempt,
    TaskError,
    TaskFailedError,
    TaskRefusedError,
    TaskTimeoutError,
    TransportError,
    WebSocketClient,
    WebSocketServer,
)

FULL_6 = (6, [(a, b) for a in range(6) for b in range(a)])


async def lasts(seconds: float) -> None:
    """What a handler takes."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(seconds, lambda: done.done() or done.set_result(None))
    await done


async def known(submitter: MeshCore, capability: str, count: int) -> None:
    """Waits until a node knows so many others with a capability."""
    able = submitter.registry.get_nodes_by_capability
    await eventually(lambda: len(able(capability)) == count, f"{count} nodes with {capability}")


@asynccontextmanager
async def workers(shape: Any, *handlers: Callable[..., Any], **options: Any) -> AsyncIterator[list[MeshCore]]:
    """A mesh whose last nodes each do `work` with one of the handlers."""
    async with mesh_of(*shape, **options) as nodes:
        await knows_all(nodes)
        for one, handler in zip(reversed(nodes), reversed(handlers), strict=False):
            one.register_task_handler("work", handler)
        await known(nodes[0], "work", len(handlers))
        yield nodes


# -- results and errors -----------------------------------------------------------------------------------------------


async def test_results_come_back_over_hops_from_sync_and_async_handlers() -> None:
    async def later(data: Any) -> Any:
        await asyncio.sleep(0)
        return {"later": data}

    async with mesh_of(*LINE_OF_4) as nodes:
        await knows_all(nodes)
        nodes[3].register_task_handler("now", lambda data: data * 2)
        nodes[3].register_task_handler("later", later)
        nodes[3].register_task_handler("nothing", lambda data: None)
        await known(nodes[0], "nothing", 1)
        assert await nodes[0].submit("now", [1, 2]) == [1, 2, 1, 2]
        assert await nodes[0].submit("later", "x") == {"later": "x"}
        assert await nodes[0].submit("nothing") is None


async def test_the_own_node_does_tasks_too_and_needs_no_other() -> None:
    async with running(one := node("one")):
        one.register_task_handler("double", lambda data: 2 * data)
        assert await one.submit("double", 21) == 42
        assert one.unregister_task_handler("double", print) is False


async def test_a_handler_that_takes_two_arguments_gets_the_attempt() -> None:
    seen: list[TaskAttempt] = []
    async with running(one := node("one")):
        one.register_task_handler("look", lambda data, attempt: seen.append(attempt))
        await one.submit("look")
    assert (seen[0].number, seen[0].capability, seen[0].submitter) == (1, "look", "one")
    assert seen[0].id == f"{seen[0].task_id}:1"


async def test_a_task_that_raises_is_tried_at_another_node() -> None:
    tried: list[str] = []

    def fails(data: Any, attempt: TaskAttempt) -> Any:
        tried.append(attempt.id)
        if len(tried) < 3:
            raise ValueError("bad weather\nsecret second line")
        return "done"

    async with workers(FULL_5, *[fails] * 4) as nodes:
        assert await nodes[0].submit("work") == "done"
    assert [id.partition(":")[2] for id in tried] == ["1", "2", "3"]
    assert len({id.partition(":")[0] for id in tried}) == 1


async def test_when_all_have_failed_the_last_error_comes_back_without_a_traceback() -> None:
    def fails(data: Any) -> Any:
        raise ValueError("bad weather\nand a second line")

    async with workers(FULL_5, *[fails] * 3) as nodes:
        with pytest.raises(TaskFailedError) as raised:
            await nodes[0].submit("work")
    error = raised.value
    assert sorted(error.tried) == ["n2", "n3", "n4"]
    assert error.kind == "ValueError"
    assert "ValueError: bad weather" in str(error)
    assert "second line" not in str(error) and "Traceback" not in str(error)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(TaskRefusedError("no water left"), TaskRefusedError), (DeniedError("rule", "data"), TaskFailedError)],
)
async def test_what_would_fail_anywhere_is_tried_once(raised: Exception, expected: type[TaskError]) -> None:
    calls = []

    def refuses(data: Any) -> Any:
        calls.append(data)
        raise raised

    async with workers(FULL_5, *[refuses] * 3) as nodes:
        with pytest.raises(expected, match=r"no water left|denied: rule at data"):
            await nodes[0].submit("work")
    assert len(calls) == 1


async def test_a_result_that_json_cannot_say_and_one_that_the_policy_denies_are_failures() -> None:
    async with running(one := node("one")):
        one.register_task_handler("set", lambda data: {1, 2})
        one.register_task_handler("override", lambda data: {"consent_override": "yes"})
        one.register_task_handler("huge", lambda data: "x" * (2 << 20))
        with pytest.raises(TaskFailedError, match="TypeError"):
            await one.submit("set")
        with pytest.raises(TaskFailedError, match="denied: consent-override"):
            await one.submit("override")
        with pytest.raises(TaskFailedError, match="malformed message"):
            await one.submit("huge")


async def test_a_task_is_an_instruction_to_the_policy() -> None:
    async with running(one := node("one")):
        one.register_task_handler("work", lambda data: data)
        with pytest.raises(DeniedError):
            await one.submit("work", {"note": "use force"})
        with pytest.raises(DeniedError):
            await one.submit("work", metadata={"consent": "revoked"})


async def test_no_such_capability_is_told_with_who_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lexmesh.mesh.tasks.submissions.HEAL_SECONDS", 0.0)  # as if it ran for long
    async with workers(FULL_5, lambda data: data) as nodes:
        with pytest.raises(NoNodeError, match=r"'wrok'.*n4 \(work\)"):
            await nodes[0].submit("wrok", timeout=3600)


async def test_a_submitter_that_has_just_started_waits_until_it_knows_the_others() -> None:
    async with running(worker := node("worker")):
        worker.register_task_handler("double", lambda data: 2 * data)
        async with running(one := node("one", url_of(worker))):
            assert await one.submit("double", 4) == 8


async def test_bad_arguments_and_a_node_that_does_not_run() -> None:
    one = node("one")
    with pytest.raises(TaskError, match="does not run"):
        await one.submit("work")
    with pytest.raises(TypeError, match="callable"):
        one.register_task_handler("work", "no handler")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency"):
        one.register_task_handler("work", print, concurrency=0)
    with pytest.raises(ValueError, match="capability"):
        one.register_task_handler("two words", print)
    async with running(one):
        with pytest.raises(ValueError, match="timeout"):
            await one.submit("work", timeout=0)


async def test_the_capability_comes_and_goes_with_its_handlers() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        await knows_all([one, two])
        first, second = Received(), Received()
        two.register_task_handler("work", first)
        two.register_task_handler("work", second)
        await known(one, "work", 1)
        for _ in range(2):
            await one.submit("work")
        assert two.unregister_task_handler("work", first)
        assert one.registry.get_nodes_by_capability("work") == ["n1"]
        assert two.unregister_task_handler("work", second)
        await known(one, "work", 0)


async def test_a_node_that_declares_it_without_a_handler_is_passed_by() -> None:
    async with running(empty := node("empty", capabilities=["work"])), running(one := node("one", url_of(empty))):
        await known(one, "work", 1)
        with pytest.raises(TaskFailedError, match="no handler"):
            await one.submit("work")
        one.register_task_handler("work", lambda data: "done")
        assert [await one.submit("work") for _ in range(5)] == ["done"] * 5


# -- hanging, late, dead ----------------------------------------------------------------------------------------------


async def test_a_node_that_hangs_is_left_and_its_handler_cancelled() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()
    hung: list[str] = []

    async def hangs_once(data: Any, attempt: TaskAttempt) -> str:
        if hung:
            return "done"
        hung.append(attempt.id)
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "late"

    async with workers(FULL_5, hangs_once, hangs_once) as nodes:
        assert await nodes[0].submit("work", timeout=30, attempt_timeout=0.2) == "done"
        await asyncio.wait_for(cancelled.wait(), 5)
    assert len(hung) == 1


async def test_a_result_that_comes_after_the_retry_won_is_ignored() -> None:
    free = asyncio.Event()
    finished: list[str] = []

    async def stubborn(data: Any, attempt: TaskAttempt) -> str:
        if attempt.number == 1:
            try:
                await free.wait()
            except asyncio.CancelledError:
                await free.wait()  # will not be cancelled
        finished.append(attempt.id)
        return f"from attempt {attempt.number}"

    async with workers(FULL_5, stubborn, stubborn) as nodes:
        assert await nodes[0].submit("work", timeout=30, attempt_timeout=0.2) == "from attempt 2"
        free.set()
        await eventually(lambda: len(finished) == 2, "the late one has ended")
        assert await nodes[0].submit("work", timeout=30) == "from attempt 1"


async def test_a_submit_that_is_cancelled_cancels_the_handler() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs(data: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with workers(LINE_OF_4, hangs) as nodes:
        submitted = asyncio.create_task(nodes[0].submit("work"))
        await asyncio.wait_for(began.wait(), 5)
        submitted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitted
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_timeout_names_the_node_that_has_it() -> None:
    async def hangs(data: Any) -> None:
        await asyncio.Event().wait()

    async with workers(LINE_OF_4, hangs) as nodes:
        with pytest.raises(TaskTimeoutError, match=r"within 0\.3 s, n3 has it") as raised:
            await nodes[0].submit("work", timeout=0.3)
        assert isinstance(raised.value, TimeoutError)


async def test_the_same_attempt_twice_runs_once_and_is_answered_twice() -> None:
    calls, free = [], asyncio.Event()

    async def work(data: Any) -> str:
        calls.append(data)
        await free.wait()
        return "done"

    async with mesh_of(2, [(1, 0)]) as (one, two):
        two.register_task_handler("work", work)
        answers = Received()
        one.subscribe("mesh_task.*", answers)
        ask = {"task": "0123", "attempt": 1, "data": "x"}
        for _ in range(2):
            one.publish("agent_task.work", ask, target_node="n1")
        await answers.wait(2)
        free.set()
        await answers.wait(3)
        one.publish("agent_task.work", ask, target_node="n1")
        await answers.wait(4)
        assert [event.event_type.partition(".")[2] for event in answers.events] == ["accepted"] * 2 + ["done"] * 2
        assert calls == ["x"]
        one.publish("agent_task.work", ask | {"attempt": 2}, target_node="n1")
        await answers.wait(6)
        assert calls == ["x", "x"]


WORKER = """
import asyncio, sys
from lexmesh import MeshConfig, MeshCore

async def work(data, attempt):
    print(attempt.id, flush=True)
    if data == "hang":
        await asyncio.Event().wait()
    return "process"

async def main():
    config = MeshConfig(node_id="process", websocket_port=0, peers=[sys.argv[1]], learned_links=0)
    async with MeshCore(config) as mesh:
        mesh.register_task_handler("work", work)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def worker_process(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("hops", [1, 2])
async def test_a_process_that_is_killed_amid_a_task_loses_it_to_another_node(hops: int) -> None:
    async with mesh_of(3, [(0, 1), (1, 2)], heartbeat_interval=30.0) as nodes:  # which nobody waits for
        await knows_all(nodes)
        one = nodes[0]
        with worker_process(url_of(nodes[hops - 1])) as process:
            await known(one, "work", 1)
            submitted = asyncio.create_task(one.submit("work", "hang", timeout=60))
            assert process.stdout is not None
            assert (await asyncio.to_thread(process.stdout.readline)).endswith(":1\n")
            nodes[2].register_task_handler("work", lambda data: "another")
            await known(one, "work", 2)
            os.kill(process.pid, signal.SIGKILL)
            assert await asyncio.wait_for(submitted, 20) == "another"


async def test_a_node_that_does_not_answer_is_left_long_before_the_timeout() -> None:
    async with running(one := node("one", heartbeat_interval=30.0)):
        with worker_process(url_of(one)) as process:
            await known(one, "work", 1)
            one.register_task_handler("work", lambda data: "own")
            process.send_signal(signal.SIGSTOP)
            results = await asyncio.wait_for(asyncio.gather(*(one.submit("work", timeout=60) for _ in range(20))), 10)
            assert results == ["own"] * 20
            process.send_signal(signal.SIGCONT)


async def test_a_node_that_stops_gives_back_what_waits_and_ends_what_runs() -> None:
    begun: list[str] = []

    async def work(data: Any) -> str:
        begun.append(data)
        await lasts(0.2)
        return "first"

    async with running(one := node("one")), running(two := node("two", url_of(one))):
        two.register_task_handler("work", work, concurrency=1)
        await known(one, "work", 1)
        submitted = [asyncio.create_task(one.submit("work", number)) for number in range(2)]
        await eventually(lambda: len(begun) == 1, "one runs, one waits")
        one.register_task_handler("work", lambda data: "second")
        await two.stop(5)
        assert await asyncio.gather(*submitted) == ["first", "second"]
        assert len(begun) == 1


async def test_a_submitter_that_stops_fails_what_it_waits_for() -> None:
    async def hangs(data: Any) -> None:
        await asyncio.Event().wait()

    async with running(one := node("one")), running(two := node("two", url_of(one))):
        one.register_task_handler("work", hangs)
        await known(two, "work", 1)
        submitted = asyncio.create_task(two.submit("work"))
        await eventually(lambda: one.ledger()["subjects"].get("agent_task.work"), "asked")
        await two.stop(1)
        with pytest.raises(TaskError, match="this node stops"):
            await submitted


# -- load -------------------------------------------------------------------------------------------------------------


def share(done: Counter[str], name: str) -> float:
    return done[name] * len(done) / done.total()


def counting(done: Counter[str], name: str, seconds: float) -> Callable[[Any], Any]:
    async def work(data: Any) -> str:
        done[name] += 1
        await lasts(seconds)
        return name

    return work


async def loaded(submitters: list[MeshCore], tasks: int, at_once: int) -> None:
    """Each submitter keeps so many tasks under way, until so many are done."""

    async def one_after_the_other(submitter: MeshCore) -> None:
        for number in range(tasks // at_once):
            await submitter.submit("work", number, timeout=60)

    await asyncio.gather(*(one_after_the_other(one) for one in submitters for _ in range(at_once)))


@pytest.mark.parametrize(("tasks", "at_once"), [(400, 1), (2000, 20), (2000, 500)])
async def test_equal_nodes_get_equal_shares(tasks: int, at_once: int) -> None:
    done: Counter[str] = Counter()
    handlers = [counting(done, f"n{number}", 0.002) for number in range(2, 6)]
    async with workers(FULL_6, *handlers) as nodes:
        await known(nodes[1], "work", 4)
        for one in nodes:
            one.registry.table.pick = random.Random(7)
        await loaded(nodes[:2], tasks, at_once)
    assert done.total() == 2 * tasks
    assert all(share(done, name) <= 1.3 for name in done), done


async def test_a_burst_is_spread_at_once() -> None:
    done: Counter[str] = Counter()
    handlers = [counting(done, f"n{number}", 0.01) for number in range(2, 6)]
    async with workers(FULL_6, *handlers) as nodes:
        await asyncio.gather(*(nodes[0].submit("work", number) for number in range(1000)))
    assert all(share(done, name) <= 1.3 for name in done), done


async def test_a_node_five_times_slower_gets_less_and_holds_up_nobody() -> None:
    done: Counter[str] = Counter()
    async with mesh_of(*FULL_6) as nodes:
        await knows_all(nodes)
        for one, seconds in zip(nodes[2:], (0.02, 0.02, 0.02, 0.1), strict=True):
            one.register_task_handler("work", counting(done, one.node_id, seconds), concurrency=4)
        for one in nodes[:2]:
            await known(one, "work", 4)
        await loaded(nodes[:2], 400, 20)
        slow = share(done, "n5")
    assert slow < 0.5, done


async def test_a_node_that_fails_at_once_does_not_draw_all_tasks() -> None:
    calls: Counter[str] = Counter()

    def broken(data: Any) -> None:
        calls["broken"] += 1
        raise RuntimeError

    async with workers(FULL_5, broken, counting(calls, "n3", 0.002), counting(calls, "n4", 0.002)) as nodes:
        await loaded(nodes[:1], 600, 20)
    assert calls["n3"] + calls["n4"] == 600
    assert calls["broken"] < 100, calls


async def test_more_than_a_node_takes_waits_at_the_submitter() -> None:
    running_now = most = 0

    async def work(data: Any) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await lasts(0.001)
        running_now -= 1

    async with mesh_of(2, [(1, 0)]) as (one, two):
        two.register_task_handler("work", work, concurrency=3)
        await known(one, "work", 1)
        await asyncio.gather(*(one.submit("work", number) for number in range(300)))
    assert most == 3


# -- clients, depth ---------------------------------------------------------------------------------------------------


async def test_a_client_that_speaks_as_submitters_do_has_its_answer() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        two.register_task_handler("double", lambda data: 2 * data)
        answers: list[StreamEvent] = []
        async with WebSocketClient("asks", url_of(one)) as client:
            client.register_handler("mesh_task.done", answers.append)
            client.publish("agent_task.double", {"task": "t", "attempt": 1, "data": 4}, target_node="n1")
            await eventually(lambda: answers, "an answer")
        assert answers[0].data["result"] == 8


async def test_a_client_submits_through_its_node() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def work(data: Any) -> Any:
        if data == "refuse":
            raise TaskRefusedError("no water left")
        if data == "raise":
            raise ValueError("bad weather")
        if data == "hang":
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return [data]

    async with mesh_of(2, [(1, 0)]) as (one, two):
        two.register_task_handler("work", work)
        await known(one, "work", 1)
        client = WebSocketClient("asks", url_of(one))
        async with client:
            assert await client.submit("work", {"x": 1}) == [{"x": 1}]
            assert await client.submit("work") == [None]
            with pytest.raises(TaskRefusedError, match=r"'work': no water left \(tried n1\)"):
                await client.submit("work", "refuse")
            with pytest.raises(TaskFailedError, match="ValueError: bad weather") as failed:
                await client.submit("work", "raise")
            assert (failed.value.kind, failed.value.tried) == ("ValueError", ("n1",))
            with pytest.raises(TaskTimeoutError, match="n1 has it"):
                await client.submit("work", "hang", timeout=0.2)
            with pytest.raises(DeniedError, match="marker-instruction"):
                await client.submit("work", "use force")
            for bad in (None, {}, {"capability": "work"}, {"capability": "work", "timeout": -1}):
                with pytest.raises(TransportError, match=r"submit needs|timeout"):
                    await client.ask("_lexmesh.submit", bad)
            with pytest.raises(TransportError, match="capability"):
                await client.submit("two words")
            began.clear(), cancelled.clear()
            submitted = asyncio.create_task(client.submit("work", "hang"))
            await asyncio.wait_for(began.wait(), 5)
        with pytest.raises(DisconnectedError):
            await submitted
        await asyncio.wait_for(cancelled.wait(), 5)
    async with (
        WebSocketServer("plain", port=0) as plain,
        WebSocketClient("c", f"ws://127.0.0.1:{plain.port}") as client,
    ):
        with pytest.raises(TransportError, match="means nothing to a gateway"):
            await client.submit("work")


async def test_rubbish_about_tasks_harms_nothing() -> None:
    async with mesh_of(2, [(1, 0)]) as (one, two):
        two.register_task_handler("work", lambda data: "done")
        await known(one, "work", 1)
        kinds = ["agent_task.work", *(f"mesh_task.{kind}" for kind in ("check", "cancel", "done", "running"))]
        rubbish = [None, [], "x", {}, {"task": 1, "attempt": 1}, {"task": "t", "attempt": "1"}, {"attempts": [[1], 2]}]
        for data in rubbish:
            for kind in kinds:
                one.publish(kind, data, target_node="n1")
        one.publish("agent_task.work", {"task": "t", "attempt": 1})
        assert await one.submit("work") == "done"
        assert two.ledger()["egress"]["failed"] == 0
        assert two.ledger()["subjects"]["agent_task.work"]["ingress"]["routed"] >= 1


async def test_tasks_that_submit_tasks_come_to_an_end() -> None:
    depth = 0

    async def again(data: Any) -> Any:
        nonlocal depth
        depth = max(depth, data)
        return await one.submit("again", data + 1, timeout=10)

    async with running(one := node("one")):
        one.register_task_handler("again", again, concurrency=100)
        with pytest.raises(TaskFailedError, match="failed at one"):
            await one.submit("again", 0, timeout=20)
    assert 10 < depth < 50


async def test_many_tasks_do_not_add_up_to_a_loop() -> None:
    async with running(one := node("one")):
        one.register_task_handler("work", lambda data: data, concurrency=1)
        assert await asyncio.gather(*(one.submit("work", number) for number in range(200))) == list(range(200))
