"""The prefilter's tables, from the patterns of a policy."""

from typing import final

from collections.abc import Iterable

from typing_extensions import disjoint_base

MANY: int
FREQUENCY: tuple[int, ...]
COMMON: frozenset[str]
READINGS: list[frozenset[int]]
ANY: frozenset[int]
NOT_ALNUM: frozenset[int]
CAPITALS: frozenset[int]

def readings_of_ascii() -> list[frozenset[int]]: ...
def cost(letters: bytes) -> float: ...
def trigrams_of(pattern: bytes) -> set[bytes]: ...
def covering(patterns: list[bytes]) -> list[bytes]: ...
def cheapest_of_each(patterns: list[bytes]) -> list[bytes]: ...
def covered_trigrams(patterns: Iterable[bytes]) -> set[bytes]: ...

@disjoint_base
@final
class Prefilter:
    """Tables for some of a policy's patterns."""

    def __init__(self, patterns: list[bytes], joined: list[bytes], most: int = 2) -> None: ...
    def trips_of(self, text: bytes, is_json: bool = False) -> int: ...
    def may_be_split(self, left: bytes, right: bytes) -> bool: ...
