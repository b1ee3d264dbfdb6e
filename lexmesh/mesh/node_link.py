"""One link to another node, whatever carries it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from lexmesh.mesh.hello import Hello
from lexmesh.transports.peer import Peer

__all__ = ["NodeLink"]

MOST_QUEUED = 512 * 1024
"""Bytes that may wait for a link before the pieces of something long wait for their turn; far below any overflow."""

MOST_PIECES = 8192
"""That wait: some 512 MB of state. What a peer asks for beyond that, and does not read, it may ask for again."""

PIECE_SECONDS = 0.01
"""How often it is looked whether there is room for more of them."""


class NodeLink:
    """A connection over which a node has said hello.

    Args:
        session: the connection.
        hello: what the other node said.
        own_name: this node's name.
        dialled: whether this node has made the connection.
        number: of the hello that was said first on it.

    Attributes:
        epoch: by which the other node goes; it moves on past that of an earlier life of which it hears.
        unanswered: probes since anything reserved was heard.
        retired, peer_retired: whether this side, and the other, sends nothing here any more since another link is kept.
    """

    def __init__(self, session: Peer, hello: Hello, own_name: str, *, dialled: bool, number: int = 0) -> None:
        self.session = session
        self.name = hello.node_id
        self.epoch = hello.entry.epoch
        self.dialled = dialled
        self.dialler = own_name if dialled else self.name
        self.number = number
        self.unanswered = 0
        self.retired = False
        self.peer_retired = False
        self._pieces: deque[tuple[str, Any]] = deque()

    def wins_over(self, other: NodeLink) -> bool:
        """Whether this link, which has just come, is kept rather than another one to the same node.

        Both nodes find the same: of two links the one stays that the node with the lesser name has dialled; of two by
        the same dialler the one on which it has said hello later, which need not have come later; after a restart the
        one that came later.
        """
        if self.epoch != other.epoch:
            return True
        if self.dialler != other.dialler:
            return self.dialler < other.dialler
        return self.number >= other.number

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
