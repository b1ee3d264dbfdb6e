"""The seeds' pipeline, with handlers for what flows there."""

from __future__ import annotations

import logging
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh.events import EventType
from lexmesh.pipeline import StreamPipeline

__all__ = ["LexAmorisComputePipeline"]

logger = logging.getLogger("lexmesh.pipeline")


class LexAmorisComputePipeline(StreamPipeline):
    """The seeds' pipeline from lex_amoris_compute to bio_synth_ai_control, with handlers for what flows there.

    The default handlers keep the latest event of each type in `latest` and log it at DEBUG.

    Args:
        **options: as for StreamPipeline.
    """

    TYPES = (
        EventType.BIO_SYNC,
        EventType.SENSOR_READING,
        EventType.MYCELIUM_STATUS,
        "temperature",
        "humidity",
        "mycelium_growth",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.latest: dict[str, StreamEvent] = {}
        for subject in self.TYPES:
            self.register_handler(subject, self._keep_latest)

    def _keep_latest(self, event: StreamEvent) -> None:
        self.latest[event.event_type] = event
        logger.debug("%s from %s", event.event_type, event.source_node)
