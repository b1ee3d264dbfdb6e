"""What a gateway answers over gRPC, read by our own codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lexmesh._wire import fields_of

Fields = dict[int, int | float | bytes]


def _text(fields: Fields, number: int) -> str:
    value = fields.get(number, b"")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, 0)
    return 0 if isinstance(value, bytes) else int(value)


@dataclass(frozen=True, slots=True)
class EventResponse:
    """What became of an event.

    Args:
        success: whether the gateway took it in, though nobody subscribed or a handler raised; the message says more.
        message: what handlers answered, as JSON; else the outcome, such as `routed`, or `denied: <rule> at <path>`.
        timestamp: when it was answered, milliseconds since 1970-01-01 UTC.
    """

    success: bool
    message: str = ""
    timestamp: int = 0

    @classmethod
    def from_proto(cls, message: bytes) -> Self:
        """Reads one; raises MalformedError for what is none."""
        fields = fields_of(message)
        return cls(bool(_number(fields, 1)), _text(fields, 2), _number(fields, 3))


@dataclass(frozen=True, slots=True)
class DataResponse:
    """What became of a reading.

    Args:
        success, message, timestamp: as in EventResponse.
        response_id: the id that the reading goes by, source:epoch:seq; empty if it was refused.
    """

    success: bool
    message: str = ""
    response_id: str = ""
    timestamp: int = 0

    @classmethod
    def from_proto(cls, message: bytes) -> Self:
        """Reads one; raises MalformedError for what is none."""
        fields = fields_of(message)
        return cls(bool(_number(fields, 1)), _text(fields, 2), _text(fields, 3), _number(fields, 4))


@dataclass(frozen=True, slots=True)
class HealthResponse:
    """A node's health.

    Args:
        healthy: whether it takes in messages.
        node_id: who answers.
        status: active, dormant (it is stopping) or unknown (another node was asked for).
        uptime: seconds since the node's start.
    """

    healthy: bool
    node_id: str = ""
    status: str = ""
    uptime: int = 0

    @classmethod
    def from_proto(cls, message: bytes) -> Self:
        """Reads one; raises MalformedError for what is none."""
        fields = fields_of(message)
        return cls(bool(_number(fields, 1)), _text(fields, 2), _text(fields, 3), _number(fields, 4))


@dataclass(frozen=True, slots=True)
class StreamReceipt:
    """What became of a stream of events.

    Args:
        sent: events that left.
        accepted: of these, those that the gateway took in.
        refused: of these, those that it did not.
        denied: events that this end's policy refused; they did not leave.
    """

    sent: int
    accepted: int
    refused: int
    denied: int
