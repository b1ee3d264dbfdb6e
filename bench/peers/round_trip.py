"""Round trips of one small request: idle beside a bare picows echo, and under other traffic."""

import time
from contextlib import ExitStack
from typing import NamedTuple

from . import lexmesh
from .figures import OURS, Row, Target
from .generator import Generator, Run, finished
from .lane import Incoming, Lane, Outgoing, closing_all
from .message import EPOCHS, FIRST_SEQ, SOURCE
from .plan import Plan
from .server_process import ServerProcess, free_port, python
from .websocket import MASK, TEXT, frame, masked, open_websocket

ECHO = "picows echo"
OTHER_TRAFFIC = 100_000
"""Messages a second through the same gateway, 1 → 1."""
MOST_P99_MS = 5.0
WARM_UP = 200


class Loaded(NamedTuple):
    """Requests beside other traffic.

    Attributes:
        asked: what they took.
        rate: messages a second that were relayed meanwhile.
        waited: share of the time in which the gateway had work and no CPU: others' load, not the gateway's.
    """

    asked: Run
    rate: float
    waited: float


def start(module: str, name: str) -> ServerProcess:
    """A server that answers: ours, or picows' echo."""
    port = free_port()
    return ServerProcess(name, python(f"peers.servers.{module}", port), port)


def open_lane(port: int) -> Lane:
    """A connection that asks and gets its answers."""
    number = str(FIRST_SEQ).encode()
    request = b'{"type":"ask","source_node":"%s","id":"%s:%d:%s","data":{"question":"how warm is it?"}}'
    source = f"{SOURCE}-asking".encode()
    unit = frame(TEXT, request % (source, source, next(EPOCHS), number))
    sock = open_websocket(port)
    return Lane(sock, [sock], Outgoing(unit, unit.index(masked(number)), mask=MASK), Incoming("reply", b"", 0))


def measure(generator: Generator, plan: Plan) -> list[Row]:
    """Idle rounds in turn, then requests beside a relay."""
    with ExitStack() as stack:
        ours = stack.enter_context(start("answering_gateway", OURS))
        echo = stack.enter_context(start("picows_echo", ECHO))
        lanes = {
            OURS: stack.enter_context(closing_all(open_lane(ours.port))),
            ECHO: stack.enter_context(closing_all(open_lane(echo.port))),
        }
        idle: dict[str, list[float]] = {name: [] for name in lanes}
        for lane in lanes.values():
            generator.run(lane, WARM_UP, window=1)
        for _ in range(plan.rounds):
            for name, lane in lanes.items():
                idle[name].append(generator.run(lane, plan.requests, window=1).p50_ns / 1000)
        runs = [beside_traffic(generator, ours, lanes[OURS], plan.loaded_seconds) for _ in range(plan.rounds)]
    return [_idle_row(idle), _loaded_row(runs)]


def beside_traffic(generator: Generator, server: ServerProcess, lane: Lane, seconds: float) -> Loaded:
    """Requests one after the other while a relay runs."""
    with closing_all(lexmesh.open_json_lane(server.port, 1)) as relay:
        began, waited = time.monotonic_ns(), server.waited_ns()
        traffic = generator.start(relay, int(OTHER_TRAFFIC * seconds), rate=OTHER_TRAFFIC)
        try:
            asked = generator.run(lane, 100_000, window=1, seconds=seconds * 0.9)
            relayed = finished(traffic)
        finally:
            traffic.kill()
        waited, took = server.waited_ns() - waited, time.monotonic_ns() - began
    return Loaded(asked, relayed.messages / relayed.elapsed_ns * 1e9, waited / took)


def _idle_row(samples: dict[str, list[float]]) -> Row:
    return Row(
        "round-trip",
        "round trip of one small request, idle, p50",
        "µs",
        samples,
        [Target("at most", 1.25, (ECHO,))],
        "lexmesh: policed JSON to a Python handler whose dict is sent back; picows: the bytes as they came",
    )


def _loaded_row(runs: list[Loaded]) -> Row:
    return Row(
        "round-trip",
        f"round trip p99 under {OTHER_TRAFFIC:,} msg/s of other traffic",
        "ms",
        {OURS: [run.asked.p99_ns / 1e6 for run in runs], "p50": [run.asked.p50_ns / 1e6 for run in runs]},
        [Target("at most", MOST_P99_MS)],
        f"relayed meanwhile: {min(run.rate for run in runs):,.0f} msg/s at least; "
        f"the gateway had to wait for a CPU {max(run.waited for run in runs):.0%} of the time at most",
    )
