"""Patterns of subjects among each other: which of many match a subject, and which are covered by another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["PatternTree", "is_wildcard", "without_covered"]


def is_wildcard(pattern: str) -> bool:
    """Whether a pattern matches more than one subject."""
    tokens = pattern.split(".")
    return "*" in tokens or tokens[-1] == ">"


def without_covered(patterns: Iterable[str]) -> tuple[set[str], set[str]]:
    """Subjects and wildcards of which none is covered by another.

    Args:
        patterns: of subjects, with `*` and `>`.

    Returns:
        Subjects, and patterns with wildcards.
    """
    found = set(patterns)
    wildcards = {pattern for pattern in found if is_wildcard(pattern)}
    tree = PatternTree(wildcards)
    kept = {one for one in wildcards if tree.covering(one) == [one]}
    return {subject for subject in found - wildcards if not tree.matching(subject)}, kept


class PatternTree:
    """Many patterns, of which those that match a subject are found without looking at the others.

    Args:
        patterns: of subjects, with `*` and `>`.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root: dict[str | None, Any] = {}
        for pattern in patterns:
            node = self._root
            for token in pattern.split("."):
                node = node.setdefault(token, {})
            node[None] = pattern

    def matching(self, subject: str) -> list[str]:
        """The patterns that match a subject."""
        return self._found(subject.split("."))

    def covering(self, pattern: str) -> list[str]:
        """The patterns that match all that a pattern does, itself included."""
        tokens = pattern.split(".")
        return self._found(tokens[:-1], is_open=True) if tokens[-1] == ">" else self._found(tokens)

    def _found(self, tokens: list[str], *, is_open: bool = False) -> list[str]:
        """Patterns for what begins with some tokens, and goes on by one or more if it is open."""
        found: list[str] = []
        nodes = [self._root]
        for token in tokens:
            found += [node[">"][None] for node in nodes if ">" in node]
            nodes = [node[branch] for node in nodes for branch in {token, "*"} - {">"} if branch in node]
        end = ">" if is_open else None
        ends = [node[end] for node in nodes if end in node]
        return found + ([one[None] for one in ends] if is_open else ends)
