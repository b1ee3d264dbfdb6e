"""Which line of a policy file an entry stands on; tomllib does not tell."""

from __future__ import annotations

import re

__all__ = ["Lines"]

_RULE = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_TABLE = re.compile(r"\s*\[")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*(?:=|\.)""")


class Lines:
    """The lines of a policy, by rule.

    Args:
        text: the policy, TOML.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._starts = [at for at, line in enumerate(self._lines) if _RULE.match(line)]

    def of_rule(self, number: int) -> int:
        """The line of a rule's header, counted from 1; 0 if it is written some other way."""
        return self._starts[number] + 1 if number < len(self._starts) else 0

    def of_key(self, number: int | None, key: str) -> int:
        """The line of a key of a rule, or outside the rules for None; a header if it is not found."""
        first, last = self._extent(number)
        for at in range(first, last):
            match = _KEY.match(self._lines[at])
            if (match and key in match.groups()) or f".{key}]" in self._lines[at].replace(" ", ""):
                return at + 1
        return self.of_rule(number) if number is not None else self._of_table(key)

    def of_text(self, number: int, key: str, text: str) -> int:
        """The line on which `text` stands as a string or bare key, at or after a key of a rule."""
        first = max(self.of_key(number, key) - 1, 0)
        spelled = re.compile(rf"""["']{re.escape(text)}["']|^\s*{re.escape(text)}\s*=""")
        for at in range(first, self._extent(number)[1]):
            if spelled.search(self._lines[at]):
                return at + 1
        return first + 1

    def _of_table(self, name: str) -> int:
        header = re.compile(rf"\s*\[+\s*{re.escape(name)}\s*[\].]")
        return next((at + 1 for at, line in enumerate(self._lines) if header.match(line)), 0)

    def _extent(self, number: int | None) -> tuple[int, int]:
        if number is None:
            tables = [at for at, line in enumerate(self._lines) if _TABLE.match(line) and "=" not in line]
            return 0, tables[0] if tables else len(self._lines)
        if number >= len(self._starts):
            return 0, 0
        return self._starts[number], self._starts[number + 1] if number + 1 < len(self._starts) else len(self._lines)
