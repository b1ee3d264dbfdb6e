"""What is decided about tasks, with the time as an argument: who gets one, when another is tried, what is kept."""

import random
from collections import Counter
from typing import Any

import pytest

from lexmesh.errors import NoNodeError, TaskError, TaskFailedError, TaskRefusedError, TaskTimeoutError
from lexmesh.mesh.registry.node import NodeEntry, NodeStatus
from lexmesh.mesh.registry.pool import Pool
from lexmesh.mesh.registry.table import NodeTable
from lexmesh.mesh.tasks import desk as desk_module
from lexmesh.mesh.tasks.actions import Ask, Say, Settle
from lexmesh.mesh.tasks.attempt import (
    ACCEPTED,
    CANCEL,
    CHECK,
    DONE,
    FAILED,
    REFUSED,
    RUNNING,
    TaskAttempt,
    attempts_in,
)
from lexmesh.mesh.tasks.choice import NodeChoice
from lexmesh.mesh.tasks.desk import QUEUE_FACTOR, Desk
from lexmesh.mesh.tasks.submissions import HEAL_SECONDS, Submissions


class Submitter:
    """The decisions of one node, and what it wants done."""

    def __init__(self, *names: str, started: float = -100.0) -> None:
        self.table = NodeTable(NodeEntry("own", 1), 30_000, 0, random.Random(1))
        self.submissions = Submissions(self.table, lambda name: 0.0, random.Random(1), started)
        self.ended: dict[str, tuple[Any, TaskError | None]] = {}
        self.said: list[Say] = []
        self.asked: list[Ask] = []
        self.table.notices.append(lambda name, status, _: self.submissions.changed(name, status, self.now))
        self.now = 0.0
        for name in names:
            self.join(name)

    def join(self, name: str, epoch: int = 2, *, capabilities: frozenset[str] = frozenset({"work"})) -> None:
        self.table.take(NodeEntry(name, epoch, 0, capabilities), 0)
        self.table.heartbeat(name, epoch, {}, 0)

    def leave(self, name: str) -> None:
        node = self.table.get(name)
        assert node is not None
        self.table.take(node.entry.changed(leaving=True), 0)

    def add(self, task: str = "t", timeout: float = 30.0, attempt: float | None = None) -> None:
        self.submissions.add(task, "work", timeout, attempt, self.now)
        self.carry_out()

    def carry_out(self) -> None:
        while self.submissions.todo:
            action = self.submissions.todo.popleft()
            if isinstance(action, Ask):
                self.asked.append(action)
            elif isinstance(action, Say):
                self.said.append(action)
            else:
                assert isinstance(action, Settle)
                assert action.task not in self.ended
                self.ended[action.task] = action.result, action.error

    def hear(self, ask: Ask, kind: str, **about: Any) -> None:
        data = {"task": ask.task, "attempt": ask.number, "load": 0, "places": 16, **about}
        self.submissions.heard(ask.node, kind, data, self.now)
        self.carry_out()

    def pass_time(self, until: float) -> None:
        while self.now < until:
            self.now += 0.25
            self.submissions.look(self.now)
            self.carry_out()

    @property
    def last(self) -> Ask:
        return self.asked[-1]

    def error(self, task: str = "t") -> TaskError:
        error = self.ended[task][1]
        assert error is not None
        return error


# -- submissions ------------------------------------------------------------------------------------------------------


def test_a_result_settles_and_nothing_is_left() -> None:
    one = Submitter("a")
    one.add()
    one.hear(one.last, ACCEPTED)
    one.hear(one.last, DONE, result=42, ms=1.0)
    assert one.ended == {"t": (42, None)}
    assert len(one.submissions) == 0
    assert one.said == []
    one.hear(one.last, DONE, result=43)
    assert one.ended == {"t": (42, None)}


