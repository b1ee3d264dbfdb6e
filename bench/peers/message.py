"""The message that everybody relays: one reading, 200 bytes, whatever carries it.

JSON: the text of one event of lexmesh's JSON envelope is 200 bytes, its source, id, time and metadata included. NATS
and Redis carry these same bytes as a payload. Protobuf: one `EventMessage` of 200 bytes with the same fields; the
shorter coding leaves more room to its data. Framing (WebSocket headers, `PUB`, RESP) comes on top, for everybody.
"""

import itertools
import json

from lexmesh import StreamEvent

SIZE = 200
SUBJECT = "sensor_reading"
SOURCE = "node-0007"
EPOCHS = itertools.count(1_749_990_000_000)
"""A new one for each connection that publishes, as every new start of a source has its own."""
TIMESTAMP = 1_750_000_000_123
FIRST_SEQ = 100_000_000
"""From here to 268435455 numbers have nine digits, and four bytes as a varint."""


def event(note: str, epoch: int) -> StreamEvent:
    """The first event of the source since a start, with a text among its data."""
    return StreamEvent(
        SUBJECT,
        {"celsius": 21.5, "note": note},
        source_node=SOURCE,
        metadata={"site": "north"},
        timestamp=TIMESTAMP,
        id=f"{SOURCE}:{epoch}:{FIRST_SEQ}",
    )


def padded(size: int) -> str:
    """Words of clean text, so many bytes."""
    return ("all racks are stable, the air is calm and the plants are growing well " * 4)[:size]


def json_message() -> bytes:
    """One event, 200 bytes of JSON."""
    epoch = next(EPOCHS)
    message = event(padded(SIZE - len(event("", epoch).to_json())), epoch).to_json()
    assert len(message) == SIZE
    assert json.loads(message)["id"].endswith(str(FIRST_SEQ))
    return message


def proto_message() -> bytes:
    """One event, 200 bytes of protobuf."""
    epoch = next(EPOCHS)
    fitting = (event(padded(length), epoch).to_proto() for length in range(SIZE))
    return next(message for message in fitting if len(message) == SIZE)
