"""``lexmesh sub``: what arrives for some subjects, one JSON message a line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..errors import DeniedError, TransportError
from ..nsr.configured import named_policy
from ..transports.clients import client_of
from .exits import OK, complain
from .output import LineOutput
from .state import LinkState

if TYPE_CHECKING:
    from .._codec import StreamEvent
    from ..transports.gateway_client import GatewayClient

__all__ = ["subscribe"]

READER_CHECK_SECONDS: Final = 0.25
LAST_WORD_SECONDS: Final = 2.0  # how long the end waits for the gateway to tell what it has dropped
OTHER_GAPS: Final = "denied, on other subjects or for other nodes"


class Subscription:
    """One run of the command.

    Args:
        output: takes the lines.
        limit: messages to print, None for all.
    """

    def __init__(self, output: LineOutput, limit: int | None) -> None:
        self.received = 0
        self.done = asyncio.Event()
        self._output = output
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._flush_due = False

    def take(self, event: StreamEvent) -> None:
        """Puts one message out; the lines of a loop turn leave in one write."""
        if self.received == self._limit or self._output.closed:
            return
        self.received += 1
        self._output.add(event.to_json())
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._flush_due = False
        self._output.flush()
        if self.received == self._limit or self._output.closed:
            self.done.set()

    async def finished(self) -> None:
        """Waits for the last message wanted, or for the reader of our output to go."""
        while not self.done.is_set() and not self._output.reader_gone():
            try:
                await asyncio.wait_for(self.done.wait(), READER_CHECK_SECONDS)
            except TimeoutError:
                continue


async def subscribe(
    url: str, subjects: Sequence[str], fd: int, *, node_id: str, limit: int | None, policy: Path | None, as_json: bool
) -> int:
    """Prints what arrives for some subjects.

    Args:
        url: the gateway.
        subjects: patterns; `*` is one token, `>` the rest.
        fd: where the lines go.
        node_id: this subscriber's name in the mesh.
        limit: end after this many messages, None to go on until Ctrl-C.
        policy: the policy's file that what arrives must pass; the configured or the default policy when None.
        as_json: the summary on stderr is one JSON object.

    Returns:
        0: at the limit, when the reader of our output has gone, or when cancelled.

    Raises:
        ConnectError: there is no gateway at `url` to begin with.
        HandshakeError: what answers there is no gateway.
        OSError: the output cannot be written.
        PolicyError: the policy cannot be loaded.
    """
    chosen = named_policy(policy, "--policy") if policy is not None else None
    state = LinkState()

    def denied(error: DeniedError) -> None:
        text = f"a message was {error}"  # a path has keys of the sender's, and this is a terminal
        state.say("".join(mark if mark.isprintable() else "?" for mark in text))

    output = LineOutput(fd)
    subscription = Subscription(output, limit)
    client = client_of(node_id, url, on_state=state.change, on_denied=denied, policy=chosen)
    try:
        await client.connect()
        await client.subscribe(*subjects, handler=subscription.take)
        complain(f"subscribed to {' '.join(subjects)} at {url}")
        await subscription.finished()
    except asyncio.CancelledError:
        pass  # enough: the summary follows
    finally:
        state.closing()
        missing, lost = await _losses(client)
        await client.disconnect()
    output.finish()
    summary = {
        "received": subscription.received,
        "denied": client.denied,
        "lost": lost,
        "missing": missing,
        "reconnects": client.reconnects,
    }
    _print_summary(summary, as_json)
    return OK


async def _losses(client: GatewayClient) -> tuple[int, int | None]:
    """The numbers that are missing from their sources, and how many of these were lost; None if nobody can tell.

    A source numbers all that it publishes, so a gap is also what was denied, on other subjects or for other nodes. What
    was lost on the way here the gateway knows, for as long as the connection has lasted.
    """
    missing = client.missing
    if not missing:
        return 0, 0
    if client.reconnects or not client.connected:
        return missing, None
    try:
        receipt = await client.flush(LAST_WORD_SECONDS)
    except TransportError:
        return missing, None
    dropped = receipt.get("dropped")
    return missing, min(dropped, missing) if isinstance(dropped, int) else None


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(summary).decode(), file=sys.stderr, flush=True)
        return
    missing, lost = summary["missing"], summary["lost"]
    if lost is None:
        gaps, rest = f"missing {missing} (lost or {OTHER_GAPS})", ""
    else:
        gaps, rest = f"lost {lost}", f"; {missing - lost} more did not come: {OTHER_GAPS}" if missing > lost else ""
    complain(
        f"received {summary['received']}, denied {summary['denied']}, {gaps}, reconnects {summary['reconnects']}{rest}"
    )
