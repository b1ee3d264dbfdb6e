"""Many idle connections: what each costs, and how long one message takes to reach them all."""

import contextlib
import resource

from . import lexmesh
from .figures import OURS, Row, Target
from .generator import Generator
from .lane import Lane, closing_all
from .plan import Plan
from .server_process import ServerProcess
from .websocket import open_websocket

SPARE_DESCRIPTORS = 200
MOST_KIB = 12.0
MOST_MS = 150.0


class TooFewDescriptorsError(Exception):
    """The system allows this process too few open files."""


def allow_descriptors(count: int) -> None:
    """Raises this process's limit of open files, which its children inherit.

    Raises:
        TooFewDescriptorsError: if the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise TooFewDescriptorsError(f"{count} open files are needed, the hard limit is {hard}: raise it (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def measure(generator: Generator, plan: Plan) -> list[Row]:
    """Opens the connections, subscribes all of them, then broadcasts."""
    count = plan.connections
    allow_descriptors(count + SPARE_DESCRIPTORS)
    settings = {"LEXMESH_MAX_CONNECTIONS": str(count + SPARE_DESCRIPTORS)}
    with lexmesh.start(**settings) as server, closing_all(lexmesh.open_json_lane(server.port, 1)) as lane:
        generator.run(lane, 1000)  # what the first messages allocate is not the connections'
        idle, subscribed = opened(lane, server, count)
        times = [generator.run(lane, 1).elapsed_ns / 1e6 for _ in range(plan.broadcasts)]
    return [
        Row(
            "connections",
            f"{count:,} idle connections, subscribed",
            "KiB of the gateway's memory each",
            {OURS: [subscribed], "before they subscribe": [idle]},
            [Target("at most", MOST_KIB)],
            "resident memory of the process; socket buffers are the kernel's and not in it",
        ),
        Row(
            "connections",
            f"one broadcast to {count:,} connections",
            "ms from the publish to the last byte read",
            {OURS: times},
            [Target("at most", MOST_MS)],
        ),
    ]


def opened(lane: Lane, server: ServerProcess, count: int) -> tuple[float, float]:
    """Adds subscribers to a lane; KiB of memory for each before and after they subscribe."""
    before = server.rss()
    sockets = lane.subscribers[:]
    with contextlib.ExitStack() as undo:
        undo.callback(lambda: lane.subscribers.extend(sockets[1:]))
        sockets += (open_websocket(server.port) for _ in range(count))
        connected = server.rss()
        for sock in sockets[1:]:
            lexmesh.subscribe(sock, proto=False)
        subscribed = server.rss()
    return (connected - before) / count / 1024, (subscribed - before) / count / 1024
