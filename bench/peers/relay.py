"""Relaying: the server's CPU time for each 200-byte message, from one publisher to its subscribers."""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from . import bare, lexmesh, nats, redis
from .figures import Row, Target
from .generator import Generator
from .lane import Lane, closing_all
from .plan import Plan
from .server_process import ServerProcess

FANOUT = 8
BATCH = 64
PEERS = ("nats-server", "redis-server")
FRAMES, FRAMES_PROTO, BATCHES = "lexmesh", "lexmesh proto", f"lexmesh proto x{BATCH}"
BARE = "bare relay"

Contender = tuple[ServerProcess, Callable[[int, int], Lane]]
"""A server, and what opens a lane on its port for so many subscribers."""


@contextmanager
def contenders() -> Iterator[dict[str, Contender]]:
    """All servers, running, and a bare relay; a gateway for each way of ours, as all publish on one subject."""
    ways: dict[str, tuple[Callable[[], ServerProcess], Callable[[int, int], Lane]]] = {
        FRAMES: (lexmesh.start, lexmesh.open_json_lane),
        "nats-server": (nats.start, nats.open_lane),
        FRAMES_PROTO: (lexmesh.start, partial(lexmesh.open_proto_lane, batch=1)),
        "redis-server": (redis.start, redis.open_lane),
        BATCHES: (lexmesh.start, partial(lexmesh.open_proto_lane, batch=BATCH)),
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lexmesh-bench-")))
        ways[BARE] = partial(bare.start, directory), bare.open_lane
        yield {name: (stack.enter_context(start()), open_lane) for name, (start, open_lane) in ways.items()}


def measure(generator: Generator, plan: Plan) -> list[Row]:
    """1 → 1 and 1 → 8, everybody in each round."""
    with contenders() as found:
        one = relayed(generator, found, 1, plan.relay_messages, plan.rounds)
        many = relayed(generator, found, FANOUT, plan.relay_messages * 2 // FANOUT, plan.rounds)
    unit = "ns of server CPU a delivery"
    return [
        Row(
            "relay",
            "relay 200 B, 1 → 1, one event a frame",
            unit,
            one,
            [Target("at most", 1 / 4, PEERS, FRAMES), Target("at most", 1 / 4, PEERS, FRAMES_PROTO)],
            f"lexmesh: one JSON event a text frame; lexmesh proto: a binary frame for each event; {kernels_part(one)}",
        ),
        Row(
            "relay",
            f"relay 200 B, 1 → 1, {BATCH} events a batch",
            unit,
            {name: one[name] for name in (BATCHES, *PEERS, BARE)},
            [Target("at most", 1 / 6, PEERS, BATCHES)],
            f"lexmesh: {BATCH} events a binary frame; the others, in the same run, have one command a message",
        ),
        Row(
            "relay",
            f"fan-out 200 B, 1 → {FANOUT}",
            unit,
            many,
            [Target("at most", 1 / 5, PEERS, ours) for ours in (FRAMES, FRAMES_PROTO, BATCHES)],
            kernels_part(many),
        ),
    ]


def kernels_part(samples: dict[str, list[float]]) -> str:
    """What no relay can do without."""
    return f"a relay that looks at nothing takes {statistics.median(samples[BARE]):.0f}"


def relayed(
    generator: Generator, found: dict[str, Contender], subscribers: int, messages: int, rounds: int
) -> dict[str, list[float]]:
    """CPU nanoseconds a delivery, by contender and round; rounds go through all contenders in turn."""
    messages -= messages % BATCH
    samples: dict[str, list[float]] = {name: [] for name in found}
    with ExitStack() as stack:
        lanes = {
            name: stack.enter_context(closing_all(open_lane(server.port, subscribers)))
            for name, (server, open_lane) in found.items()
        }
        for lane in lanes.values():
            generator.run(lane, messages // 10 // BATCH * BATCH)
        for _ in range(rounds):
            for name, (server, _) in found.items():
                before = server.cpu_ns()
                generator.run(lanes[name], messages)
                samples[name].append((server.cpu_ns() - before) / messages / subscribers)
    return samples
