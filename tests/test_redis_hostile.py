"""Who can write on the server's channels but is no node: refused, counted, recorded; and nothing grows."""

import time
from collections.abc import Iterator

import pytest
from raw_ws import eventually
from redis_meshes import balanced, listen, listening, on_redis, redis_mesh
from redis_servers import RedisServer, redis_server

from lexmesh import MeshCore, StreamEvent
from lexmesh.transports.redis_header import Gaps, Header, header_bytes, split

EVERYONE = "spiral_codex_mesh:spiral_ritual_events"
NOW = int(time.time() * 1000)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as one:
        yield one


def batch(*events: StreamEvent) -> bytes:
    """Elements of a Batch."""
    found = b""
    for event in events:
        message = event.to_proto()
        size, head = len(message), b""
        while size > 0x7F:
            head += bytes([size & 0x7F | 0x80])
            size >>= 7
        found += b"\n" + head + bytes([size]) + message
    return found


def header(node: str, epoch: int = NOW, before: int = 0) -> bytes:
    return header_bytes(Header(node, epoch, before))


def refused(one: MeshCore) -> int:
    return int(on_redis(one)["refused"])


@pytest.mark.parametrize(
    "rubbish",
    [b"hello", b"\x00", b"\n", b"\n\xff\xff\xff\xff", b"{}" * 1000, b"x" * 3_000_000],
    ids=["text", "nul", "cut off", "length", "json", "oversize"],
)
async def test_rubbish(server: RedisServer, rubbish: bytes) -> None:
    async with redis_mesh(server.url, 2) as nodes:
        got = listen(nodes, ">")
        assert int(server.publish_by_hand(EVERYONE, rubbish)) == 2
        assert int(server.publish_by_hand("spiral_codex_mesh:node_n0", rubbish)) == 1
        await eventually(lambda: refused(nodes[0]) == 2 and refused(nodes[1]) == 1, "both refusals")
        assert nodes[0].ledger()["ingress"]["malformed"] == 2
        record = nodes[0].pipeline.audit.recent(1)[0]
        assert (record.link, record.rule) == ("redis", "malformed")
        assert on_redis(nodes[0])["up"]
        heard = [data for one in got.values() for data in one if not (isinstance(data, dict) and "node_id" in data)]
        assert not heard, "nothing but heartbeats"


async def test_forced_consent_in_a_valid_batch(server: RedisServer) -> None:
    async with redis_mesh(server.url, 2) as nodes:
        got = listen(nodes, "a")
        await listening(server, f"{EVERYONE}:a:a", 2)
        forced = StreamEvent("a", 1, source_node="mallory", metadata={"consent_override": "yes"})
        server.publish_by_hand(f"{EVERYONE}:a:a", header("mallory") + batch(forced, StreamEvent("a", 2)))
        await eventually(lambda: got["n0"] == got["n1"] == [2], "the message beside it")
        assert nodes[0].ledger()["ingress"]["denied"] == 1
        record = nodes[0].pipeline.audit.recent(1)[0]
        assert (record.link, record.rule, record.action) == ("redis mallory", "consent-override", "deny")
        await eventually(lambda: balanced(nodes), "balanced ledgers")


async def test_batch_that_breaks_off(server: RedisServer) -> None:
    async with redis_mesh(server.url, 1) as nodes:
        whole = batch(StreamEvent("a", 1, source_node="m"), StreamEvent("a", 2, source_node="m"))
        server.publish_by_hand(EVERYONE, header("m") + whole[:-3])
        await eventually(lambda: nodes[0].ledger()["ingress"]["malformed"] == 1, "the malformed message")
        assert nodes[0].ledger()["ingress"]["unroutable"] == 1


