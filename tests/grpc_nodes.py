"""What tests of gRPC share: a node on a free port, and one in a process of its own that can be killed."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from cli_process import Running

from lexmesh import GrpcServer, MeshConfig

SCRIPT = """
import sys
from lexmesh import GrpcServer

server = GrpcServer("far", port=int(sys.argv[1]))
server.register_event_handler("ask", lambda event: {"twice": 2 * event.data})
server.register_event_handler("sensor_reading", lambda event: None)
server.start()
print(server.port, flush=True)
server.wait_for_termination()
ledger = server.ledger()
print("balanced" if ledger["balanced"] else ledger, flush=True)
"""


@asynccontextmanager
async def grpc_node(name: str = "node", **options: object) -> AsyncIterator[GrpcServer]:
    """A server on a free port; afterwards its ledger must balance with nothing in flight."""
    server = GrpcServer(name, 0, config=MeshConfig(**{"drain_seconds": 1.0, **options}))
    await server.open()
    try:
        yield server
    finally:
        await server.close(1.0)
    ledger = server.ledger()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0, ledger


@contextmanager
def blocking_node(name: str = "node", **options: object) -> Iterator[GrpcServer]:
    """The same in a plain script, on a thread of its own."""
    server = GrpcServer(name, 0, config=MeshConfig(**{"drain_seconds": 1.0, **options}))
    server.start()
    try:
        yield server
    finally:
        server.stop(1.0)
    ledger = server.ledger()
    assert ledger["balanced"], ledger


class FarNode(Running):
    """A node in a process of its own, listening."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(str(port), command=[sys.executable, "-c", SCRIPT], stdin=subprocess.DEVNULL)
        self.port = int(self.line())


def url_of(server: GrpcServer | FarNode) -> str:
    return f"grpc://127.0.0.1:{server.port}"
