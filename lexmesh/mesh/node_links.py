"""All links of a node to others: who may have one, and which one stays where there are two."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from lexmesh._codec import StreamEvent
from lexmesh._pipeline import Core
from lexmesh.events import RESERVED_PREFIX
from lexmesh.mesh.correspondent import Correspondent
from lexmesh.mesh.hello import HELLO, Hello, HelloError
from lexmesh.mesh.node_link import NodeLink
from lexmesh.transports.peer import Peer

__all__ = ["ON_MEDIUM", "RETIRED", "Greeter", "Medium", "NodeLinks"]

RETIRED = RESERVED_PREFIX + "retired"
"""The last message on a link that is not kept; once both sides have said so, its dialler closes."""

ON_MEDIUM = RESERVED_PREFIX + "mesh.medium"
"""A node tells those that it is linked to whether it is on a medium: what it brings need not be published there."""

RETIRE_SECONDS = 5.0
"""How long that may take."""

OTHER_LINK_SECONDS = 1.0
"""How long after the other side has retired a link the one that it keeps may take to be known here."""

HELLO_SECONDS = 5.0
"""How long the answer to a hello may take."""

CLOSE_REFUSED = 1008

logger = logging.getLogger("lexmesh.mesh")


class Greeter(Protocol):
    """Who has dialled a connection."""

    def established(self, node: str) -> None:
        """The other side is a node of the mesh, and this is its name."""
        ...

    def refused(self, reason: str, *, is_self: bool) -> None:
        """There is no link to what is there."""
        ...


class Medium(Protocol):
    """What many nodes hear at once."""

    def tell(self, kind: str, data: Any) -> None:
        """Sends a reserved message to all nodes on it."""
        ...

    def has(self, name: str) -> bool:
        """Whether a node is on it."""
        ...

    def peer(self, name: str) -> Correspondent | None:
        """A node on it; None if it is not there."""
        ...

    def peers(self) -> list[Correspondent]:
        """All nodes on it."""
        ...

    def linked(self, link: Correspondent) -> None:
        """A node is linked directly."""
        ...

    def unlinked(self, name: str) -> None:
        """A node is linked no more."""
        ...

    def claimed(self, link: Correspondent, data: Any) -> None:
        """A linked node says whether it is on the medium: the data of ON_MEDIUM, anything."""
        ...


class NodeLinks:
    """The links of one node.

    Args:
        core: the node's pipeline.
        own: makes what this node says of itself.
        on_up: callable(link), told of each node that is linked now and was not before, or has started anew.
        on_down: callable(name), told of each node that is linked no more.

    Attributes:
        medium: reaches nodes that are not linked as well; None where there is none.
        refused: connections that became no links.
    """

    def __init__(
        self, core: Core, own: Callable[[], Hello], on_up: Callable[[NodeLink], None], on_down: Callable[[str], None]
    ) -> None:
        self._core = core
        self._own = own
        self._on_up = on_up
        self._on_down = on_down
        self._greeters: dict[Peer, Greeter] = {}
        self._numbers: dict[Peer, int] = {}  # of hellos that this node has said first
        self._said = 0
        self._links: dict[Peer, NodeLink] = {}
        self._by_name: dict[str, NodeLink] = {}
        self.medium: Medium | None = None
        self.refused = 0

    # -- looking up -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[NodeLink]:
        return iter(list(self._by_name.values()))

    def get(self, name: str) -> NodeLink | None:
        """The link to a node; None if there is none."""
        return self._by_name.get(name)

    def of(self, session: Peer) -> NodeLink | None:
        """The link that a connection is; None if it is a client's."""
        return self._links.get(session)

    def names(self) -> list[str]:
        """The nodes that are linked."""
        return sorted(self._by_name)

    def tell(self, kind: str, data: Any, *, but: Correspondent | None = None) -> None:
        """Sends a reserved message to all linked nodes, perhaps but one, and to those that a medium reaches.

        What came from a node that is on the medium itself has been told there.
        """
        for link in self:
            if but is None or link.name != but.name:
                link.send(kind, data)
        if self.medium is not None and not (but is not None and self.medium.has(but.name)):
            self.medium.tell(kind, data)

    def reach(self, name: str) -> Correspondent | None:
        """A node by its link or by a medium; None if there is neither."""
        return self.get(name) or (None if self.medium is None else self.medium.peer(name))

    # -- beginning --------------------------------------------------------------------------------------------------

    def greet(self, session: Peer, greeter: Greeter) -> None:
        """Says hello on a connection that this node has dialled."""
        self._greeters[session] = greeter
        self._said += 1
        self._numbers[session] = self._said
        session.send(HELLO, replace(self._own(), number=self._said).data())
        asyncio.get_running_loop().call_later(HELLO_SECONDS, self._give_up, session)

    def hello(self, session: Peer, event: StreamEvent) -> Hello | None:
        """Takes the other side's hello, and answers it if that came first.

        Returns:
            The hello; None if there is no link.
        """
        if session in self._links:
            return None
        greeter = self._greeters.get(session)
        ours = self._own()
        try:
            theirs = Hello.of(event.data)
        except HelloError as error:
            self._refuse(session, str(error)[:123])
            return None
        fault = theirs.fault(ours) or self._outdated(theirs)
        is_self = theirs.entry.epoch == ours.entry.epoch and theirs.node_id == ours.node_id
        if greeter is None and (is_self or not fault):
            answer = Hello(ours.mesh_name, ours.entry, session.remote_address.rpartition(":")[0])
            session.send(HELLO, answer.data(), reply_to=event.id)
        if fault:
            self._refuse(session, fault, is_self=is_self)
            return None
        if greeter is not None:
            greeter.established(theirs.node_id)
        number = self._numbers.get(session, theirs.number)
        self._attach(NodeLink(session, theirs, ours.node_id, dialled=greeter is not None, number=number))
        return theirs

    def _outdated(self, theirs: Hello) -> str:
        """Why a node is refused of whose name a later one is linked: both would cut each other off without end."""
        other = self._by_name.get(theirs.node_id)
        if other is None or other.epoch <= theirs.entry.epoch:
            return ""
        return f"a node {theirs.node_id!r} that started later is linked here: names are unique in a mesh"[:123]

    def no_node(self, session: Peer) -> bool:
        """The other side has refused something; whether that was the hello, since it is no node."""
        if session not in self._greeters or session in self._links:
            return False
        self._refuse(session, "what answers there is a gateway, and no node of a mesh")
        return True

    def _give_up(self, session: Peer) -> None:
        """Ends a connection on which no hello was answered in time."""
        if session in self._greeters and session not in self._links:
            session.close(1000, "no hello")

    def _refuse(self, session: Peer, reason: str, *, is_self: bool = False) -> None:
        self.refused += 1
        greeter = self._greeters.get(session)
        if greeter is not None:
            greeter.refused(reason, is_self=is_self)
        elif not is_self:
            logger.warning("refused %s: %s", session.remote_address, reason)
        session.close(CLOSE_REFUSED, reason)

    def _attach(self, link: NodeLink) -> None:
        self._links[link.session] = link
        link.session.take_freely()
        link.session.outbox.join(link.name)
        other = self._by_name.get(link.name)
        if other is not None and not link.wins_over(other):
            self._retire(link)
            other.session.outbox.join(link.name)  # the name is that link's again
            return
        self._by_name[link.name] = link
        if other is not None and other.epoch == link.epoch:
            self._retire(other)
            return
        if other is not None:
            self._core.router.forget(other.session.outbox)
            link.session.outbox.join(link.name)
            other.session.cut()
        self._on_up(link)

    # -- one of two -------------------------------------------------------------------------------------------------

    def _retire(self, link: NodeLink) -> None:
        """Sends nothing more over a link, but goes on reading what the other side has sent."""
        link.retired = True
        self._core.router.forget(link.session.outbox)
        link.send(RETIRED, None)
        asyncio.get_running_loop().call_later(RETIRE_SECONDS, link.session.close)
        self._close_if_retired(link)

    def retired(self, link: NodeLink) -> None:
        """The other side sends nothing more here, but reads on.

        Which link it keeps instead may be known here a moment later only: until then this one goes on.
        """
        link.peer_retired = True
        if link.retired:
            self._close_if_retired(link)
        else:
            asyncio.get_running_loop().call_later(OTHER_LINK_SECONDS, self._drop, link)

    def _drop(self, link: NodeLink) -> None:
        """Ends a link that the other side has let go."""
        if self._by_name.get(link.name) is link:
            del self._by_name[link.name]
            self._on_down(link.name)
            self._retire(link)

    def _close_if_retired(self, link: NodeLink) -> None:
        if link.retired and link.peer_retired and link.dialled:
            link.session.close(1000, "another link is kept")

    def let_go(self, name: str) -> None:
        """Ends the link to a node, if this node has dialled it."""
        link = self._by_name.get(name)
        if link is not None and link.dialled:
            self._drop(link)

    # -- the end ----------------------------------------------------------------------------------------------------

    def closed(self, session: Peer) -> None:
        """A connection is gone; it may be a client's."""
        self._greeters.pop(session, None)
        self._numbers.pop(session, None)
        link = self._links.pop(session, None)
        if link is not None and self._by_name.get(link.name) is link:
            del self._by_name[link.name]
            self._on_down(link.name)
