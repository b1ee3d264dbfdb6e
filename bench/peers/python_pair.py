"""Python process to Python handler in another process: messages a second, nothing lost."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from . import nats
from .figures import OURS, Row, Target
from .generator import Generator
from .plan import Plan
from .server_process import die_with_parent, environment, free_port, python

END_SECONDS = 60.0
LIBRARIES = (OURS, "zenoh", "pyzmq", "nats-py")
TARGETS = [
    Target("at least", 5, ("zenoh",)),
    Target("at least", 3, ("pyzmq",)),
    Target("at least", 15, ("nats-py",)),
]


class PairError(Exception):
    """An end failed, or messages were lost."""


def measure(_generator: Generator, plan: Plan) -> list[Row]:
    """All libraries in each round."""
    samples: dict[str, list[float]] = {name: [] for name in LIBRARIES}
    with nats.start() as broker:
        for _ in range(plan.rounds):
            for name in LIBRARIES:
                port = broker.port if name == "nats-py" else free_port()
                samples[name].append(messages_a_second(name, port, plan.pair_messages[name]))
    return [
        Row(
            "python",
            "Python process to Python handler, 200 B",
            "messages a second",
            samples,
            TARGETS,
            "client to gateway for lexmesh, policed; the handler counts and decodes nothing, for all",
        )
    ]


def messages_a_second(library: str, port: int, count: int) -> float:
    """One round: from the first call that sends to the last call of the handler.

    Raises:
        PairError: if an end fails or the handler did not get every message in order.
    """
    with end("receive", library, port, count) as receiver:
        heard(receiver, library)
        with end("send", library, port, count) as sender:
            started: int = heard(sender, library)["started_ns"]
            found = heard(receiver, library)
            if sender.wait(END_SECONDS):
                raise PairError(f"{library}: the sender ended with {sender.returncode}: {last_words(sender)}")
    if (found["count"], found["first"], found["last"]) != (count, 0, count - 1):
        raise PairError(f"{library}: {count} messages were sent, {found} came")
    seconds = (int(found["ended_ns"]) - started) / 1e9
    return count / seconds


@contextlib.contextmanager
def end(role: str, library: str, port: int, count: int) -> Iterator["subprocess.Popen[str]"]:
    """One end's process."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            python("peers.pair", role, library, port, count),
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=tempfile.gettempdir(),
            env=environment(),
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        process.complaints = complaints  # type: ignore[attr-defined]
        with process:
            try:
                yield process
            finally:
                process.terminate()


def heard(process: "subprocess.Popen[str]", library: str) -> dict[str, Any]:
    """The next thing that an end says.

    Raises:
        PairError: if it ends instead.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise PairError(f"{library}: an end stopped with {process.returncode}: {last_words(process)}")
    found: dict[str, Any] = json.loads(line)
    return found


def last_words(process: "subprocess.Popen[str]") -> str:
    """The end of what a process wrote to stderr."""
    process.complaints.seek(0)  # type: ignore[attr-defined]
    return str(process.complaints.read().strip()[-500:])  # type: ignore[attr-defined]
