"""lexmesh: a client to a gateway's own handler, policed with the default policy."""

import asyncio

from lexmesh import WebSocketClient, WebSocketServer
from lexmesh.transports.loop import run
from lexmesh.transports.publishing import EVENTS_A_TURN

from .ends import say, say_ready, say_started
from .tally import Tally, lines

SUBJECT = "sensor_reading"


async def _receive(port: int, count: int) -> None:
    over = asyncio.Event()
    tally = Tally(count, over.set)
    async with WebSocketServer("gateway", "127.0.0.1", port) as server:
        server.subscribe(SUBJECT, tally)
        say_ready()
        await over.wait()
        ledger = server.ledger()
        assert ledger["balanced"] and ledger["ingress"]["routed"] == count, ledger
        say(**tally.report(lambda event: event.data))


async def _send(port: int, count: int) -> None:
    async with WebSocketClient("sender", f"ws://127.0.0.1:{port}") as client:
        messages = lines(count)
        say_started()
        for number, message in enumerate(messages):
            client.publish_json(SUBJECT, message)
            if number % EVENTS_A_TURN == 0:  # as `stream_data` does
                await client.writable()
        receipt = await client.flush()
        assert receipt["routed"] == count, receipt


def receive(port: int, count: int) -> None:
    run(_receive(port, count))


def send(port: int, count: int) -> None:
    run(_send(port, count))
