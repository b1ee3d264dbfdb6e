"""Memory during a long relay: it must be flat."""

import threading

from . import lexmesh
from .figures import OURS, Row, Target
from .generator import Generator
from .lane import closing_all
from .plan import Plan
from .server_process import ServerProcess

SAMPLE_SECONDS = 0.1
SETTLED = 0.2
"""The part of the run after which buffers and caches have their size."""
MOST_GROWTH = 1024.0
"""KiB, from then to the end: under a seventh of a byte a message in ten million."""


def measure(generator: Generator, plan: Plan) -> list[Row]:
    """Relays JSON frames 1 → 1 and watches the gateway's resident memory."""
    with lexmesh.start() as server, closing_all(lexmesh.open_json_lane(server.port, 1)) as lane:
        with Watching(server) as sizes:
            run = generator.run(lane, plan.memory_messages)
        settled = sizes.found[int(len(sizes.found) * SETTLED) :]
    growth = (max(settled) - settled[0]) / 1024
    return [
        Row(
            "memory",
            f"memory over {run.messages:,} relayed messages, last {1 - SETTLED:.0%}",
            "KiB of growth",
            {OURS: [growth]},
            [Target("at most", MOST_GROWTH)],
            f"resident {settled[0] // 1024} KiB after {SETTLED:.0%}, at most {max(settled) // 1024} KiB later; "
            f"{len(settled)} samples",
        )
    ]


class Watching:
    """Reads a server's resident memory again and again, in a thread.

    Attributes:
        found: bytes.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.found: list[int] = [server.rss()]
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.found.append(self._server.rss())

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.found.append(self._server.rss())
