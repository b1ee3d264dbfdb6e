"""pyzmq: PUSH to PULL over TCP, which blocks rather than lose."""

import zmq

from .ends import say, say_ready, say_started
from .tally import Tally, lines

HIGH_WATER = 100_000


def receive(port: int, count: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as sock:
        sock.set_hwm(HIGH_WATER)
        sock.bind(f"tcp://127.0.0.1:{port}")
        say_ready()
        tally = Tally(count, lambda: None)
        while tally.count < count:
            tally(sock.recv())
        say(**tally.report())


def send(port: int, count: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as sock:
        sock.set_hwm(HIGH_WATER)
        sock.connect(f"tcp://127.0.0.1:{port}")
        messages = lines(count)
        say_started()
        for message in messages:
            sock.send(message)