def test_a_node_that_does_not_accept_is_asked_once_more_then_another_is_tried() -> None:
    one = Submitter("a", "b")
    one.add()
    first = one.last
    one.pass_time(0.5)
    assert [(say.node, say.kind, say.data) for say in one.said] == [(first.node, CHECK, {"attempts": [["t", 1]]})]
    one.pass_time(1.0)
    assert len(one.asked) == 2
    assert one.last.node != first.node
    assert one.last.number == 2
    one.hear(first, DONE, result="late")
    assert one.ended == {}, "that attempt was given up"
    one.hear(one.last, DONE, result="right")
    assert one.ended["t"][0] == "right"
    assert Say(first.node, CANCEL, {"task": "t", "attempt": 1}) in one.said, "it may still have it"


def test_a_silent_node_that_is_the_only_one_gets_the_same_attempt_again() -> None:
    one = Submitter("a")
    one.add()
    one.pass_time(1.25)
    assert [(ask.node, ask.number) for ask in one.asked] == [("a", 1), ("a", 1)]


def test_a_silent_node_that_has_started_anew_gets_another_attempt() -> None:
    one = Submitter("a")
    one.add()
    one.pass_time(0.75)
    one.join("a", epoch=3)
    one.pass_time(1.25)
    assert [(ask.node, ask.number) for ask in one.asked] == [("a", 1), ("a", 2)]


def test_numbers_of_attempts_are_never_used_twice() -> None:
    one = Submitter("a", "b", "c")
    one.add(timeout=1000)
    for _ in range(20):
        one.pass_time(one.now + 0.75)
        if one.last.node == "b" and not one.ended:
            one.hear(one.last, REFUSED, reason="unknown")
    by_number: dict[int, set[str]] = {}
    for ask in one.asked:
        by_number.setdefault(ask.number, set()).add(ask.node)
    assert len(one.asked) > 10
    assert all(len(nodes) == 1 for nodes in by_number.values()), by_number


def test_a_node_that_has_accepted_is_given_more_patience_counted_in_questions() -> None:
    one = Submitter("a", "b")
    one.add(timeout=10_000)
    one.hear(one.last, ACCEPTED)
    first = one.last.node
    one.now += 3600  # this node was held up: nobody else is to blame
    one.submissions.look(one.now)
    one.carry_out()
    assert len(one.asked) == 1
    one.pass_time(one.now + 3)
    assert len(one.asked) == 1
    one.submissions.heard(first, RUNNING, {"attempts": [["t", 1]]}, one.now)
    one.pass_time(one.now + 4)
    assert len(one.asked) == 1, "it has answered"
    while len(one.asked) == 1:
        one.pass_time(one.now + 0.25)
    assert one.last.node != first


def test_what_fails_goes_to_others_until_none_is_left() -> None:
    one = Submitter("a", "b", "c")
    one.add()
    for _ in range(3):
        one.hear(one.last, FAILED, error={"type": "ValueError", "message": "bad"})
    assert sorted(ask.node for ask in one.asked) == ["a", "b", "c"]
    error = one.error()
    assert isinstance(error, TaskFailedError)
    assert error.kind == "ValueError"
    assert error.tried == tuple(ask.node for ask in one.asked)
    assert str(error).startswith(f"task 'work': failed at {one.last.node}: ValueError: bad")


def test_a_refusal_of_the_handler_and_a_final_error_end_it() -> None:
    one = Submitter("a", "b")
    one.add("refused")
    one.hear(one.last, FAILED, error={"type": "TaskRefusedError", "message": "no water", "refused": True})
    assert isinstance(one.error("refused"), TaskRefusedError)
    one.add("final")
    one.hear(one.last, FAILED, error={"type": "DeniedError", "message": "denied: x at y", "final": True})
    assert isinstance(one.error("final"), TaskFailedError)
    assert len(one.asked) == 2


def test_a_busy_node_is_left_alone_for_a_moment_and_is_no_failure() -> None:
    one = Submitter("a")
    one.add()
    one.hear(one.last, REFUSED, reason="busy")
    assert one.ended == {}
    one.pass_time(0.25)
    assert [ask.number for ask in one.asked] == [1, 2]


@pytest.mark.parametrize("status", [NodeStatus.DORMANT, None])
def test_what_a_dead_node_had_is_given_to_another_at_once(status: NodeStatus | None) -> None:
    one = Submitter("a", "b")
    one.add()
    first = one.last
    one.hear(first, ACCEPTED)
    if status is None:
        one.submissions.lost(first.node, one.now)
    else:
        one.submissions.changed(first.node, status, one.now)
    one.carry_out()
    assert one.last.number == 2
    assert one.last.node != first.node or status is None


