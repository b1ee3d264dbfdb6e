"""All tasks that one node has submitted: which node each is given to, and when another one is tried."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from lexmesh.errors import TaskError
from lexmesh.mesh.registry.node import NodeStatus
from lexmesh.mesh.registry.table import NodeTable
from lexmesh.mesh.tasks.actions import Ask, Say, Settle
from lexmesh.mesh.tasks.attempt import (
    ACCEPTED,
    BUSY,
    CANCEL,
    CHECK,
    DONE,
    FAILED,
    MOST_CHECKED,
    NO_HANDLER,
    REFUSED,
    RUNNING,
    STOPPING,
    attempts_in,
    is_attempt,
)
from lexmesh.mesh.tasks.choice import NodeChoice
from lexmesh.mesh.tasks.submission import Fault, Submission

__all__ = ["Submissions"]

ACCEPT_SECONDS = 0.5
"""After which a node that has not accepted an attempt is asked whether it has it."""

MOST_UNACCEPTED = 1
"""Such questions, before another node is tried."""

LOOK_SECONDS = 1.0
"""Between two questions to a node that has accepted, whether it still has it."""

MOST_UNANSWERED = 4
"""Of those. They are counted, not timed, so that a submitter that was held up does not blame the nodes."""

HEAL_SECONDS = 5.0
"""How long a mesh may take to heal: so long a node may be gone, and a new submitter get to know the others."""

STOPPING_SECONDS = 1.0
"""So long nothing is given to a node that stops: then all know that it is gone."""

UNREACHABLE_SECONDS = 0.25
"""So long nothing is given to a node to which there is no way."""

MOST_PASSED_OVER = 64
"""Waiting tasks that are looked at when a node is free, of which each has been refused by those that are."""

MOST_CHOICES = 1024
"""Capabilities for which is remembered how nodes fare: clients may ask for any."""

MOST_NAMED = 16  # nodes in an error


class Submissions:
    """Decides about the tasks of one submitter.

    Args:
        table: who is there.
        burden: callable(name), what speaks against a node in general.
        pick: where chance comes from.
        now: seconds, of the clock that all other methods are told.

    Attributes:
        todo: what is to be done now, in this order: whoever carries it out takes it from here.
    """

    def __init__(self, table: NodeTable, burden: Callable[[str], float], pick: random.Random, now: float = 0.0) -> None:
        self.todo: deque[Ask | Say | Settle] = deque()
        self.started = now
        self._table = table
        self._burden = burden
        self._pick = pick
        self._tasks: dict[str, Submission] = {}
        self._waiting: dict[str, OrderedDict[str, Submission]] = {}  # by capability and task
        self._at: dict[str, dict[str, Submission]] = {}  # by node and task
        self._choices: dict[str, NodeChoice] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task: str) -> bool:
        return task in self._tasks

    # -- what the submitter wants -----------------------------------------------------------------------------------

    def add(self, task: str, capability: str, timeout: float, attempt_seconds: float | None, now: float) -> None:
        """Takes a new task.

        Args:
            task: its id.
            capability: what a node must have.
            timeout: seconds.
            attempt_seconds: after which another node is tried; None for half of the time that is left.
            now: seconds.
        """
        one = self._tasks[task] = Submission(task, capability, now + timeout, attempt_seconds, now)
        self._wait(one, first=False)
        self._hand_out(capability, now)
        self._settle_if_hopeless(one, now)

    def withdraw(self, task: str, seconds: float | None, now: float) -> TaskError | None:
        """Gives a task up; its node is told.

        Args:
            task: which.
            seconds: how long the submitter has waited, if that is why.
            now: seconds.

        Returns:
            What the submitter may be told; None if the task is settled.
        """
        one = self._tasks.get(task)
        if one is None:
            return None
        error = one.late(seconds or 0.0)
        self._end(one, now)
        return error

    def fail(self, task: str, fault: Fault, now: float) -> None:
        """A task cannot even be asked for."""
        if (one := self._tasks.get(task)) is not None:
            self._settle(one, None, one.fault(fault), now)

    def fail_all(self, reason: str, now: float) -> None:
        """Gives up all tasks, since this node stops."""
        for one in list(self._tasks.values()):
            self._settle(one, None, TaskError(one.capability, reason, tuple(one.tried)), now)

    # -- what nodes say ---------------------------------------------------------------------------------------------

    def heard(self, node: str, kind: str, data: Any, now: float) -> None:
        """Takes what a node says of its attempts; what is about one that was given up is ignored.

        Args:
            node: who says so.
            kind, data: the message's type and data; anything.
            now: seconds.
        """
        if not isinstance(data, dict):
            return
        if kind == RUNNING:
            for task, number in attempts_in(data):
                if (one := self._attempt(node, task, number)) is not None:
                    self._accepted(one, now)
            return
        one = self._attempt(node, data["task"], data["attempt"]) if is_attempt(data) else None
        if one is None:
            return
        self._learn_load(one, data, now)
        if kind == ACCEPTED:
            self._accepted(one, now)
        elif kind == DONE:
            self._choice(one).took(node, _milliseconds(data), now)
            self._settle(one, data.get("result"), None, now)
        elif kind == FAILED:
            self._failed(one, data, now)
        elif kind == REFUSED:
            self._refused(one, data.get("reason"), now)

    def _attempt(self, node: str, task: str, number: int) -> Submission | None:
        one = self._tasks.get(task)
        return one if one is not None and one.node == node and one.number == number else None

    def _learn_load(self, one: Submission, data: dict[str, Any], now: float) -> None:
        load, places = data.get("load"), data.get("places")
        if type(load) is int and type(places) is int and load >= 0 and places > 0:
            self._choice(one).said(one.node, load, places, now)

    def _accepted(self, one: Submission, now: float) -> None:
        one.unanswered = 0
        if not one.accepted:
            one.accepted = True
            one.next_look = now + LOOK_SECONDS
            self._hand_out(one.capability, now)  # how many more it takes may be known only now

    def _failed(self, one: Submission, data: dict[str, Any], now: float) -> None:
        fault = Fault.of(one.node, data.get("error"))
        told = data.get("error")
        if fault.is_refusal or (isinstance(told, dict) and told.get("final") is True):
            self._settle(one, None, one.fault(fault), now)
            return
        self._choice(one).failed(one.node, now)
        self._exclude(one, fault, now)

    def _refused(self, one: Submission, reason: Any, now: float) -> None:
        node, choice = one.node, self._choice(one)
        if reason == NO_HANDLER:
            choice.failed(node, now)
            self._exclude(one, Fault(node, "it declares the capability and has no handler"), now)
            return
        if reason == BUSY:
            choice.busy(node, now)
        elif reason == STOPPING:
            choice.busy(node, now, STOPPING_SECONDS)
        else:
            one.since = now
        self._again(one, now)

    # -- what becomes of nodes --------------------------------------------------------------------------------------

    def lost(self, node: str, now: float) -> None:
        """A node is gone: what it had is done elsewhere."""
        for one in list(self._at.get(node, {}).values()):
            self._silent(one, now)
        for choice in self._choices.values():
            choice.forget(node)

    def changed(self, node: str, status: str, now: float) -> None:
        """A node's status has changed."""
        if status == NodeStatus.DORMANT:
            self.lost(node, now)
        elif status == NodeStatus.DISCONNECTED:  # it stops, and does what it has begun
            for one in list(self._at.get(node, {}).values()):
                if not one.accepted:
                    one.since = now
                    self._again(one, now)
        elif status == NodeStatus.ACTIVE:
            self.try_waiting(now)

    def unreachable(self, task: str, number: int, now: float) -> None:
        """An attempt could not be sent."""
        one = self._tasks.get(task)
        if one is not None and one.node and one.number == number:
            self._choice(one).busy(one.node, now, UNREACHABLE_SECONDS)
            self._again(one, now)

    def try_waiting(self, now: float) -> None:
        """Looks who can have what waits: somebody may have come."""
        for capability in list(self._waiting):
            self._hand_out(capability, now)
            for one in list(self._waiting.get(capability, {}).values()):
                self._settle_if_hopeless(one, now)

    # -- when time passes -------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Asks after what takes long, and gives it to others where nobody answers."""
        asked: dict[str, list[list[Any]]] = defaultdict(list)
        for attempts in list(self._at.values()):
            for one in list(attempts.values()):
                if now >= one.next_look:
                    self._look_at(one, asked, now)
                elif now >= one.give_up_at:
                    self._give_up(one, now)
        for node, listed in asked.items():
            for at in range(0, len(listed), MOST_CHECKED):
                self.todo.append(Say(node, CHECK, {"attempts": listed[at : at + MOST_CHECKED]}))
        self.try_waiting(now)

    def _look_at(self, one: Submission, asked: dict[str, list[list[Any]]], now: float) -> None:
        if one.unanswered >= (MOST_UNANSWERED if one.accepted else MOST_UNACCEPTED):
            self._choice(one).failed(one.node, now)
            self._silent(one, now)
            return
        one.unanswered += 1
        one.next_look = now + (LOOK_SECONDS if one.accepted else ACCEPT_SECONDS)
        asked[one.node].append([one.id, one.number])
        if now >= one.give_up_at:
            self._give_up(one, now)

    def _give_up(self, one: Submission, now: float) -> None:
        """Tries another node, if there is one that could begin now."""
        exclude = {*one.failed, one.node}
        if self._choice(one).choose(self._table.able(one.capability), exclude, now) is None:
            return
        self._choice(one).failed(one.node, now)
        self.todo.append(_cancel(one.node, one.id, one.number))
        self._exclude(one, Fault(one.node, "it took too long"), now)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _choice(self, one: Submission) -> NodeChoice:
        choice = self._choices.get(one.capability)
        if choice is None:
            if len(self._choices) >= MOST_CHOICES:
                del self._choices[next(iter(self._choices))]
            choice = self._choices[one.capability] = NodeChoice(self._pick, self._burden)
        return choice

    def _wait(self, one: Submission, *, first: bool) -> None:
        waiting = self._waiting.setdefault(one.capability, OrderedDict())
        waiting[one.id] = one
        if first:
            waiting.move_to_end(one.id, last=False)

    def _silent(self, one: Submission, now: float) -> None:
        """A node may have an attempt, or not: others come first."""
        one.silent[one.node] = one.number, one.epoch
        one.since = now
        self._again(one, now)

    def _exclude(self, one: Submission, fault: Fault, now: float) -> None:
        one.failed[one.node] = fault
        self._again(one, now)

    def _again(self, one: Submission, now: float) -> None:
        """Ends an attempt, and looks for another node."""
        self._leave(one)
        self._wait(one, first=True)
        self._hand_out(one.capability, now)
        self._settle_if_hopeless(one, now)

    def _leave(self, one: Submission) -> None:
        node, one.node = one.node, ""
        if not node:
            return
        self._choice(one).ended(node)
        attempts = self._at[node]
        del attempts[one.id]
        if not attempts:
            del self._at[node]

    def _hand_out(self, capability: str, now: float) -> None:
        """Gives waiting tasks to nodes while one has room."""
        waiting = self._waiting.get(capability, OrderedDict())
        able = self._table.able(capability)
        given: list[str] = []
        passed_over = 0
        for one in waiting.values():
            node = self._choice(one).choose(able, one.failed, now)
            if node is not None:
                given.append(one.id)
                self._give(one, node, now)
                continue
            passed_over += 1
            if not one.failed or passed_over == MOST_PASSED_OVER:
                break
        for task in given:
            del waiting[task]
        if given and not waiting:
            del self._waiting[capability]

    def _give(self, one: Submission, node: str, now: float) -> None:
        known = self._table.get(node)
        one.give_to(node, 0 if known is None else known.entry.epoch, now, ACCEPT_SECONDS)
        self._at.setdefault(node, {})[one.id] = one
        self._choice(one).asked(node)
        self.todo.append(Ask(node, one.id, one.number, one.capability))

    def _settle_if_hopeless(self, one: Submission, now: float) -> None:
        """Ends a task for which no node is there, once none is to be expected."""
        able = self._table.able(one.capability)
        if one.node or one.id not in self._tasks or len(able) > len(one.failed):
            return
        if any(name not in one.failed for name in able.names()):
            return
        is_declared = any(one.capability in node.entry.capabilities for node in self._table)
        if one.failed or now >= (one.since if is_declared else self.started) + HEAL_SECONDS:
            self._settle(one, None, one.no_node(self._known_nodes()), now)

    def _known_nodes(self) -> str:
        """The nodes that are there and what they take, for an error."""
        there = [node.entry for node in self._table if node.status is NodeStatus.ACTIVE]
        named = [f"{entry.node_id} ({', '.join(sorted(entry.capabilities)[:MOST_NAMED]) or 'none'})" for entry in there]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return ", ".join(named[:MOST_NAMED]) + more

    def _settle(self, one: Submission, result: Any, error: TaskError | None, now: float) -> None:
        if one.node:  # it knows
            self._leave(one)
            self._hand_out(one.capability, now)
        self._end(one, now)
        self.todo.append(Settle(one.id, result, error))

    def _end(self, one: Submission, now: float) -> None:
        """Forgets a task, and tells whoever may still have it."""
        del self._tasks[one.id]
        if one.node:
            self.todo.append(_cancel(one.node, one.id, one.number))
            self._leave(one)
            self._hand_out(one.capability, now)
        elif waiting := self._waiting.get(one.capability):
            waiting.pop(one.id, None)
            if not waiting:
                del self._waiting[one.capability]
        self.todo.extend(_cancel(node, one.id, number) for node, (number, _) in one.silent.items())


def _cancel(node: str, task: str, number: int) -> Say:
    return Say(node, CANCEL, {"task": task, "attempt": number})


def _milliseconds(data: dict[str, Any]) -> float:
    taken = data.get("ms")
    return float(taken) if isinstance(taken, int | float) and 0 <= taken < float("inf") else 0.0
