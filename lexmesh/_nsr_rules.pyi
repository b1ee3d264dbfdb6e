"""Rules to patterns: markers, keys and values as letter numbers, each in every way that it may be written."""

import re
from collections.abc import Sequence
from typing import Any

SCOPE_NAMES: tuple[str, ...]
HUMP: re.Pattern[str]
LETTER_M: int
RN: bytes

def letters_of(text: str) -> bytes: ...
def spellings(letters: bytes) -> list[bytes]: ...
def with_lookalike_m(letters: bytes) -> list[bytes]: ...

class Program:
    """The patterns and exceptions of a list of rules, as Automaton takes them."""

    names: list[str]
    patterns: list[tuple[bytes, int, int, int]]
    exceptions: list[tuple[bytes, int, int, int]]
    def __init__(self, rules: Sequence[Any], most: int) -> None: ...