def test_a_node_that_says_goodbye_ends_what_it_has_begun() -> None:
    one = Submitter("a", "b")
    one.add("begun")
    begun = one.last
    one.hear(begun, ACCEPTED)
    one.leave(begun.node)
    one.carry_out()
    assert len(one.asked) == 1
    one.hear(begun, DONE, result=1)
    assert one.ended["begun"] == (1, None)
    one.add("next")
    assert one.last.node != begun.node


def test_a_slow_attempt_is_tried_elsewhere_only_if_there_is_an_elsewhere() -> None:
    one = Submitter("a")
    one.add(attempt=2.0)
    one.hear(one.last, ACCEPTED)
    for second in range(1, 6):
        one.submissions.heard("a", RUNNING, {"attempts": [["t", 1]]}, one.now)
        one.pass_time(second)
    assert len(one.asked) == 1
    one.join("b")
    one.submissions.heard("a", RUNNING, {"attempts": [["t", 1]]}, one.now)
    one.pass_time(6)
    assert (one.last.node, one.last.number) == ("b", 2)
    assert Say("a", CANCEL, {"task": "t", "attempt": 1}) in one.said


def test_nobody_at_all_is_told_at_once_but_not_by_a_node_that_has_just_started() -> None:
    one = Submitter()
    one.join("other", capabilities=frozenset({"irrigate"}))
    one.add()
    assert isinstance(one.error(), NoNodeError)
    assert "own (none), other (irrigate)" in str(one.error())
    young = Submitter(started=0.0)
    young.add()
    young.pass_time(HEAL_SECONDS - 0.25)
    assert young.ended == {}
    young.join("a")
    young.carry_out()
    assert young.last.node == "a"


def test_a_node_that_is_gone_may_come_back_within_the_time_a_mesh_needs() -> None:
    one = Submitter("a")
    one.leave("a")
    one.add()
    one.pass_time(HEAL_SECONDS - 0.25)
    assert one.ended == {}
    one.pass_time(HEAL_SECONDS + 0.25)
    assert isinstance(one.error(), NoNodeError)


def test_what_is_withdrawn_is_cancelled_where_it_is() -> None:
    one = Submitter("a")
    one.add()
    one.hear(one.last, ACCEPTED)
    error = one.submissions.withdraw("t", 3.0, one.now)
    one.carry_out()
    assert isinstance(error, TaskTimeoutError)
    assert str(error) == "task 'work': no result within 3 s, a has it (tried a)"
    assert one.said == [Say("a", CANCEL, {"task": "t", "attempt": 1})]
    assert one.submissions.withdraw("t", 3.0, one.now) is None


def test_tasks_beyond_the_window_wait_here_in_their_order() -> None:
    one = Submitter("a")
    for number in range(10):
        one.add(f"t{number}")
    assert [ask.task for ask in one.asked] == ["t0", "t1"], "until the node has said how many places it has"
    one.hear(one.asked[0], ACCEPTED, places=2)
    assert [ask.task for ask in one.asked] == ["t0", "t1", "t2", "t3"]
    one.hear(one.asked[0], DONE, places=2)
    assert one.last.task == "t4"


def test_an_unreachable_node_is_not_asked_over_and_over() -> None:
    one = Submitter("a")
    one.submissions.add("t", "work", 10, None, 0.0)
    asked = 0
    while one.submissions.todo:
        ask = one.submissions.todo.popleft()
        asked += 1
        assert isinstance(ask, Ask)
        one.submissions.unreachable(ask.task, ask.number, 0.0)
    assert asked == 1