async def test_forgery_in_this_nodes_name(server: RedisServer) -> None:
    async with redis_mesh(server.url, 2) as nodes:
        got = listen(nodes, "a")
        await listening(server, f"{EVERYONE}:a:a", 2)
        epoch = (await nodes[0].broadcast_event("a", 0)).split(":")[1]
        for number, name in enumerate(("n0", "mallory")):  # the header's, and the message's own
            forged = StreamEvent("a", "forged", source_node="n0", id=f"n0:{epoch}:{1_000_000 + number}")
            server.publish_by_hand(f"{EVERYONE}:a:a", header(name, NOW) + batch(forged))
        await eventually(lambda: refused(nodes[0]) == 1, "the refusal")
        await eventually(lambda: nodes[0].ledger()["ingress"]["duplicate"] == 1, "the other one")
        assert got["n0"] == [0]


@pytest.mark.parametrize(
    ("epoch", "before"), [(1 << 63, 0), (NOW + 10_000_000, 0), (NOW, 1 << 63), ((1 << 64) - 1, (1 << 64) - 1)]
)
async def test_huge_numbers(server: RedisServer, epoch: int, before: int) -> None:
    async with redis_mesh(server.url, 2) as nodes:
        got = listen(nodes[:1], "a")
        await listening(server, f"{EVERYONE}:a:a", 1)
        server.publish_by_hand(f"{EVERYONE}:a:a", header("n1", epoch, before) + batch(StreamEvent("a", "forged")))
        await eventually(lambda: refused(nodes[0]) == 1, "the refusal")
        await nodes[1].broadcast_event("a", 1)
        await eventually(lambda: got["n0"] == [1], "what is true")
        assert on_redis(nodes[0])["lost"] == 0


async def test_forged_names_do_not_pile_up(server: RedisServer) -> None:
    """Neither what is known of a node's numbers nor who is on Redis grows with names that no node has."""
    import redis

    async with redis_mesh(server.url, 1) as nodes:
        with redis.Redis(port=server.port) as client:
            for start in range(0, 40_000, 4000):
                pipe = client.pipeline(transaction=False)
                for number in range(start, start + 4000):
                    beat = StreamEvent("_lexmesh.mesh.beat", {"node_id": f"m{number}"}, source_node=f"m{number}")
                    pipe.publish(EVERYONE, header(f"m{number}") + batch(beat))
                pipe.execute()
        transport = nodes[0]._redis.transport
        await eventually(lambda: transport.taken == 40_000, "all of them", 60)
        assert on_redis(nodes[0])["nodes"] == []
        assert len(transport._inlet.gaps) <= 16_384
        assert len(transport.outlets.endpoints) <= 1024
        assert len(nodes[0].registry.get_all_nodes()) == 1


def test_gaps_believe_a_publications_own_numbers() -> None:
    gaps = Gaps()
    assert gaps.came(b"c", Header("n", 1, 10), 5) == 0  # the first that is heard
    assert gaps.came(b"c", Header("n", 1, 15), 5) == 0
    assert gaps.came(b"c", Header("n", 1, 23), 1) == 3
    assert gaps.came(b"c", Header("n", 1, 23), 1) == 0  # published again
    assert gaps.came(b"c", Header("n", 2, 7), 1) == 0  # the node has started anew
    assert gaps.came(b"c", Header("n", 2, 1 << 40), 1) == (1 << 40) - 8
    assert gaps.came(b"c", Header("n", 2, 9), 1) == 0  # a forged one spoils no more than its own count
    assert gaps.came(b"c", Header("n", 2, 11), 1) == 1
    gaps.keep(lambda channel: channel != b"c")
    assert gaps.came(b"c", Header("n", 2, 99), 1) == 0


def test_headers_that_no_node_writes() -> None:
    whole = header("n0", NOW, 7)
    assert split(whole + b"rest", NOW) == (Header("n0", NOW, 7), len(whole))
    for cut in range(len(whole)):
        assert split(whole[:cut], NOW) is None
    for name in ("a b", "\u0000", "x" * 129):
        assert split(header(name), NOW) is None
