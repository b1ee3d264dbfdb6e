"""Queue groups of one node: which of its handlers and links share the messages on a subject with whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lexmesh._group import Group
from lexmesh._handlers import HandlerEndpoint
from lexmesh._pipeline import Core
from lexmesh._router import Endpoint, check_pattern
from lexmesh.node_names import check_name
from lexmesh.pipeline import Handler, StreamPipeline, check_handler

__all__ = ["MOST_GROUPS", "QueueGroups", "check_group"]

MOST_GROUPS = 256
"""Pairs of subject and group in which one node may have members: each of its links may be told of all of them."""

Key = tuple[str, str]
"""Subject pattern and name of a group."""


def check_group(name: str) -> str:
    """Checks the name of a group; the rules are those of node names.

    Raises:
        ValueError: if it is none.
    """
    try:
        return check_name(name)
    except ValueError as error:
        raise ValueError(f"group {name!r}: {error}") from None


class QueueGroups:
    """The groups in which a node has members.

    Args:
        core: its pipeline.

    Attributes:
        on_change: each a callable(), told when there are other members.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._groups: dict[Key, Group] = {}
        self.on_change: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._groups)

    def counts(self) -> dict[Key, int]:
        """How many members each group has here."""
        return {key: len(group) for key, group in self._groups.items()}

    def arrange(self, key: Key, nodes: list[tuple[str, int]]) -> None:
        """Says how many members of a group each node has; none: there is no other node."""
        if (group := self._groups.get(key)) is not None:
            group.arrange("\n".join(key), nodes, self._core.node_id)

    def join(self, pattern: str, name: str, member: Endpoint) -> None:
        """Makes an endpoint a member; nothing if it is one.

        Args:
            pattern: the subjects.
            name: the group's.
            member: a handler, or a link.

        Raises:
            SubjectError: if the subject is not a pattern.
            ValueError: if the name is none, or there are too many groups.
        """
        check_pattern(pattern)
        key = pattern, check_group(name)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MOST_GROUPS:
                raise ValueError(f"a node has members in at most {MOST_GROUPS} groups; this would be one more")
            group = Group(pattern, name)
            self._core.router.subscribe(pattern, group)
            self._groups[key] = group
        if member not in group:
            group.add(member)
            self._changed()

    def subscribe(self, pipeline: StreamPipeline, pattern: str, name: str, handler: Handler) -> None:
        """Makes a handler a member.

        Args:
            pipeline: calls it.
            pattern, name: as for join.
            handler: callable(event), sync or async.

        Raises:
            TypeError: if the handler cannot be one.
            SubjectError, ValueError: as for join.
        """
        check_handler(handler)
        check_pattern(pattern)
        endpoint = pipeline.subscribe(pattern, handler, None)
        try:
            self.join(pattern, name, endpoint)
        finally:
            self._core.router.unsubscribe(pattern, endpoint)  # it gets what the group elects it for

    def leave(self, member: Endpoint, patterns: Iterable[str] | None = None) -> bool:
        """Ends the memberships of an endpoint: all, or those on some subjects; whether there was one."""
        wanted = None if patterns is None else set(patterns)
        left = [
            key for key, group in self._groups.items() if (wanted is None or key[0] in wanted) and group.remove(member)
        ]
        return self._left(left)

    def leave_handler(self, pattern: str, handler: object) -> bool:
        """Ends the memberships of a handler on a subject; whether there was one."""
        left = []
        for key, group in self._groups.items():
            members = [one for one in group if isinstance(one, HandlerEndpoint) and one.handler == handler]
            if key[0] == pattern and members:
                group.remove(members[0])
                left.append(key)
        return self._left(left)

    def of(self, member: Endpoint) -> list[Key]:
        """The groups of an endpoint."""
        return [key for key, group in self._groups.items() if member in group]

    def _left(self, keys: list[Key]) -> bool:
        for key in keys:
            if not len(self._groups[key]):
                self._core.router.forget(self._groups.pop(key))
        if keys:
            self._changed()
        return bool(keys)

    def _changed(self) -> None:
        for told in self.on_change:
            told()
