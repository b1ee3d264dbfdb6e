"""The demo's control node: ``bio_synth_ai_control``, its scenario, and which rule must refuse which part of it.

What the policy refuses is tried at both ends: the node's own client refuses it before it leaves, and a second
connection, whose policy only flags, sends it all the same for the gateway to deny.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ..errors import DeniedError
from ..events import SYNC_FREQUENCY_HZ, EventType
from ..nsr import NsrPolicy
from ..transports.websocket import WebSocketClient
from .demo_roles import CONTROL
from .demo_sensor import READING_TYPES

if TYPE_CHECKING:
    from .._codec import StreamEvent

__all__ = ["SCENARIO", "ControlNode", "Step"]

STEP_SECONDS: Final = 0.05
REPLY_SECONDS: Final = 5.0

NODES: Final = ["node_01", "node_02", "node_03"]
HUMIDITY: Final = {"humidity_percent": 85, "temperature_celsius": 22.5}


@dataclass(frozen=True)
class Step:
    """One message of the scenario.

    Attributes:
        event_type: its type.
        data: its data.
        metadata: its metadata.
        denied_by: the rule that must refuse it; empty when it must go through.
        replied: sent as a request, and the gateway's handler must reply.
        unpoliced: sent over the connection that refuses nothing, and must go through there too.
    """

    event_type: EventType
    data: Any
    metadata: Mapping[str, str] = field(default_factory=dict)
    denied_by: str = ""
    replied: bool = False
    unpoliced: bool = False


SCENARIO: Final = (
    Step(
        EventType.BIO_SYNC,
        {"frequency": SYNC_FREQUENCY_HZ, "phase": "synchronizing", "mycelium_nodes": NODES},
        replied=True,
    ),
    Step(EventType.MYCELIUM_STATUS, {"health": 0.97, "growth_mm_per_day": 4.2, "nodes": NODES}),
    # Telemetry is data: its words are not searched, only its consent.
    Step(EventType.MYCELIUM_STATUS, {"note": "no harm detected", "force_n": 0.3}, unpoliced=True),
    Step(EventType.CLIMATE_CONTROL, HUMIDITY, {"authorization": "grower-7"}),
    Step(EventType.CLIMATE_CONTROL, HUMIDITY, denied_by="authorization"),
    Step(EventType.BIO_SYNC, {"phase": "ascending", "consent_override": "force"}, denied_by="consent-override"),
    Step(EventType.MYCELIUM_STATUS, {"health": 0.97}, {"consent": "withdrawn"}, denied_by="consent-withdrawn"),
    Step(EventType.MYCELIUM_STATUS, {"health": 0.97}, {"intent": "exploit"}, denied_by="marker-metadata"),
    Step(EventType.AGENT_MESSAGE, {"message": "force the growth overnight"}, denied_by="marker-instruction"),
)


class ControlNode:
    """Plays the scenario again and again, and watches the sensors.

    Args:
        url: the gateway.
    """

    def __init__(self, url: str) -> None:
        # The other subprotocol than the sensor's, so that the demo speaks both.
        self._client = WebSocketClient(CONTROL, url, subprotocol="lexmesh.v1.json")
        self._unpoliced = WebSocketClient(f"{CONTROL}.unpoliced", url, policy=_flagging(NsrPolicy.default()))
        self._received: Counter[str] = Counter()
        self._expected_denials: Counter[str] = Counter()
        self._published = 0
        self._published_unpoliced = 0
        self._replies = 0
        self._receipt: dict[str, Any] = {}
        self._unpoliced_receipt: dict[str, Any] = {}
        self._stop = asyncio.Event()

    async def start(self) -> dict[str, Any]:
        """Connects and listens for readings."""
        await self._client.connect()
        await self._unpoliced.connect()
        await self._client.subscribe(*READING_TYPES, handler=self._on_reading)
        return {}

    async def go(self) -> dict[str, Any]:
        """Begins the scenario."""
        self._scenario = asyncio.create_task(self._play())
        return {}

    def status(self) -> dict[str, Any]:
        """What has been sent, heard and expected, counted here and by the client."""
        return {
            "sent": self._client.sent,
            "published": self._published,
            "received": self._client.received,
            "handled": dict(self._received),
            "replies": self._replies,
            "expected_denials": dict(self._expected_denials),
            "denied_here": self._client.ledger()["denied_by_rule"],
            "receipt": self._receipt,
            "unpoliced": {
                "sent": self._unpoliced.sent,
                "published": self._published_unpoliced,
                "receipt": self._unpoliced_receipt,
            },
        }

    async def quiet(self) -> dict[str, Any]:
        """Ends the scenario after its current round, so that each part has been played equally often."""
        self._stop.set()
        await self._scenario
        return await self.settle()

    async def settle(self) -> dict[str, Any]:
        """A receipt comes after everything that the gateway had for this node before."""
        self._receipt = await self._client.flush()
        self._unpoliced_receipt = await self._unpoliced.flush()
        return self.status()

    async def end(self) -> dict[str, Any]:
        """Disconnects."""
        await self._client.disconnect()
        await self._unpoliced.disconnect()
        return {}

    async def _play(self) -> None:
        while not self._stop.is_set():
            for step in SCENARIO:
                await self._send(step)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), STEP_SECONDS)

    async def _send(self, step: Step) -> None:
        if step.denied_by:
            self._expected_denials[step.denied_by] += 1
            with contextlib.suppress(DeniedError):
                self._publish(step)
                self._published += 1
        elif step.replied:
            self._published += 1
            reply = await self._client.request(step.event_type, step.data, timeout=REPLY_SECONDS)
            self._replies += reply.data["status"] == "ok"
        elif not step.unpoliced:
            self._published += 1
            self._publish(step)
        if step.denied_by or step.unpoliced:
            self._published_unpoliced += 1
            self._unpoliced.publish(step.event_type, step.data, metadata=dict(step.metadata))

    def _publish(self, step: Step) -> None:
        self._client.publish(step.event_type, step.data, metadata=dict(step.metadata))

    def _on_reading(self, event: StreamEvent) -> None:
        self._received[str(event.event_type)] += 1


def _flagging(policy: NsrPolicy) -> NsrPolicy:
    """The same rules, none of which refuses anything."""
    return NsrPolicy(tuple(replace(rule, deny=False) for rule in policy.rules))
