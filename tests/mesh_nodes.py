"""Meshes of real nodes in one process: which node dials which is given, and kept to unless they may learn more."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from raw_ws import eventually

from lexmesh import MeshConfig, MeshCore

Edges = Iterable[tuple[int, int]]

LINE_OF_4 = (4, [(1, 0), (2, 1), (3, 2)])
RING_OF_5 = (5, [(1, 0), (2, 1), (3, 2), (4, 3), (0, 4)])
STAR_OF_5 = (5, [(1, 0), (2, 0), (3, 0), (4, 0)])
FULL_5 = (5, [(a, b) for a in range(5) for b in range(a)])


def node(name: str, *peers: MeshCore | str, **options: Any) -> MeshCore:
    """A node that has not been started; peers are nodes that have, or URLs."""
    urls = [peer if isinstance(peer, str) else url_of(peer) for peer in peers]
    defaults = {"websocket_port": 0, "learned_links": 0, "drain_seconds": 1.0, "heartbeat_interval": 0.3}
    return MeshCore(MeshConfig(node_id=name, peers=urls, **{**defaults, **options}))


def url_of(mesh: MeshCore) -> str:
    if mesh.grpc_port is not None:
        return f"grpc://127.0.0.1:{mesh.grpc_port}"
    return f"ws://127.0.0.1:{mesh.port}"


def settled(mesh: MeshCore) -> None:
    """What a node has taken in and handed out adds up, and nothing waits."""
    ledger = mesh.ledger()
    assert ledger["balanced"], ledger
    assert ledger["egress"]["in_flight"] == 0, ledger
    assert ledger["undecided"] == 0, ledger


@asynccontextmanager
async def running(*nodes: MeshCore) -> AsyncIterator[None]:
    """Starts nodes in order; afterwards their ledgers must balance."""
    async with AsyncExitStack() as stack:
        for one in nodes:
            await stack.enter_async_context(one)
        yield
    for one in nodes:
        settled(one)


@asynccontextmanager
async def mesh_of(count: int, edges: Edges, **options: Any) -> AsyncIterator[list[MeshCore]]:
    """Nodes n0, n1, … linked as the edges (who dials, who is dialled) say."""
    edges = list(edges)
    nodes = [node(f"n{number}", **options) for number in range(count)]
    async with running(*nodes):
        for dials, dialled in edges:
            nodes[dials].link_to(url_of(nodes[dialled]))
        wanted = {(f"n{a}", f"n{b}") for a, b in edges}
        await eventually(lambda: linked(nodes) == {tuple(sorted(pair)) for pair in wanted}, "the links")
        yield nodes


def linked(nodes: list[MeshCore]) -> set[tuple[str, ...]]:
    """The links that both ends have."""
    ends = [tuple(sorted((one.node_id, other))) for one in nodes for other in one.links]
    return {pair for pair in ends if ends.count(pair) == 2}


async def knows_all(nodes: list[MeshCore]) -> None:
    """Waits until each node has each other one as active."""
    await eventually(lambda: all(len(one.registry.get_active_nodes()) == len(nodes) for one in nodes), "all know all")