@pytest.mark.parametrize("seed", range(20))
def test_every_task_ends_once_whatever_nodes_do(seed: int) -> None:
    pick = random.Random(seed)
    one = Submitter("a", "b", "c")
    for number in range(60):
        one.add(f"t{number}", timeout=60)
    for _ in range(3000):
        if len(one.ended) == 60:
            break
        if pick.random() < 0.1:
            one.pass_time(one.now + 0.25)
        if pick.random() < 0.02:
            one.submissions.lost(pick.choice("abc"), one.now)
            one.carry_out()
        ask = pick.choice(one.asked)
        kind = pick.choice([ACCEPTED, DONE, FAILED, REFUSED])
        reason = pick.choice(["busy", "unknown", "no handler", "stopping", None])
        one.hear(ask, kind, reason=reason, error={"type": "E"}, result=ask.task)
    one.submissions.fail_all("this node stops", one.now)
    one.carry_out()
    assert len(one.ended) == 60
    assert all(error is not None or result == task for task, (result, error) in one.ended.items())
    assert len(one.submissions) == 0
    assert not one.submissions._waiting and not one.submissions._at


# -- choice -----------------------------------------------------------------------------------------------------------


def pool_of(*names: str) -> Pool:
    pool = Pool()
    for name in names:
        pool.add(name)
    return pool


def test_the_less_busy_of_two_is_chosen() -> None:
    choice = NodeChoice(random.Random(1), lambda name: 0.0)
    pool = pool_of("a", "b")
    choice.said("a", 0, 16, 0.0)
    choice.said("b", 0, 16, 0.0)
    choice.asked("a")
    assert {choice.choose(pool, (), 0.0) for _ in range(20)} == {"b"}
    choice.said("b", 3, 16, 0.0)  # others have given it tasks
    assert {choice.choose(pool, (), 0.0) for _ in range(20)} == {"a"}
    assert choice.choose(pool, {"a", "b"}, 0.0) is None


def test_alike_nodes_are_chosen_alike_and_slow_ones_less_until_it_is_forgotten() -> None:
    choice = NodeChoice(random.Random(1), lambda name: 0.0)
    pool = pool_of("a", "b", "slow")
    for name, milliseconds in (("a", 20), ("b", 25), ("slow", 100)):
        choice.took(name, milliseconds, 0.0)
    chosen = Counter(choice.choose(pool, (), 1.0) for _ in range(900))
    assert chosen["slow"] == 0
    assert 0.8 < chosen["a"] / chosen["b"] < 1.25
    later = Counter(choice.choose(pool, (), 100.0) for _ in range(900))
    assert later["slow"] > 200


def test_a_node_that_fails_is_chosen_last_for_a_while() -> None:
    choice = NodeChoice(random.Random(1), lambda name: 0.0)
    pool = pool_of("a", "bad")
    choice.failed("bad", 0.0)
    assert {choice.choose(pool, (), 0.1) for _ in range(20)} == {"a"}
    assert {choice.choose(pool, (), 0.3) for _ in range(50)} == {"a", "bad"}
    assert choice.choose(pool, {"a"}, 0.1) == "bad"


def test_of_thousands_of_nodes_one_with_room_is_found() -> None:
    choice = NodeChoice(random.Random(1), lambda name: 0.0)
    names = [f"n{number}" for number in range(2000)]
    for name in names[:-1]:
        choice.busy(name, 0.0, 10)
    assert choice.choose(pool_of(*names), (), 1.0) == names[-1]


# -- desk -------------------------------------------------------------------------------------------------------------


def attempt(number: int = 1, task: str = "t", submitter: str = "s") -> TaskAttempt:
    return TaskAttempt(task, number, "work", submitter)


def test_an_attempt_is_run_once_and_answered_as_often_as_asked() -> None:
    desk = Desk()
    desk.add("work", print, 1)
    answer, job = desk.take(attempt(), None)
    assert answer == (ACCEPTED, {"task": "t", "attempt": 1, "load": 1, "places": 1})
    assert job is not None
    assert desk.take(attempt(), None) == (answer, None)
    done = desk.finish(job, DONE, {"result": {"x": 1}})
    assert done == (DONE, {"task": "t", "attempt": 1, "result": {"x": 1}, "load": 0, "places": 1})
    assert desk.take(attempt(), None) == (done, None)
    assert desk.take(attempt(2), None)[1] is not None
    assert desk.take(attempt(submitter="other"), None)[0][0] == ACCEPTED


