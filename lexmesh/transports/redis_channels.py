"""What channels of Redis are called, and which of them bring the subjects that are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from lexmesh.mesh.registry.node import MOST_WILDCARDS
from lexmesh.transports.subject_patterns import is_wildcard, without_covered

__all__ = ["MOST_INTERESTS", "ChannelNames"]

MOST_INTERESTS = 4_096
"""Channels and patterns that one node subscribes to, of them MOST_WILDCARDS that others are told of; who wants more
gets all."""

_MOST_TOKENS = 26
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\*?[]^"})


class ChannelNames:
    """The channels of one mesh.

    `<mesh>:<ritual_channel>` is what all nodes hear, `<mesh>:node_<id>` what one hears, and
    `<mesh>:<ritual_channel>:<n>:<subject>` is for a subject, n a letter for its number of tokens: with it a pattern of
    Redis, whose `*` spans dots, matches what our own matches and nothing else. On a cluster `<mesh>` stands in braces:
    all channels and keys of a mesh are in one slot, and so on one of its shards.

    Args:
        mesh_name: of the mesh; `:`, `{` and `}` in it are percent-encoded, so that no two meshes share a channel.
        ritual_channel: as configured; likewise.
        is_clustered: whether they are a cluster's.

    Attributes:
        mesh: what all channels and keys of the mesh begin with.
        everyone: what all nodes hear.
    """

    def __init__(self, mesh_name: str, ritual_channel: str, *, is_clustered: bool = False) -> None:
        mesh = _part(mesh_name)
        self.mesh = f"{{{mesh}}}" if is_clustered else mesh
        self.everyone = f"{self.mesh}:{_part(ritual_channel)}"

    def node(self, node_id: str) -> str:
        """What one node hears."""
        return f"{self.mesh}:node_{node_id}"

    def subject(self, subject: str) -> str:
        """Where a subject is published."""
        return f"{self.everyone}:{_letter(subject.count('.') + 1)}:{subject}"

    def wildcard(self, pattern: str) -> str:
        """Where, among shards, the subjects are published that match a pattern which somebody has told of."""
        return f"{self.everyone}:*:{pattern}"

    def wanted(self, patterns: Iterable[str]) -> tuple[set[str], set[str]]:
        """What brings the subjects that match patterns, each once.

        Args:
            patterns: of subjects, with `*` and `>`.

        Returns:
            Channels, and patterns as Redis has them.
        """
        subjects, wildcards = _fewest(patterns, MOST_INTERESTS)
        return {self.subject(one) for one in subjects}, {self._glob(one.split(".")) for one in wildcards}

    def wanted_of_shard(self, patterns: Iterable[str]) -> tuple[set[str], set[str]]:
        """The same where Redis has no patterns.

        Returns:
            Channels, and our own patterns among them, of which those who publish have to be told.
        """
        subjects, wildcards = _fewest(patterns, MOST_WILDCARDS)
        return {self.subject(one) for one in subjects} | {self.wildcard(one) for one in wildcards}, wildcards

    def _glob(self, tokens: list[str]) -> str:
        is_open = tokens[-1] == ">"
        letter = "?" if is_open else _letter(len(tokens))
        texts = ("*" if token in ("*", ">") else token.translate(_SPECIAL) for token in tokens)
        return f"{self.everyone.translate(_SPECIAL)}:{letter}:{'.'.join(texts)}"


def _fewest(patterns: Iterable[str], most_wildcards: int) -> tuple[set[str], set[str]]:
    """Subjects and wildcards that are worth a subscription each; all where there are too many."""
    found = set(patterns)
    if len(found) > MOST_INTERESTS or sum(map(is_wildcard, found)) > most_wildcards:
        return set(), {">"}
    return without_covered(found)


def _part(name: str) -> str:
    return quote(name, safe=" !#$&'()+,;=@/<>|~\"")


def _letter(tokens: int) -> str:
    return chr(ord("a") + min(tokens, _MOST_TOKENS) - 1)
