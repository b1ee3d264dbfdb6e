"""What a node publishes to one peer: each message is checked here, before it leaves, with or without a connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import Any

from lexmesh._publisher import Publisher
from lexmesh.events import EventType

EVENTS_A_TURN = 256
"""Events after which a stream lets its loop send: some 56 KB of the usual ones. Writes of 64 cost half as much more."""


class Publishing(Publisher, ABC):
    """What a client sends, as fast as its connection takes it."""

    @abstractmethod
    async def writable(self) -> None:
        """Waits until the connection takes more."""

    async def send_message(self, event_type: str, data: Any = None, **fields: Any) -> str:
        """Queues an event, and waits while the connection takes no more.

        Args:
            event_type, data, **fields: as for publish.

        Returns:
            The event's id.
        """
        id = self.publish(event_type, data, **fields)
        await self.writable()
        return id

    async def send_bio_sync(self, data: Any) -> str:
        """Sends a bio_sync event; returns its id."""
        return await self.send_message(EventType.BIO_SYNC, data)

    async def send_sensor_stream(self, readings: Iterable[Any] | AsyncIterable[Any], **fields: Any) -> int:
        """Sends each reading as a sensor_reading; returns how many there were."""
        return await self.stream_data(EventType.SENSOR_READING, readings, **fields)

    async def stream_data(self, event_type: str, items: Iterable[Any] | AsyncIterable[Any], **fields: Any) -> int:
        """Sends each item as one event, no faster than the connection takes them.

        Args:
            event_type: the subject of all of them.
            items: a sync or async iterable.
            **fields: as for publish.

        Returns:
            How many were sent.
        """
        count = 0
        if isinstance(items, AsyncIterable):
            async for item in items:
                await self.send_message(event_type, item, **fields)
                count += 1
        else:
            for item in items:
                self.publish(event_type, item, **fields)
                count += 1
                if count % EVENTS_A_TURN == 0:
                    await self.writable()
        await self.writable()
        return count
