"""The gRPC server beside a plain grpc.aio servicer with generated classes: the server's CPU a message, in turns.

Both call a Python handler for each message. Ours polices each, counts it and looks for duplicates.
"""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
from grpc_servers import load
from peers.server_process import ServerProcess, free_port, python

Load = Callable[[int, int], None]

ROUNDS = 5
WARM = 2000


def server(name: str) -> ServerProcess:
    port = free_port()
    return ServerProcess(name, python(f"grpc_servers.{name}", port), port)


def cpu_of(running: ServerProcess, work: Load, count: int) -> float:
    """The server's CPU a message, nanoseconds; `work` checks each answer."""
    before = running.cpu_ns()
    work(running.port, count)
    return (running.cpu_ns() - before) / count


def compared(ours: Load, our_count: int, plain: Load, plain_count: int) -> tuple[float, float, float]:
    """Medians of ours and of the plain server's, in nanoseconds, and of the ratio within a round."""
    with server("ours") as first, server("plain") as second:
        cpu_of(first, ours, WARM)
        cpu_of(second, plain, WARM)
        rounds = [(cpu_of(first, ours, our_count), cpu_of(second, plain, plain_count)) for _ in range(ROUNDS)]
    found = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return found[0], found[1], statistics.median(theirs / mine for mine, theirs in rounds)


@pytest.mark.parametrize(
    ("ours", "our_count", "plain", "plain_count", "least"),
    [
        (load.stream_events, 10_000, load.stream_events, 10_000, 1.5),
        (load.link, 300_000, load.stream_events, 10_000, 60),
        (load.send_data, 3_000, load.send_data, 3_000, 1.0),
    ],
    ids=["StreamEvents", "Link", "SendData"],
)
def test_messages_per_cpu_second(
    benchmark: Any, ours: Load, our_count: int, plain: Load, plain_count: int, least: float
) -> None:
    """`least` times those of the plain servicer, one message an item."""
    found = benchmark.pedantic(lambda: compared(ours, our_count, plain, plain_count), rounds=1)
    mine, theirs, ratio = found
    benchmark.extra_info.update(ours_ns=round(mine), plain_ns=round(theirs), ratio=round(ratio, 2))
    assert ratio >= least, f"{mine:.0f} ns a message, {theirs:.0f} ns in a plain servicer: {ratio:.2f} times"
