"""Links that take the same messages send the same bytes; what each gets depends on what it subscribed to alone."""

import asyncio
import json
import random
from typing import Any

import pytest
from raw_ws import BINARY, TEXT, RawClient, eventually, gateway, text

from lexmesh import WebSocketClient, decode_batch

JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"
SUBJECTS = ("a", "b", "c")
SIZES = (0, 1, 40, 60, 90, 100, 300, 900, 5_000, 40_000, 70_000)
"""Of texts: headers of frames and batches of every size, and messages that leave a batch no room or fill one."""
WORDS = ("rack", "light", "water", "plant", "sensor", "soil", "north")
MUCH = 64 << 20


class Peer:
    """A client that subscribes and publishes, and notes what it gets: by source, the numbers in their order."""

    def __init__(self, client: RawClient, subjects: tuple[str, ...]) -> None:
        self.client = client
        self.subjects = subjects
        self.got: dict[str, list[int]] = {}
        self.count = 0

    @classmethod
    async def connect(cls, server: Any, subprotocol: str, subjects: tuple[str, ...]) -> "Peer":
        client = await RawClient.connect(server.port, subprotocol=subprotocol)
        client.send(text({"type": "_lexmesh.subscribe", "data": {"subjects": subjects}}))
        while b"_lexmesh.subscribed" not in (await client.frame()).payload:
            pass
        return cls(client, subjects)

    async def read(self) -> None:
        while True:
            frame = await self.client.frame()
            assert frame.opcode in (TEXT, BINARY)
            for event in [frame.json] if frame.opcode == TEXT else map(as_dict, decode_batch(frame.payload)):
                if event["type"].startswith("_lexmesh."):
                    continue
                assert event["type"] in self.subjects
                number, padding = event["data"]
                assert padding == filling(number, len(padding)), "another message's bytes"
                self.got.setdefault(event["source_node"], []).append(number)
                self.count += 1


def as_dict(event: Any) -> dict[str, Any]:
    return {"type": event.event_type, "data": event.data, "source_node": event.source_node}


