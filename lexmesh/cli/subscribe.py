"""``lexmesh sub``: what arrives for some subjects, one JSON message a line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from ..transports.websocket import WebSocketClient
from .exits import OK, complain
from .output import LineOutput
from .state import LinkState

if TYPE_CHECKING:
    from .._codec import StreamEvent

__all__ = ["subscribe"]

READER_CHECK_SECONDS: Final = 0.25


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
    url: str, subjects: Sequence[str], fd: int, *, node_id: str, limit: int | None, as_json: bool
) -> int:
    """Prints what arrives for some subjects.

    Args:
        url: the gateway.
        subjects: patterns; `*` is one token, `>` the rest.
        fd: where the lines go.
        node_id: this subscriber's name in the mesh.
        limit: end after this many messages, None to go on until Ctrl-C.
        as_json: the summary on stderr is one JSON object.

    Returns:
        0: at the limit, when the reader of our output has gone, or when cancelled.

    Raises:
        ConnectError: there is no gateway at `url` to begin with.
        HandshakeError: what answers there is no gateway.
        OSError: the output cannot be written.
    """
    state = LinkState()
    output = LineOutput(fd)
    subscription = Subscription(output, limit)
    client = WebSocketClient(node_id, url, on_state=state.change)
    try:
        await client.connect()
        await client.subscribe(*subjects, handler=subscription.take)
        complain(f"subscribed to {' '.join(subjects)} at {url}")
        await subscription.finished()
    except asyncio.CancelledError:
        pass  # enough: the summary follows
    finally:
        state.closing()
        await client.disconnect()
    output.finish()
    _print_summary(subscription.received, client, as_json)
    return OK


def _print_summary(received: int, client: WebSocketClient, as_json: bool) -> None:
    summary: dict[str, Any] = {"received": received, "lost": client.lost, "reconnects": client.reconnects}
    if as_json:
        print(orjson.dumps(summary).decode(), file=sys.stderr, flush=True)
    else:
        # A source numbers all that it publishes: a gap may also be what was denied, or on other subjects.
        lost = f"{client.lost} at most (numbers missing from their sources)" if client.lost else "0"
        complain(f"received {received}, lost {lost}, reconnects {client.reconnects}")
