"""Another node as this one writes to it, by whichever way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from lexmesh.transports.peer import Peer

__all__ = ["Correspondent"]

MOST_QUEUED = 512 * 1024
"""Bytes that may wait before the pieces of something long wait for their turn; far below any overflow."""

MOST_PIECES = 8192
"""That wait: some 512 MB of state. What a peer asks for beyond that, and does not read, it may ask for again."""

PIECE_SECONDS = 0.01
"""How often it is looked whether there is room for more of them."""


class Correspondent:
    """A node, and what carries messages to it.

    Args:
        session: carries them.
        name: the node's.

    Attributes:
        epoch: by which the node goes, as far as it has said so; 0 for not at all.
    """

    def __init__(self, session: Peer, name: str) -> None:
        self.session = session
        self.name = name
        self.epoch = 0
        self._pieces: deque[tuple[str, Any]] = deque()

    def send(self, kind: str, data: Any) -> None:
        """Queues a reserved message."""
        if not self.session.outbox.closed:
            self.session.send(kind, data)

    @property
    def pieces(self) -> int:
        """How many messages wait here."""
        return len(self._pieces)

    def send_piece(self, kind: str, data: Any) -> None:
        """Queues one of many messages; they wait for each other here, so that the live traffic has room."""
        if not self._pieces and self.session.outbox.queued < MOST_QUEUED:
            self.send(kind, data)
            return
        if not self._pieces:
            asyncio.get_running_loop().call_later(PIECE_SECONDS, self._send_pieces)
        if len(self._pieces) < MOST_PIECES:
            self._pieces.append((kind, data))

    def _send_pieces(self) -> None:
        if self.session.outbox.closed:
            self._pieces.clear()
        while self._pieces and self.session.outbox.queued < MOST_QUEUED:
            self.send(*self._pieces.popleft())
        if self._pieces:
            asyncio.get_running_loop().call_later(PIECE_SECONDS, self._send_pieces)