def filling(number: int, size: int) -> str:
    return (f"{WORDS[number % len(WORDS)]} " * (size // 4 + 1))[:size]


def messages(source: str, count: int, draw: random.Random) -> list[tuple[str, int, bytes]]:
    """Messages of a source: subject, number and text frame."""
    found = []
    for number in range(count):
        subject = draw.choice(SUBJECTS)
        data = [number, filling(number, draw.choice(SIZES[: draw.choice((4, 9, len(SIZES)))]))]
        found.append((subject, number, text({"type": subject, "source_node": source, "data": data})))
    return found


@pytest.mark.core
@pytest.mark.parametrize("seed", range(6))
async def test_everybody_gets_what_is_meant_for_them(seed: int) -> None:
    draw = random.Random(seed)
    async with gateway(overflow_bytes=MUCH) as server:
        wanted = [("a",), ("a", "b"), ("a", "b", "c"), ("c",), ("a", "b", "c")]
        peers = [await Peer.connect(server, protocol, subjects) for subjects in wanted for protocol in (JSON, PROTO)]
        reading = [asyncio.ensure_future(peer.read()) for peer in peers]
        sent = {f"n{i}": messages(f"n{i}", 150, draw) for i in range(len(peers))}
        for start in range(0, 150, 10):
            for peer, own in zip(peers, sent.values(), strict=True):
                peer.client.send(*(frame for _, _, frame in own[start : start + 10]))
                if draw.random() < 0.2:  # its answer stands between events
                    peer.client.send(text({"type": "_lexmesh.flush"}))
            await asyncio.sleep(0)
        for i, peer in enumerate(peers):
            meant = {
                source: [number for subject, number, _ in own if subject in peer.subjects]
                for source, own in sent.items()
                if source != f"n{i}"
            }
            total = sum(map(len, meant.values()))
            await eventually(lambda peer=peer, total=total: peer.count == total)
            assert peer.got == meant
        await eventually(lambda: server.ledger()["egress"]["in_flight"] == 0)
        ledger = server.ledger()
        assert ledger["balanced"] and ledger["egress"]["delivered"] == sum(peer.count for peer in peers)
        for task in reading:
            task.cancel()
        for peer in peers:
            await peer.client.aclose()


@pytest.mark.core
async def test_frames_stand_a_strict_reader(seed: int = 7) -> None:
    """Our own client refuses headers that are longer than they need be."""
    draw = random.Random(seed)
    async with gateway(overflow_bytes=MUCH) as server:
        got: list[int] = []
        url = f"ws://127.0.0.1:{server.port}"
        async with WebSocketClient("first", url) as first, WebSocketClient("second", url) as second:
            await first.subscribe("a", handler=lambda event: got.append(event.data[0]))
            await second.subscribe(">", handler=lambda event: None)
            publisher = await RawClient.connect(server.port)
            sent = messages("n", 600, draw)
            publisher.send(*(frame for _, _, frame in sent))
            meant = [number for subject, number, _ in sent if subject == "a"]
            await eventually(lambda: len(got) == len(meant))
            assert got == meant
            await publisher.aclose()


@pytest.mark.core
@pytest.mark.parametrize("subprotocol", [JSON, PROTO])
async def test_one_who_leaves_takes_nothing_from_the_others(subprotocol: str) -> None:
    async with gateway(overflow_bytes=MUCH) as server:
        stays = await Peer.connect(server, subprotocol, ("a",))
        leaves = await Peer.connect(server, subprotocol, ("a",))
        publisher = await RawClient.connect(server.port)
        reading = asyncio.ensure_future(stays.read())
        for number in range(300):
            publisher.send(text({"type": "a", "source_node": "n", "data": [number, filling(number, 3_000)]}))
            if number == 100:
                await leaves.client.aclose()
        await eventually(lambda: stays.count == 300)
        assert stays.got == {"n": list(range(300))}
        ledger = server.ledger()
        assert ledger["balanced"], json.dumps(ledger)
        reading.cancel()
        await stays.client.aclose()
        await publisher.aclose()


@pytest.mark.core
async def test_a_batch_that_is_full_and_a_short_one_behind_it() -> None:
    async with gateway(overflow_bytes=MUCH) as server:
        peer = await Peer.connect(server, PROTO, ("a",))
        publisher = await RawClient.connect(server.port)
        reading = asyncio.ensure_future(peer.read())
        number = 0
        for small in range(1, 9):  # one of them is the first of the next batch, and alone there
            sizes = [32_600, 32_600, *[10] * small]
            publisher.send(*(numbered("a", number + i, size) for i, size in enumerate(sizes)))
            number += len(sizes)
            await eventually(lambda number=number: peer.count == number)
        assert peer.got == {"n": list(range(number))}
        reading.cancel()
        await peer.client.aclose()
        await publisher.aclose()


@pytest.mark.core
async def test_a_header_written_into_what_another_still_holds() -> None:
    """One link has so much that it sends in between, and goes on right behind what the other has not sent yet."""
    async with gateway(overflow_bytes=MUCH) as server:
        both = await Peer.connect(server, PROTO, ("a", "b"))
        one = await Peer.connect(server, PROTO, ("b",))
        publisher = await RawClient.connect(server.port)
        reading = [asyncio.ensure_future(peer.read()) for peer in (both, one)]
        for start in range(0, 400, 40):
            # 262,144 bytes leave at once: reached by the last but one
            frames = [numbered("a", start + i, 6_700) for i in range(38)]
            frames += [numbered("b", start + 38, 20_000), numbered("a", start + 39, 10)]
            publisher.send(*frames)
            await eventually(lambda start=start: both.count == start + 40 and one.count == start // 40 + 1)
        assert both.got == {"n": list(range(400))}
        assert one.got == {"n": list(range(38, 400, 40))}
        for task in reading:
            task.cancel()
        for client in (both.client, one.client, publisher):
            await client.aclose()


def numbered(subject: str, number: int, size: int) -> bytes:
    return text({"type": subject, "source_node": "n", "data": [number, filling(number, size)]})


@pytest.mark.core
@pytest.mark.parametrize("subprotocol", [JSON, PROTO])
async def test_memory_is_taken_back_only_once_all_has_left(subprotocol: str) -> None:
    """A sweep may come between a message and the end of its loop turn."""
    async with gateway(overflow_bytes=MUCH) as server:
        peers = [await Peer.connect(server, subprotocol, ("a",)) for _ in range(2)]
        reading = [asyncio.ensure_future(peer.read()) for peer in peers]
        for number in range(3):
            server.publish("a", [number, filling(number, 30_000)])
            server.core.trim()
        for peer in peers:
            await eventually(lambda peer=peer: peer.count == 3)
            assert list(peer.got.values()) == [[0, 1, 2]]
        server.core.trim()
        assert server.core.capacity < 4 * 16_384
        for task in reading:
            task.cancel()
        for peer in peers:
            await peer.client.aclose()
