"""What the gateway says became of a publisher's messages, summed over reconnects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["Receipts"]


class Receipts:
    """Adds up receipts; each is cumulative, but only for the connection that it came over."""

    def __init__(self) -> None:
        self._connection = 0
        self._ended: Counter[str] = Counter()
        self._ended_by_rule: Counter[str] = Counter()
        self._current: dict[str, int] = {}
        self._current_by_rule: dict[str, int] = {}

    def add(self, receipt: Mapping[str, Any], connection: int) -> None:
        """Takes the newest receipt of a connection.

        Args:
            receipt: counts by outcome, `taken` and `denied_by_rule`.
            connection: which one, growing; receipts of an earlier one that come late are ignored.
        """
        if connection < self._connection:
            return
        if connection > self._connection:
            self._ended.update(self._current)
            self._ended_by_rule.update(self._current_by_rule)
            self._connection = connection
        self._current_by_rule = dict(receipt.get("denied_by_rule", {}))
        self._current = {name: count for name, count in receipt.items() if isinstance(count, int)}

    def __getitem__(self, outcome: str) -> int:
        return self._ended[outcome] + self._current.get(outcome, 0)

    def denied_by_rule(self) -> dict[str, int]:
        """How many messages each rule of the policy has refused."""
        return dict(self._ended_by_rule + Counter(self._current_by_rule))
