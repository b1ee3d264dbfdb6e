"""Python to Python through Redis, 200 bytes, one publisher and subscriber: lexmesh beside redis-py alone.

Both on uvloop with hiredis, in turns on one server; the subscriber checks that each message comes once and in order,
and reads its number. Ours polices each twice, counts it and looks for duplicates.
"""

import json
import statistics
import subprocess
from contextlib import ExitStack
from typing import Any

from peers import redis as redis_peer
from peers.server_process import environment, python

LEAST = 20.0
ROUNDS = 3
COUNTS = {"lexmesh": 300_000, "plain": 10_000, "durable": 20_000, "stream": 5_000}


def messages_a_second(kind: str, url: str) -> float:
    """What the subscriber took, over the time from the first message to the last."""
    count = COUNTS[kind]
    with ExitStack() as stack:
        ends = []
        for role in ("subscribe", "publish"):
            command = python("redis_ends", kind, role, url, count)
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            end = stack.enter_context(subprocess.Popen(command, env=environment(), **pipes))
            stack.callback(end.kill)
            assert json.loads(end.stdout.readline()) == {"ready": True}
            ends.append(end)
        ends[1].stdin.write("go\n")
        ends[1].stdin.flush()
        found = json.loads(ends[0].stdout.readline())
        assert found["count"] == count
        return count / found["seconds"]


def compared(ours: str, theirs: str) -> tuple[float, float, float]:
    """Messages a second of two, and the ratio within each round; medians."""
    with redis_peer.start() as server:
        url = f"redis://127.0.0.1:{server.port}"
        rounds = [(messages_a_second(ours, url), messages_a_second(theirs, url)) for _ in range(ROUNDS)]
    found = [statistics.median(column) for column in zip(*rounds, strict=True)]
    return found[0], found[1], statistics.median(one / other for one, other in rounds)


def test_python_to_python_through_redis(benchmark: Any) -> None:
    ours, plain, ratio = benchmark.pedantic(compared, ("lexmesh", "plain"), rounds=1)
    benchmark.extra_info.update(ours=round(ours), plain=round(plain), ratio=round(ratio, 1))
    assert ratio >= LEAST, f"{ours:.0f} messages a second, redis-py's own {plain:.0f}: {ratio:.1f} times"


def test_durable_work_through_redis(benchmark: Any) -> None:
    """Stored, handled and acknowledged one by one, in order; theirs has no policy and finds no duplicates."""
    ours, plain, ratio = benchmark.pedantic(compared, ("durable", "stream"), rounds=1)
    benchmark.extra_info.update(ours=round(ours), plain=round(plain), ratio=round(ratio, 1))
