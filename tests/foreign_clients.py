"""Clients that no one here wrote, run as programs, and a conversation with one in either subprotocol."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from cli_process import Running
from requirements import absent

FOREIGN = Path(__file__).resolve().parent / "foreign"
PYTHON_CLIENTS = ("websockets", "aiohttp")
BACKOFF = {  # seconds; the library's own are 5 and 3.1, and more
    "WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.05",
    "WEBSOCKETS_BACKOFF_MIN_DELAY": "0.05",
    "WEBSOCKETS_BACKOFF_MAX_DELAY": "0.2",
}

Frame = dict[str, str]
Message = dict[str, Any]


class Client(Protocol):
    """A client that comes back by itself when its connection ends."""

    def send(self, frame: Frame) -> None:
        """Sends a text or binary frame."""

    def report(self) -> dict[str, Any]:
        """The next thing that happened to its connection; waits for it."""


class Program(Running):
    """A client as a process: frames to send on its stdin, reports on its stdout."""

    def __init__(self, name: str, where: dict[str, Any]) -> None:
        super().__init__(json.dumps(where), command=_command(name), env=BACKOFF)

    def send(self, frame: Frame) -> None:
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()

    def report(self) -> dict[str, Any]:
        return json.loads(self.line())


def _command(name: str) -> list[str]:
    if name in PYTHON_CLIENTS:
        if find_spec(name) is None:
            absent(f"no {name}: pip install '.[test]'")
        return [sys.executable, str(FOREIGN / "python_client.py"), name]
    if (node := shutil.which("node")) is None:
        absent("no node: apt-get install nodejs npm")
    if subprocess.run([node, "-e", "require.resolve('ws')"], cwd=FOREIGN, capture_output=True).returncode:
        absent(f"node has no ws: npm ci --prefix {os.path.relpath(FOREIGN)}")
    return [node, str(FOREIGN / "ws_client.js")]


class JsonWire:
    """Subprotocol `lexmesh.v1.json`, or the same without any."""

    malformed: ClassVar[Frame] = {"text": '{"type": "sensor.north", "data": '}

    def __init__(self, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol

    def frame(self, **message: Any) -> Frame:
        return {"text": json.dumps(message, ensure_ascii=False)}

    def messages(self, frame: Frame) -> list[Message]:
        return [json.loads(frame["text"])]


class ProtoWire:
    """Subprotocol `lexmesh.v1.proto`, with Google's message classes."""

    subprotocol = "lexmesh.v1.proto"
    malformed: ClassVar[Frame] = {"binary": base64.b64encode(b"\xff\xff not a batch").decode()}

    def __init__(self, internode: Callable[[str], Any]) -> None:
        self._batch, self._event = internode("Batch"), internode("EventMessage")

    def frame(self, **message: Any) -> Frame:
        event = self._event(event_type=message["type"], metadata=message.get("metadata", {}))
        if "data" in message:
            event.payload = json.dumps(message["data"], ensure_ascii=False).encode()
        if "id" in message:
            source, epoch, seq = message["id"].split(":")
            event.source_node, event.epoch, event.seq = source, int(epoch), int(seq)
        return {"binary": base64.b64encode(self._batch(events=[event]).SerializeToString()).decode()}

    def messages(self, frame: Frame) -> list[Message]:
        events = self._batch.FromString(base64.b64decode(frame["binary"])).events
        return [
            {"type": event.event_type, "data": json.loads(event.payload or b"null"), "reply_to": event.reply_to}
            for event in events
        ]


Wire = JsonWire | ProtoWire


def where(port: int, wire: Wire, *subjects: str) -> dict[str, Any]:
    """What a client is told: where to connect, and to subscribe each time it has."""
    opening = [wire.frame(type="_lexmesh.subscribe", data={"subjects": subjects})] if subjects else []
    return {"url": f"ws://127.0.0.1:{port}", "subprotocol": wire.subprotocol, "opening": opening}


class Conversation:
    """What is said with a client, message by message; attempts to connect that failed are passed over."""

    def __init__(self, client: Client, wire: Wire) -> None:
        self._client = client
        self._wire = wire
        self._heard: deque[Message] = deque()

    def say(self, **message: Any) -> None:
        self._client.send(self._wire.frame(**message))

    def say_malformed(self) -> None:
        self._client.send(self._wire.malformed)

    def expect(self, event: str) -> dict[str, Any]:
        """The next report, which must be of an event."""
        assert not self._heard, self._heard
        while (report := self._client.report())["event"] == "failed":
            pass
        assert report["event"] == event, report
        return report

    def hear(self, event_type: str) -> Message:
        """The next message, which must be of a type."""
        if not self._heard:
            self._heard.extend(self._wire.messages(self.expect("message")))
        message = self._heard.popleft()
        assert message["type"] == event_type, message
        return message
