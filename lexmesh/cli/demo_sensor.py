"""The demo's sensor node: this machine's own readings, as often as they are worth reading."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import psutil

from ..events import DataType, EventType
from ..transports.websocket import WebSocketClient
from .demo_roles import SENSOR

if TYPE_CHECKING:
    from .._codec import StreamEvent

__all__ = ["READING_TYPES", "SensorNode", "readings"]

READING_SECONDS: Final = 0.1  # psutil's advice: CPU per cent over less than this means nothing
READING_TYPES: Final = (EventType.SENSOR_READING, DataType.TEMPERATURE)

Reading = tuple[str, dict[str, Any]]


def readings() -> Iterator[Reading]:
    """Reads this host once: CPU and memory always, temperature and CPU frequency where it tells them."""
    yield EventType.SENSOR_READING, {"sensor": "cpu", "value": psutil.cpu_percent(), "unit": "%"}
    yield EventType.SENSOR_READING, {"sensor": "memory", "value": psutil.virtual_memory().percent, "unit": "%"}
    # Which of these a host has, and how it fails where it has not, differs by platform and container.
    with contextlib.suppress(AttributeError, OSError, NotImplementedError, RuntimeError):
        yield from _temperature()
    with contextlib.suppress(AttributeError, OSError, NotImplementedError, RuntimeError):
        yield from _frequency()


def _temperature() -> Iterator[Reading]:
    for chip, sensors in psutil.sensors_temperatures().items():
        for sensor in sensors[:1]:
            yield DataType.TEMPERATURE, {"sensor": sensor.label or chip, "value": sensor.current, "unit": "°C"}


def _frequency() -> Iterator[Reading]:
    if (frequency := psutil.cpu_freq()) is not None:
        yield EventType.SENSOR_READING, {"sensor": "cpu_frequency", "value": round(frequency.current), "unit": "MHz"}


class SensorNode:
    """Streams readings, and hears the climate commands that the policy lets through.

    Args:
        url: the gateway.
    """

    def __init__(self, url: str) -> None:
        self._client = WebSocketClient(SENSOR, url)
        self._received: Counter[str] = Counter()
        self._published = 0
        self._latest: dict[str, str] = {}
        self._receipt: dict[str, Any] = {}
        self._stop = asyncio.Event()

    async def start(self) -> dict[str, Any]:
        """Connects and listens for commands."""
        psutil.cpu_percent()  # the first reading is 0 by definition: it begins the interval
        await self._client.connect()
        await self._client.subscribe(EventType.CLIMATE_CONTROL, handler=self._on_command)
        return {}

    async def go(self) -> dict[str, Any]:
        """Begins to stream."""
        self._stream = asyncio.create_task(self._publish_readings())
        return {}

    def status(self) -> dict[str, Any]:
        """What has been sent and heard, counted here and by the client."""
        return {
            "sent": self._client.sent,
            "published": self._published,
            "received": self._client.received,
            "handled": dict(self._received),
            "receipt": self._receipt,
            "latest": self._latest,
        }

    async def quiet(self) -> dict[str, Any]:
        """Takes no further reading."""
        self._stop.set()
        await self._stream
        self._receipt = await self._client.flush()
        return self.status()

    async def settle(self) -> dict[str, Any]:
        """A receipt comes after everything that the gateway had for this node before."""
        self._receipt = await self._client.flush()
        return self.status()

    async def end(self) -> dict[str, Any]:
        """Disconnects."""
        await self._client.disconnect()
        return {}

    async def _publish_readings(self) -> None:
        while not self._stop.is_set():
            for event_type, reading in readings():
                self._client.publish(event_type, reading, metadata={"sensor_id": reading["sensor"]})
                self._published += 1
                self._latest[reading["sensor"]] = f"{reading['value']:g} {reading['unit']}"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), READING_SECONDS)

    def _on_command(self, event: StreamEvent) -> None:
        self._received[str(event.event_type)] += 1
