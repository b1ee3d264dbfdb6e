"""How much is measured: enough for figures that repeat, or just enough to see that everything works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of a run.

    Attributes:
        rounds: how often everything is measured.
        relay_messages: of each contender, 1 → 1 in each round.
        pair_messages: from Python to Python in each round, by contender.
        requests: of each contender in each round.
        loaded_seconds: of requests beside other traffic, in each round.
        connections: idle ones.
        broadcasts: to all of them.
        memory_messages: relayed while memory is watched.
    """

    rounds: int
    relay_messages: int
    pair_messages: dict[str, int]
    requests: int
    loaded_seconds: float
    connections: int
    broadcasts: int
    memory_messages: int


FULL = Plan(
    rounds=5,
    relay_messages=512_000,
    pair_messages={"lexmesh": 400_000, "zenoh": 200_000, "pyzmq": 400_000, "nats-py": 60_000},
    requests=5_000,
    loaded_seconds=3.0,
    connections=10_000,
    broadcasts=7,
    memory_messages=10_000_000,
)
QUICK = Plan(
    rounds=1,
    relay_messages=12_800,
    pair_messages={"lexmesh": 5_000, "zenoh": 5_000, "pyzmq": 5_000, "nats-py": 5_000},
    requests=200,
    loaded_seconds=0.5,
    connections=200,
    broadcasts=2,
    memory_messages=100_000,
)
