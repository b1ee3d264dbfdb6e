"""What channels of Redis are called, and which of them bring the subjects that are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import quote

__all__ = ["MOST_INTERESTS", "ChannelNames"]

MOST_INTERESTS = 4_096
"""Channels and patterns that one node subscribes to; who wants more subjects gets all."""

_MOST_TOKENS = 26
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\*?[]^"})


class ChannelNames:
    """The channels of one mesh.

    `<mesh>:<ritual_channel>` is what all nodes hear, `<mesh>:node_<id>` what one hears, and
    `<mesh>:<ritual_channel>:<n>:<subject>` is for a subject, n a letter for its number of tokens: with it a pattern of
    Redis, whose `*` spans dots, matches what our own matches and nothing else.

    Args:
        mesh_name: of the mesh; a `:` in it is written as %3A, so that no two meshes share a channel.
        ritual_channel: as configured; likewise.
    """

    def __init__(self, mesh_name: str, ritual_channel: str) -> None:
        self._mesh = _part(mesh_name)
        self.everyone = f"{self._mesh}:{_part(ritual_channel)}"

    def node(self, node_id: str) -> str:
        """What one node hears."""
        return f"{self._mesh}:node_{node_id}"

    def subject(self, subject: str) -> str:
        """Where a subject is published."""
        return f"{self.everyone}:{_letter(subject.count('.') + 1)}:{subject}"

    def wanted(self, patterns: Iterable[str]) -> tuple[set[str], set[str]]:
        """What brings the subjects that match patterns, each once.

        Args:
            patterns: of subjects, with `*` and `>`.

        Returns:
            Channels, and patterns as Redis has them.
        """
        subjects, globs = set(), set()
        for pattern in patterns:
            tokens = pattern.split(".")
            if "*" in tokens or tokens[-1] == ">":
                globs.add(self._glob(tokens))
            else:
                subjects.add(self.subject(pattern))
        if len(subjects) + len(globs) > MOST_INTERESTS:
            return set(), {self._glob([">"])}
        globs = {glob for glob in globs if not any(other != glob and _covers(other, glob) for other in globs)}
        return {name for name in subjects if not any(_covers(glob, name) for glob in globs)}, globs

    def _glob(self, tokens: list[str]) -> str:
        is_open = tokens[-1] == ">"
        letter = "?" if is_open else _letter(len(tokens))
        texts = ("*" if token in ("*", ">") else token.translate(_SPECIAL) for token in tokens)
        return f"{self.everyone.translate(_SPECIAL)}:{letter}:{'.'.join(texts)}"


def _part(name: str) -> str:
    return quote(name, safe=" !#$&'()+,;=@/<>{}|~\"")


def _letter(tokens: int) -> str:
    return chr(ord("a") + min(tokens, _MOST_TOKENS) - 1)


def _covers(glob: str, name: str) -> bool:
    """Whether a pattern of Redis brings all that a channel or another pattern does; False where that is unsure."""
    if "\\" in glob or "[" in glob or "\\" in name or "[" in name:
        return False
    return fnmatchcase(name, glob)
