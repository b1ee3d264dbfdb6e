"""The markers as one automaton over symbols, with word boundaries checked at each hit."""

from typing import Self

from typing_extensions import disjoint_base

@disjoint_base
class Automaton:
    """All patterns of a policy."""

    @property
    def nodes(self) -> int: ...
    def __new__(
        cls, patterns: list[tuple[bytes, int, int, int]], exceptions: list[tuple[bytes, int, int, int]]
    ) -> Self: ...
