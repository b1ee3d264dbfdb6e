"""nats-py on uvloop, through nats-server."""

import asyncio

import nats
import uvloop
from nats.aio.msg import Msg

from .ends import say, say_ready, say_started
from .tally import Tally, lines

SUBJECT = "sensor_reading"


async def _receive(port: int, count: int) -> None:
    over = asyncio.Event()
    tally = Tally(count, over.set)

    async def handle(message: Msg) -> None:
        tally(message.data)

    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    await connection.subscribe(SUBJECT, cb=handle, pending_msgs_limit=0, pending_bytes_limit=0)
    await connection.flush()
    say_ready()
    await over.wait()
    say(**tally.report())
    await connection.close()


async def _send(port: int, count: int) -> None:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    messages = lines(count)
    say_started()
    for message in messages:
        await connection.publish(SUBJECT, message)
    await connection.flush(timeout=60)
    await connection.close()


def receive(port: int, count: int) -> None:
    uvloop.run(_receive(port, count))


def send(port: int, count: int) -> None:
    uvloop.run(_send(port, count))