def test_places_queue_and_busy() -> None:
    desk = Desk()
    desk.add("work", print, 2)
    jobs = [desk.take(attempt(task=f"t{number}"), None) for number in range(2 + 2 * QUEUE_FACTOR + 1)]
    assert [job is not None for _, job in jobs] == [True, True] + [False] * (2 * QUEUE_FACTOR + 1)
    assert jobs[-2][0][0] == ACCEPTED
    assert jobs[-1][0] == (
        REFUSED,
        {"task": "t34", "attempt": 1, "reason": "busy", "load": 2 + 2 * QUEUE_FACTOR, "places": 2},
    )
    first = jobs[0][1]
    assert first is not None
    desk.finish(first, DONE, {"result": None})
    following = desk.following("work")
    assert following is not None
    assert following.attempt.task_id == "t2"
    assert desk.following("work") is None


def test_no_handler_stopping_and_unknown() -> None:
    desk = Desk()
    assert desk.take(attempt(), None)[0][1]["reason"] == "no handler"
    desk.add("work", print, 1)
    desk.take(attempt(1), None)
    desk.take(attempt(2), None)
    assert [job.attempt.number for job in desk.stop()] == [2]
    assert desk.take(attempt(3), None)[0][1]["reason"] == "stopping"
    assert desk.check("s", [("t", 1), ("t", 2)]) == [
        (RUNNING, {"attempts": [["t", 1]]}),
        (REFUSED, {"task": "t", "attempt": 2, "reason": "unknown"}),
    ]
    assert desk.check("another", [("t", 1)])[0][1]["reason"] == "unknown"
    assert desk.jobs == 1


def test_a_check_brings_a_result_that_was_lost() -> None:
    desk = Desk()
    desk.add("work", print, 1)
    _, job = desk.take(attempt(), None)
    assert job is not None
    desk.finish(job, DONE, {"result": 7})
    ((kind, data),) = desk.check("s", [("t", 1)])
    assert (kind, data["result"]) == (DONE, 7)


def test_what_waits_is_cancelled_and_what_runs_is_handed_out_to_be() -> None:
    desk = Desk()
    desk.add("work", print, 1)
    _, job = desk.take(attempt(1), None)
    desk.take(attempt(2), None)
    assert desk.cancel(attempt(2)) is None
    assert desk.cancel(attempt(1)) is job
    assert desk.cancel(attempt(9)) is None
    assert desk.jobs == 1
    assert desk.take(attempt(2), None)[0][1]["reason"] == "cancelled"


def test_what_is_remembered_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_REMEMBERED", 10)
    desk = Desk()
    desk.add("work", print, 1)
    for number in range(1, 101):
        _, job = desk.take(attempt(number), None)
        assert job is not None
        desk.finish(job, DONE, {"result": "x" * (4 << 20) if number > 50 else None})
    assert len(desk._over) <= 10
    assert desk._over_bytes == sum(len(said) for _, said in desk._over.values()) <= desk_module.MOST_REMEMBERED_BYTES


def test_handlers_of_one_capability_share_its_tasks() -> None:
    desk = Desk()
    desk.add("work", "one", 2)
    desk.add("work", "two", 2)
    jobs = [desk.take(attempt(number), None)[1] for number in range(1, 5)]
    assert Counter(job.bench.handler for job in jobs if job and job.bench) == {"one": 2, "two": 2}
    desk.take(attempt(9), None)
    assert desk.remove("work", "none") == (False, [])
    assert desk.remove("work", "one") == (True, [])
    found, waiting = desk.remove("work", "two")
    assert found
    assert [job.attempt.number for job in waiting] == [9]
    assert not desk.has("work")
    for job in jobs:
        assert job is not None
        desk.finish(job, DONE, {"result": None})
    assert desk.jobs == 0


def test_only_what_names_attempts_is_taken_for_them() -> None:
    listed = [["t", 1], ["t", 0], ["", 1], ["x" * 65, 1], ["t", True], "t", ["t", 1, 2], [1, "t"]]
    assert list(attempts_in({"attempts": listed})) == [("t", 1)]
    assert list(attempts_in({"attempts": "x"})) == list(attempts_in(None)) == []
