"""``lexmesh pub``: one JSON value a line in, one message each out, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import DeniedError, DisconnectedError, LexmeshError, MalformedError
from ..nsr.configured import named_policy
from ..transports.clients import client_of
from .exits import FAILURE, OK, complain
from .line_numbers import LineNumbers
from .lines import read_lines
from .progress import progress
from .receipts import Receipts
from .state import LinkState
from .window import Window

if TYPE_CHECKING:
    from ..transports.gateway_client import GatewayClient

__all__ = ["publish"]

# A gateway's default max_message_size, less room for the envelope around the line.
LONGEST_LINE: Final = 1024 * 1024 - 4096
LAST_WORD_SECONDS: Final = 2.0  # how long Ctrl-C waits for the gateway to confirm what is under way
QUIET_OUTCOMES: Final = ("filtered", "expired", "duplicate", "looped", "malformed")  # shown when there are any


@dataclass
class Publisher:
    """One run of the command: what it sends, and what has become of it."""

    client: GatewayClient
    state: LinkState
    lines: LineNumbers
    event_type: str
    metadata: dict[str, str] | None
    longest: int = LONGEST_LINE
    receipts: Receipts = field(default_factory=Receipts)
    line: int = 0
    malformed_lines: int = 0
    denied_here: Counter[str] = field(default_factory=Counter)  # by rule, before sending
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.window = Window(self.client, self.receipts, self.state)

    async def run(self, fd: int) -> None:
        """Sends every line of `fd` and waits until each message is accounted for."""
        async with progress(self.describe_progress) as say:
            self.state.say = say
            confirming = asyncio.create_task(self.window.keep_confirming())
            try:
                async for lines in read_lines(fd, self.longest):
                    await self.send(lines)
            finally:
                confirming.cancel()
            await self.window.finish()

    async def send(self, lines: list[bytes]) -> None:
        """Publishes lines, and waits whenever the gateway is two windows behind."""
        await self.state.up()
        for line in lines:
            self.line += 1
            if line and not line.isspace() and self.publish(line) and self.window.add(len(line)):
                await self.window.turn()

    def publish(self, line: bytes) -> bool:
        """Publishes one line, or reports why it cannot be; whether it did."""
        if len(line) > self.longest:
            self.refuse(f"longer than {self.longest} bytes, which is more than a gateway takes")
            return False
        try:
            id = self.client.publish_json(self.event_type, line, metadata=self.metadata)
        except MalformedError as error:
            self.refuse(f"{error.reason} at byte {error.offset}")
            return False
        except DeniedError as error:
            self.denied_here[error.rule] += 1
            self.state.say(f"line {self.line}: {error}")
            return False
        self.lines.published(self.line, id)
        return True

    def refuse(self, reason: str) -> None:
        """Reports the current line as malformed and goes on."""
        self.malformed_lines += 1
        self.state.say(f"line {self.line}: {reason}")

    @property
    def denied(self) -> int:
        """Messages that a policy refused, here or at the gateway."""
        return self.denied_here.total() + self.receipts["denied"]

    @property
    def lost(self) -> int:
        """Messages published, but never confirmed by a gateway."""
        return self.client.sent - self.receipts["taken"] + self.receipts["duplicate"]

    def describe_progress(self) -> str:
        """One line for while it runs."""
        rate = self.receipts["taken"] / max(time.monotonic() - self.started, 1e-9)
        return f"{self.client.sent} sent, {self.receipts['taken']} confirmed ({rate:,.0f}/s), {self.state.name}"

    def summary(self) -> dict[str, Any]:
        """The numbers that the command ends with."""
        return {
            "sent": self.client.sent,
            "routed": self.receipts["routed"],
            "denied": self.denied,
            "denied_before_sending": self.denied_here.total(),
            "denied_by_rule": dict(self.denied_here + Counter(self.receipts.denied_by_rule())),
            "unroutable": self.receipts["unroutable"],
            **{name: self.receipts[name] for name in QUIET_OUTCOMES},
            "malformed_lines": self.malformed_lines,
            "lost": self.lost,
            "reconnects": self.client.reconnects,
            "seconds": round(time.monotonic() - self.started, 3),
        }


async def publish(
    url: str,
    event_type: str,
    fd: int,
    *,
    node_id: str,
    metadata: dict[str, str] | None,
    policy: Path | None,
    as_json: bool,
) -> int:
    """Publishes the lines of a file descriptor; when cancelled, accounts for what it has sent and returns.

    Args:
        url: the gateway.
        event_type: of every message.
        fd: open for reading.
        node_id: this publisher's name in the mesh.
        metadata: of every message.
        policy: the policy's file that each must pass to be sent; the configured or the default policy when None.
        as_json: print the summary as one JSON object on stdout, instead of a line on stderr.

    Returns:
        The exit code: 1 when a line was malformed, a message denied at either end, or one may have been lost.

    Raises:
        ConnectError: there is no gateway at `url` to begin with.
        HandshakeError: what answers there is no gateway.
        PolicyError: the policy cannot be loaded.
    """
    state = LinkState()
    lines = LineNumbers()

    def refused(id: str, error: Exception) -> None:
        line = lines.line_of(id)
        what = f"line {line}" if line is not None else "a message"
        text = f"{what}: {error} (by the gateway{f', {id}' if id else ''})"
        state.say("".join(mark if mark.isprintable() else "?" for mark in text))  # a gateway's words, on a terminal

    chosen = named_policy(policy, "--policy") if policy is not None else None
    client = client_of(node_id, url, on_state=state.change, on_refused=refused, policy=chosen)
    await client.connect()
    publisher = Publisher(client, state, lines, event_type, metadata)
    code = OK
    try:
        await publisher.run(fd)
    except asyncio.CancelledError:
        complain(f"stopped at line {publisher.line}")
        await _last_word(publisher)
    except DisconnectedError as error:
        code = FAILURE
        complain(f"{error}; stopped at line {publisher.line}")
        if client.receipt:  # a gateway that closes on purpose says before what it took
            publisher.receipts.add(client.receipt, client.accounts)
    finally:
        state.closing()
        try:
            await client.disconnect()
        finally:  # whoever presses Ctrl-C meanwhile is told what was sent, too
            _print_summary(publisher.summary(), as_json)
    return FAILURE if publisher.malformed_lines or publisher.denied or publisher.lost else code


async def _last_word(publisher: Publisher) -> None:
    with contextlib.suppress(TimeoutError, LexmeshError):
        await asyncio.wait_for(publisher.window.finish(), LAST_WORD_SECONDS)


def _print_summary(summary: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(summary).decode(), flush=True)
        return
    rules = [f"{rule} {count}" for rule, count in sorted(summary["denied_by_rule"].items())]
    if summary["denied_before_sending"]:
        rules.append(f"{summary['denied_before_sending']} of them before sending")
    parts = [
        f"sent {summary['sent']}",
        f"routed {summary['routed']}",
        f"denied {summary['denied']}" + (f" ({', '.join(rules)})" if rules else ""),
        f"unroutable {summary['unroutable']}",
        *(f"{name} {summary[name]}" for name in QUIET_OUTCOMES if summary[name]),
        f"lost {summary['lost']}{' at most (unconfirmed when the connection broke)' if summary['lost'] else ''}",
    ]
    if summary["malformed_lines"]:
        parts.append(f"malformed lines {summary['malformed_lines']}")
    if summary["reconnects"]:
        parts.append(f"reconnects {summary['reconnects']}")
    complain(f"{', '.join(parts)} in {summary['seconds']:.1f} s")
