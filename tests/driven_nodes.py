"""Nodes as processes that do what they are told, and what a mesh of them must be like once nothing disturbs it."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from cli_process import PATIENCE, Running, until

DRIVER = Path(__file__).with_name("mesh_driver.py")
HEAL_SECONDS = 5.0


class DrivenNode(Running):
    """A node of a mesh in a process.

    Args:
        options: of MeshConfig.
        enter: command that runs another one, in a namespace perhaps.
    """

    def __init__(self, options: dict[str, Any], enter: Sequence[str] = ()) -> None:
        path = os.pathsep.join(filter(None, [str(DRIVER.parent), os.environ.get("PYTHONPATH")]))
        command = [*enter, sys.executable, str(DRIVER)]
        super().__init__(orjson.dumps(options).decode(), command=command, env={"PYTHONPATH": path})
        self.name: str = options["node_id"]
        try:
            self.port: int = orjson.loads(self.line(having=b"port"))["port"]
        except BaseException:
            self.__exit__()
            raise

    def ask(self, command: str, *arguments: Any) -> Any:
        """Has it do something; the answer."""
        self.begin(command, *arguments)
        return self.answer()

    def begin(self, command: str, *arguments: Any) -> None:
        """Has it do something that takes a while."""
        self.process.stdin.write(orjson.dumps([command, *arguments]) + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The answer to what was begun first."""
        return orjson.loads(self.line())

    def stop(self) -> dict[str, Any]:
        """Ends it in order; its final ledger."""
        code = self.end(signal.SIGTERM)
        assert code == 0, self.text("stderr")
        return orjson.loads(self.seen["stdout"][-1])


class Deadline:
    """Waits for conditions that must hold by a time.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float = HEAL_SECONDS) -> None:
        self._seconds = seconds
        self._end = monotonic() + seconds

    def until(self, condition: Callable[[], Any], what: str, found: Callable[[], Any] = lambda: "") -> None:
        """Waits for a condition; `found` tells what there is instead."""

        def holds() -> bool:
            if condition():
                return True
            assert monotonic() < self._end, f"not within {self._seconds} s: {what} {found()}"
            return False

        until(holds, what)


def looks(nodes: Sequence[DrivenNode]) -> dict[str, Any]:
    """What each node sees."""
    return {one.name: one.ask("look") for one in nodes}


def is_whole(nodes: Sequence[DrivenNode]) -> bool:
    """Whether each node has each one as active, and is linked to each other one."""
    names = sorted(one.name for one in nodes)
    return all(
        found["nodes"] == dict.fromkeys(names, "active") and found["links"] == [name for name in names if name != own]
        for own, found in looks(nodes).items()
    )


def whole(nodes: Sequence[DrivenNode], seconds: float = PATIENCE) -> None:
    """Waits until the mesh is whole."""
    Deadline(seconds).until(lambda: is_whole(nodes), "all linked to all", lambda: looks(nodes))


def all_known(nodes: Sequence[DrivenNode]) -> None:
    """Waits until each node has each one as active, linked to it or not."""
    names = {one.name: "active" for one in nodes}
    until(lambda: all(found["nodes"] == names for found in looks(nodes).values()), "all know all")


def healed(nodes: Sequence[DrivenNode], label: str, state: dict[str, Any]) -> None:
    """What must hold five seconds after whatever disturbed a mesh is over.

    Args:
        nodes: all of them.
        label: tells the notes of this time from others.
        state: what the shared state must be, everywhere.
    """
    deadline = Deadline()
    deadline.until(lambda: is_whole(nodes), "all linked to all", lambda: looks(nodes))
    deadline.until(
        lambda: all(one.ask("state") == state for one in nodes),
        f"the same state, {state}",
        lambda: {one.name: one.ask("state") for one in nodes},
    )
    everyone_hears_everyone(nodes, label)


def everyone_hears_everyone(nodes: Sequence[DrivenNode], label: str) -> None:
    """A note from each to all, and one from each to each, arrive once; then nothing waits and ledgers balance."""
    for one in nodes:
        one.ask("say", f"{label} to all")
        for other in nodes:
            one.ask("say", f"{label} to {other.name}", other.name)
    for one in nodes:
        texts = f"{label} to all", f"{label} to {one.name}"
        wanted = sorted([other.name, text] for other in nodes for text in texts)
        until(lambda one=one, wanted=wanted: len(notes(one, label)) >= len(wanted), f"notes at {one.name}")
    until(lambda: all(is_quiet(one) for one in nodes), "ledgers that balance, and nothing that waits")
    for one in nodes:
        texts = f"{label} to all", f"{label} to {one.name}"
        assert notes(one, label) == sorted([other.name, text] for other in nodes for text in texts)


def notes(node: DrivenNode, label: str) -> list[list[str]]:
    """Notes with a label that a node has heard, sorted."""
    return sorted(note for note in node.ask("heard") if note[1].startswith(label))


def is_quiet(node: DrivenNode) -> bool:
    """Whether a node's ledger balances and nothing waits there."""
    ledger = node.ask("ledger")
    return ledger["balanced"] and ledger["egress"]["in_flight"] == 0 and ledger["undecided"] == 0
