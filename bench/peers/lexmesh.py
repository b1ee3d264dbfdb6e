"""lexmesh's gateway on raw sockets, as `lexmesh mesh start` runs it, with the default consent policy."""

import json
import socket

from lexmesh import StreamEvent, decode_batch, encode_batch

from .lane import Incoming, Lane, Outgoing
from .message import FIRST_SEQ, SIZE, SUBJECT, json_message, proto_message
from .server_process import ServerProcess, free_port, python
from .websocket import BINARY, MASK, TEXT, frame, masked, open_websocket, read_frame

JSON, PROTO = "lexmesh.v1.json", "lexmesh.v1.proto"
ADDED_DEPTH = 1


def start(**settings: str) -> ServerProcess:
    """A gateway with default settings.

    Args:
        **settings: environment variables of lexmesh, where a scenario needs other than the defaults.
    """
    port = free_port()
    command = python("lexmesh.cli", "mesh", "start", "--port", port)
    return ServerProcess("lexmesh", command, port, **settings)


def subscribe(sock: socket.socket, proto: bool) -> None:
    """Subscribes a connection to the subject and waits for the gateway's word."""
    asked = StreamEvent("_lexmesh.subscribe", {"subjects": [SUBJECT]})
    sock.sendall(frame(BINARY, encode_batch([asked])) if proto else frame(TEXT, asked.to_json()))
    while b"_lexmesh.subscribed" not in read_frame(sock)[1]:
        pass


def open_json_lane(port: int, subscribers: int) -> Lane:
    """One event a text frame."""
    message, number = json_message(), str(FIRST_SEQ).encode()
    unit = frame(TEXT, message)
    lane = _connected(port, subscribers, JSON, Outgoing(unit, unit.index(masked(number)), mask=MASK))
    for sock in lane.subscribers:
        header, delivered = read_frame(sock)
        assert json.loads(delivered) == json.loads(message) | {"depth": ADDED_DEPTH}, delivered
        lane.incoming = Incoming("fixed", header + delivered, len(header) + delivered.index(number))
    return lane


def open_proto_lane(port: int, subscribers: int, batch: int) -> Lane:
    """Protobuf batches.

    Args:
        port: the gateway's.
        subscribers: how many; all get batches as the gateway makes them.
        batch: events in each frame of the publisher.
    """
    message, number = proto_message(), _varint(FIRST_SEQ)
    events = [StreamEvent.from_proto(message.replace(number, _varint(FIRST_SEQ + n))) for n in range(batch)]
    payload = encode_batch(events)
    stride = len(payload) // batch
    unit = frame(BINARY, payload)
    outgoing = Outgoing(unit, unit.index(masked(number)), batch, stride, MASK)
    lane = _connected(port, subscribers, PROTO, outgoing)
    lane.next_seq = FIRST_SEQ + batch
    for sock in lane.subscribers:
        delivered = b""
        while len(decode_batch(delivered)) < batch:
            delivered += read_frame(sock)[1]
        for sent, event in zip(events, decode_batch(delivered), strict=True):
            sent.depth = ADDED_DEPTH
            assert event == sent, event
        example = delivered[: len(delivered) // batch]
        lane.incoming = Incoming("batch", example, example.index(number), varint=True)
    assert stride - SIZE == len(b"\x0a") + len(_varint(SIZE))
    return lane


def _connected(port: int, subscribers: int, subprotocol: str, outgoing: Outgoing) -> Lane:
    """Connects everybody and publishes one unit, whose deliveries show what all others will look like."""
    lane = Lane(open_websocket(port, subprotocol), [], outgoing, Incoming("fixed", b"", 0))
    for _ in range(subscribers):
        lane.subscribers.append(open_websocket(port, subprotocol))
        subscribe(lane.subscribers[-1], subprotocol == PROTO)
    lane.publisher.sendall(outgoing.unit)
    return lane


def _varint(value: int) -> bytes:
    """https://protobuf.dev/programming-guides/encoding/#varints."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
