"""All channels that a node publishes on: made when they are needed, and let go when nothing is said there any more."""

from __future__ import annotations

from lexmesh._router import Endpoint, Router
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_channels import ChannelNames
from lexmesh.transports.redis_header import Header
from lexmesh.transports.redis_outlet import RedisOutlet
from lexmesh.transports.redis_writer import RedisWriter
from lexmesh.transports.subject_patterns import PatternTree

__all__ = ["RedisOutlets"]

MOST_OUTLETS = 1_024
"""Channels that one node publishes on under their own names; further subjects and nodes share what everyone hears."""

MOST_COPIES = 16
"""Channels that one subject is published on; where more are wanted, all nodes hear it."""

MOST_WAITING = 4
"""All of them together may hold so many times what one may."""


class RedisOutlets:
    """The channels.

    Args:
        gateway: the node's; outlets belong to it.
        names: of the channels.
        node_id, epoch: who publishes, since when.
        writer: publishes what is put here.

    Attributes:
        carry: whether messages are taken.
        wildcards: what other nodes of a shard listen to, where Redis has no patterns.
    """

    def __init__(self, gateway: PeerOwner, names: ChannelNames, node_id: str, epoch: int, writer: RedisWriter) -> None:
        self.carry = False
        self.wildcards = PatternTree(())
        self._gateway = gateway
        self._router: Router = gateway.core.router
        self._names = names
        self._node_id = node_id
        self._epoch = epoch
        self._writer = writer
        self._by_channel: dict[str, RedisOutlet] = {}
        self._said: dict[str, int] = {}  # of subjects, what they had published when last looked at
        self._published: dict[str, int] = {}  # by channels that are gone for now, so that their numbers go on

    # -- all of them ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Takes what is routed from now on."""
        if not self.carry:
            self.carry = True
            self._router.attach(self.everyone.outbox)
            self._router.channels_of = self._channels_of
            self._router.refresh()

    def end(self) -> None:
        """Takes nothing more; what waits is dropped, and counted as disconnected."""
        self.carry = False
        self._router.channels_of = None
        for channel in list(self._by_channel):
            self._close(channel)
        self._router.refresh()

    def flush(self) -> None:
        """Hands the writer what waits for the loop turn's end."""
        for outlet in self._by_channel.values():
            outlet.outbox.flush()

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return [outlet.outbox for outlet in self._by_channel.values()]

    @property
    def is_overfull(self) -> bool:
        """Whether more waits than a server that does not answer is worth."""
        limit = MOST_WAITING * self._gateway.config.overflow_bytes
        return sum(outlet.outbox.queued for outlet in self._by_channel.values()) > limit

    def has_said(self, channel: bytes, header: Header) -> bool:
        """Whether this node can have published something with that header."""
        outlet = self._by_channel.get(channel.decode(errors="replace"))
        return outlet is not None and outlet.has_said(header)

    # -- one of them ------------------------------------------------------------------------------------------------

    @property
    def everyone(self) -> RedisOutlet:
        """What all nodes hear."""
        outlet = self._by_channel.get(self._names.everyone)
        return outlet or self._open(self._names.everyone)

    def of_node(self, node: str) -> RedisOutlet:
        """What one node hears; what everyone hears where there are too many."""
        return self._of(self._names.node(node))

    def drop_node(self, node: str) -> None:
        """A node is not there any more: what waits for it is dropped."""
        if (channel := self._names.node(node)) in self._by_channel:
            self._close(channel)

    def _channels_of(self, subject: str) -> list[Endpoint]:
        """The subject's own, and those of the wildcards that it matches; but what all hear brings it alone."""
        wildcards = self.wildcards.matching(subject)
        channels = [self._names.subject(subject), *map(self._names.wildcard, wildcards)]
        outlets = [self.everyone] if len(channels) > MOST_COPIES else [self._of(channel) for channel in channels]
        if self.everyone in outlets:
            return [self.everyone.outbox]
        for outlet in outlets:
            self._said.setdefault(outlet.channel, -1)
        return [outlet.outbox for outlet in outlets]

    def _of(self, channel: str) -> RedisOutlet:
        outlet = self._by_channel.get(channel)
        if outlet is None:
            outlet = self.everyone if len(self._by_channel) >= MOST_OUTLETS else self._open(channel)
        return outlet

    def _open(self, channel: str) -> RedisOutlet:
        outlet = RedisOutlet(self._gateway, channel, self._node_id, self._epoch, self._writer.add)
        outlet.published = self._published.pop(channel, 0)
        self._by_channel[channel] = outlet
        return outlet

    def _close(self, channel: str) -> None:
        outlet = self._by_channel.pop(channel)
        self._said.pop(channel, None)
        if len(self._published) < MOST_OUTLETS:
            self._published[channel] = outlet.published
        self._writer.remove(outlet)
        outlet.close()

    def let_go(self, is_present: frozenset[str]) -> None:
        """Closes, where there are many, those on which nothing has been said since this was last called.

        Args:
            is_present: the nodes that keep theirs.
        """
        if len(self._by_channel) < MOST_OUTLETS // 2:
            return
        kept = {self._names.everyone, *(self._names.node(name) for name in is_present)}
        for channel, outlet in list(self._by_channel.items()):
            is_silent = self._said.get(channel, outlet.published) == outlet.published
            if channel not in kept and is_silent and outlet.outbox.idle:
                self._close(channel)
            elif channel in self._said:
                self._said[channel] = outlet.published
        self._router.refresh()
