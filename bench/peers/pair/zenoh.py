"""zenoh: peer to peer over TCP, congestion control that blocks rather than drop."""

import json
import threading
import time

import zenoh

from .ends import say, say_ready, say_started
from .tally import Tally, lines

KEY = "sensor_reading"
POLL_SECONDS = 0.01


def open_session(role: str, port: int) -> zenoh.Session:
    """A session that knows one peer and looks for no others."""
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("scouting/gossip/enabled", "false")
    config.insert_json5(f"{role}/endpoints", json.dumps([f"tcp/127.0.0.1:{port}"]))
    if role == "connect":
        config.insert_json5("listen/endpoints", "[]")
    return zenoh.open(config)


def receive(port: int, count: int) -> None:
    over = threading.Event()
    tally = Tally(count, over.set)
    with open_session("listen", port) as session:
        with session.declare_subscriber(KEY, lambda sample: tally(sample.payload.to_bytes())):
            say_ready()
            over.wait()
        say(**tally.report())


def send(port: int, count: int) -> None:
    blocking = zenoh.CongestionControl.BLOCK
    with (
        open_session("connect", port) as session,
        session.declare_publisher(KEY, congestion_control=blocking) as publisher,
    ):
        while not publisher.matching_status.matching:
            time.sleep(POLL_SECONDS)
        messages = lines(count)
        say_started()
        for message in messages:
            publisher.put(message)
