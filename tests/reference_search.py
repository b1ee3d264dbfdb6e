"""The reference's search: the spellings of a policy's patterns, and where a row of symbols can be read as one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple

from reference_boundaries import ends_left, ends_right, is_whole, is_word
from reference_fold import DATA, Symbol, Symbols, fold, readings, spaced_letters

MAX_GAP = 3  # separators between the words of a marker
SPACE = " "


def marker_words(text: str) -> list[str]:
    """What a policy's author means by a marker; only plain ASCII is needed here."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())


@cache
def spellings(text: str) -> frozenset[str]:
    words = marker_words(text)
    found = set()
    for gaps in product(["", SPACE], repeat=len(words) - 1):
        joined = words[0] + "".join(gap + word for gap, word in zip(gaps, words[1:], strict=True))
        for choice in product(["m", "rn"], repeat=joined.count("m")):
            parts = joined.split("m")
            found.add(parts[0] + "".join(m + part for m, part in zip(choice, parts[1:], strict=True)))
    return frozenset(found)


# -- candidates: where a regular expression sees that a spelling may begin ---------------------------------------------

CHOICES = sorted({choice for letters, _ in DATA["letters"].values() for choice in letters.split("|")})
CODES = {choice: choice if len(choice) == 1 else chr(0xE000 + number) for number, choice in enumerate(CHOICES)}


def coded(symbols: Symbols) -> str:
    """A character for each symbol: the same for the same letters."""
    return "".join([CODES[symbol.letters] if symbol.letters else _coded_other(symbol.count) for symbol in symbols])


def _coded_other(count: int) -> str:
    return SPACE if 0 < count <= MAX_GAP else "\0"


@cache
def expression_of(letter: str) -> str:
    """The codes of all symbols that can be read as a letter."""
    return SPACE if letter == SPACE else "[" + "".join(CODES[choice] for choice in CHOICES if letter in choice) + "]"


@dataclass
class Trie:
    """Words by their letters."""

    children: dict[str, "Trie"]
    word: str = ""

    @classmethod
    def of(cls, words: Sequence[str]) -> "Trie":
        root = cls({})
        for word in words:
            node = root
            for letter in word:
                node = node.children.setdefault(letter, cls({}))
            node.word = word
        return root

    def expression(self) -> str:
        """A regular expression of the codes that begin a word, or a word that it begins with."""
        if self.word:
            return ""
        return (
            "(?:" + "|".join(expression_of(letter) + node.expression() for letter, node in self.children.items()) + ")"
        )

    def found_at(self, symbols: Symbols, at: int) -> Iterator[tuple[str, int]]:
        """The words that the symbols from `at` on can be read as, and where they end."""
        if self.word:
            yield self.word, at
        if at == len(symbols):
            return
        symbol = symbols[at]
        choices = SPACE if 0 < symbol.count <= MAX_GAP else symbol.letters
        for letter in choices:
            child = self.children.get(letter)
            if child:
                yield from child.found_at(symbols, at + 1)


# -- finds -------------------------------------------------------------------------------------------------------------


class Find(NamedTuple):
    """A spelling in a text; `is_word` and `is_whole` say whether it counts as a word of it, and as all of it."""

    spelling: str
    is_word: bool
    is_whole: bool
    symbols: Symbols  # none for letters set apart: no phrase excepts them
    start: int


def is_spelled(phrase: str, symbols: Symbols) -> bool:
    def is_letter(letter: str, symbol: Symbol) -> bool:
        return symbol.count > 0 if letter == SPACE else letter in symbol.letters

    return all(map(is_letter, phrase, symbols))


class Lexicon:
    """All spellings of a policy.

    Args:
        words: the spellings.
    """

    def __init__(self, words: set[str]) -> None:
        self.trie = Trie.of(sorted(words))
        self.candidate = re.compile(f"(?={self.trie.expression()})" if words else "(?!)")
        self.finds = lru_cache(1 << 14)(self._finds)

    def spelled(self, symbols: Symbols) -> Iterator[tuple[str, int, int]]:
        """Spellings, where they begin and where they end."""
        for match in self.candidate.finditer(coded(symbols)):
            for spelling, end in self.trie.found_at(symbols, match.start()):
                yield spelling, match.start(), end

    def _finds(self, data: bytes) -> tuple[Find, ...]:
        """What a text spells, in each reading, and with letters set apart closed up."""
        finds: list[Find] = []
        for symbols in readings(fold(data)):
            finds += [self.find(symbols, *spelled) for spelled in self.spelled(symbols)]
            runs, letters = spaced_letters(symbols)
            for run in runs:
                finds += [
                    Find(spelling, True, len(run) == letters and (start, end) == (0, len(run)), (), 0)
                    for spelling, start, end in self.spelled(run)
                ]
        return tuple(finds)

    def finds_over_edges(self, symbols: Symbols) -> Iterator[Find]:
        """What texts side by side spell together."""
        for reading in readings(symbols):
            for spelling, start, end in self.spelled(reading):
                if any(symbol.edge for symbol in reading[start + 1 : end]):
                    yield self.find(reading, spelling, start, end)

    @staticmethod
    def find(symbols: Symbols, spelling: str, start: int, end: int) -> Find:
        word = is_word(symbols, start, end, spelling.count(SPACE) + 1)
        return Find(spelling, word, is_whole(symbols, start, end), symbols, start)


def is_excepted(find: Find, phrases: set[str]) -> bool:
    """Whether a phrase stands around a find in which it is harmless."""
    for phrase in phrases:
        for match in re.finditer(f"(?={re.escape(find.spelling)})", phrase):
            first = find.start - match.start()
            last = first + len(phrase)
            if first >= 0 and last <= len(find.symbols):
                around = is_spelled(phrase, find.symbols[first:last])
                if around and ends_left(find.symbols, first) and ends_right(find.symbols, last):
                    return True
    return False
