"""Messages as both wire formats and as the reference takes them."""

import json
from typing import Any

from reference_nsr import Message

INSTRUCTION = "agent_message"


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def json_line(
    event_type: str, metadata: dict[str, str] | None = None, data: Any = None, ascii_only: bool = False, **names: str
) -> bytes:
    """A message as lexmesh.v1.json; `names` are further text fields."""
    message = {"type": event_type, "metadata": metadata or {}, "data": data, **names}
    return json.dumps(message, ensure_ascii=ascii_only).encode()


NUMBERS = {"source_node": 1, "target_node": 2, "reply_to": 12, "content_type": 13}


def proto_message(event_type: str, metadata: dict[str, str] | None = None, payload: bytes = b"", **names: str) -> bytes:
    """A message as EventMessage; `names` are further text fields."""
    pairs = [_field(1, key.encode()) + _field(2, value.encode()) for key, value in (metadata or {}).items()]
    fields = [_field(NUMBERS[name], text.encode()) for name, text in names.items()]
    return b"".join([_field(3, event_type.encode()), *(_field(6, pair) for pair in pairs), _field(4, payload), *fields])


def reference_message(
    event_type: str, metadata: dict[str, str], payload: bytes, is_json: bool = True, **names: str
) -> Message:
    kind = "none"
    if is_json:
        kind = "json"
    elif payload:
        try:
            payload.decode()
            kind = "text"
        except UnicodeDecodeError:
            kind = "opaque"
    return Message(event_type, list(metadata.items()), payload, kind, **names)


PLACES = ("metadata key", "metadata value", "instruction", "deep instruction")


def placed(text: str, place: str) -> tuple[str, dict[str, str], Any]:
    """A message with `text` in one of PLACES."""
    if place == "metadata key":
        return "sensor_reading", {text: "1"}, {"value": 1}
    if place == "metadata value":
        return "sensor_reading", {"note": text}, {"value": 1}
    if place == "instruction":
        return INSTRUCTION, {}, {"mode": text}
    return INSTRUCTION, {"unit": "a"}, {"plan": [{"steps": [1, {"what": [{"deep": [None, text]}]}]}], "n": 2}
