"""Random envelopes, random JSON, and a protobuf writer that can also write what no honest one would."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st

T = TypeVar("T")

WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 0, 1, 2, 5

EXAMPLES = int(os.environ.get("LEXMESH_EXAMPLES", "2000"))

# Field numbers of protos/lexmesh/v1/internode.proto.
NUMBERS = {
    "source_node": 1, "target_node": 2, "event_type": 3, "payload": 4, "timestamp": 5, "metadata": 6, "epoch": 7,
    "seq": 8, "depth": 9, "ttl_ms": 10, "priority": 11, "reply_to": 12, "content_type": 13,
}  # fmt: skip


def many_examples(test: Callable[..., None]) -> Callable[..., None]:
    """For a property of hostile bytes: as many examples as `LEXMESH_EXAMPLES` says."""
    marked: Callable[..., None] = pytest.mark.many(settings(max_examples=EXAMPLES)(test))
    return marked


def varint(value: int) -> bytes:
    """Base 128, least significant group first; negative numbers as 64-bit two's complement."""
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def long_varint(value: int, length: int) -> bytes:
    """A varint padded with empty groups to `length` bytes, which protobuf allows."""
    short = varint(value)
    padding = length - len(short)
    return short if padding <= 0 else short[:-1] + bytes([short[-1] | 0x80]) + b"\x80" * (padding - 1) + b"\0"


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: a number as varint, anything else length-delimited."""
    if isinstance(value, int):
        return varint(number << 3 | WIRE_VARINT) + varint(value)
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return varint(number << 3 | WIRE_BYTES) + varint(len(raw)) + raw


def pair(key: str | bytes, value: str | bytes) -> bytes:
    """One entry of the metadata map."""
    return field(6, field(1, key) + field(2, value))


def message(**fields: int | bytes | str | dict[str, str]) -> bytes:
    """An EventMessage with these fields, in the order given."""
    out = bytearray()
    for name, value in fields.items():
        if isinstance(value, dict):
            for key, text in value.items():
                out += pair(key, text)
        else:
            out += field(NUMBERS[name], value)
    return bytes(out)


# Letters whose encodings differ in length, in JSON escaping, and around the edges of UTF-8's ranges.
LETTERS = 'ab"\\/-:.{}[]%& \n\t\x00\x1f\x7f\x80é߿ࠀ퟿￿𐀀😀\U0010ffff'
NAME_LETTERS = 'ab:-_."\\é😀'
TOKEN_LETTERS = "abz_-é😀"
EDGES_32 = [0, 1, 127, 128, 2**31, 2**32 - 1]
EDGES_64 = [0, 1, 127, 128, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
EDGES_SIGNED = [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, 1e-7, 1e16, 1.7976931348623157e308, 5e-324, 0.1]


class Choices:
    """Reads random bytes as choices; zeros, and what is past the end, choose the first and simplest.

    One draw an example keeps 10,000 of them within seconds, and still shrinks: smaller bytes are simpler values.
    """

    def __init__(self, blob: bytes) -> None:
        self._bytes = iter(blob)

    def below(self, count: int) -> int:
        return next(self._bytes, 0) % count

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def number(self, edges: Sequence[int], width: int) -> int:
        """One of the edge cases, or a number of up to `width` bytes within them."""
        choice = self.below(2 * len(edges))
        if choice < len(edges):
            return edges[choice]
        return int.from_bytes(bytes(self.below(256) for _ in range(1 + self.below(width))), "little") % (max(edges) + 1)

    def text(self, letters: str = LETTERS, most: int = 6) -> str:
        return "".join(self.pick(letters) for _ in range(self.below(most + 1)))

    def subject(self) -> str:
        tokens = [self.text(TOKEN_LETTERS, 5) for _ in range(1 + self.below(3))]
        return ".".join("a" + token if token in {"", "*", ">"} else token for token in tokens)

    def value(self, depth: int = 0) -> Any:
        """A JSON value; deeper ones are simpler."""
        kind = self.below(8 if depth < 4 else 6)
        if kind < 3:
            return (None, False, True)[kind]
        if kind == 3:
            return self.number(EDGES_64, 8) if self.below(2) else self.number(EDGES_SIGNED, 7)
        if kind == 4:
            return self.pick(FLOATS)
        if kind == 5:
            return self.text()
        if kind == 6:
            return [self.value(depth + 1) for _ in range(self.below(4))]
        return {self.text(): self.value(depth + 1) for _ in range(self.below(4))}

    def event(self) -> dict[str, Any]:
        """Keyword arguments of a StreamEvent, every field there or not."""
        fields: dict[str, Any] = {"event_type": self.subject(), "timestamp": self.number(EDGES_SIGNED, 7)}
        source = self.text(NAME_LETTERS)
        optional: list[tuple[str, Callable[[], Any]]] = [
            ("source_node", lambda: source),
            ("id", lambda: f"{source}:{self.number(EDGES_64, 8)}:{self.number(EDGES_64, 8)}" if source else ""),
            ("data", self.value),
            ("metadata", lambda: {self.text(): self.text() for _ in range(self.below(4))}),
            ("target_node", lambda: self.text(NAME_LETTERS)),
            ("depth", lambda: self.number(EDGES_32, 4)),
            ("ttl", lambda: self.number(EDGES_32, 4)),
            ("priority", lambda: self.number(EDGES_32, 4)),
            ("reply_to", lambda: self.text(NAME_LETTERS)),
        ]
        return fields | {name: make() for name, make in optional if self.below(4)}

    def mutated(self, base: bytes) -> bytes:
        """`base` with one to three edits: a byte changed, a slice cut out, doubled or moved, or noise put in."""
        data = bytearray(base)
        for _ in range(1 + self.below(3)):
            at = int.from_bytes(bytes([self.below(256), self.below(256)]), "little") % (len(data) + 1)
            size = self.below(9)
            kind = self.below(5)
            if kind == 0 and at < len(data):
                data[at] = self.below(256)
            elif kind == 1:
                del data[at : at + size]
            elif kind == 2:
                data[at:at] = data[at : at + size]
            elif kind == 3:
                data[at:at] = bytes(self.below(256) for _ in range(size))
            else:
                data.extend(data[at : at + 40])
        return bytes(data)


choices = st.binary(min_size=160, max_size=160).map(Choices)
events = choices.map(Choices.event)
