"""One link to another node, whatever carries it."""

from __future__ import annotations

from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.hello import Hello
from lexmesh.transports.peer import Peer

__all__ = ["NodeLink"]


class NodeLink(Correspondent):
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
        super().__init__(session, hello.node_id)
        self.epoch = hello.entry.epoch
        self.dialled = dialled
        self.dialler = own_name if dialled else self.name
        self.number = number
        self.unanswered = 0
        self.retired = False
        self.peer_retired = False

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
