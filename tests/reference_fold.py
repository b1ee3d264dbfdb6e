"""The reference's characters: what letters each can be read as, and a text as a row of such symbols."""

import bisect
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

DATA = json.loads((Path(__file__).parent / "nsr_unicode.json").read_text("utf-8"))
UPPER, SYMBOLIC, LEETED = 1, 2, 4
SPACED_GAP = 7  # separators between letters set apart
TAGS = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in DATA["tags"]) + "]")
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\udc80-\udcff]")


class Symbol(NamedTuple):
    """A letter with its possible readings; a run of separators (count > 0); or a letter with no Latin reading."""

    letters: str = ""
    upper: bool = False
    symbolic: bool = False
    leeted: bool = False
    count: int = 0
    edge: bool = False

    @property
    def ends_words(self) -> bool:
        return self.count > 0 or self.symbolic


Symbols = Sequence[Symbol]


def _within(point: int, ranges: list[list[int]]) -> bool:
    at = bisect.bisect_right(ranges, [point, 0x110000]) - 1
    return at >= 0 and ranges[at][0] <= point <= ranges[at][1]


@cache
def read_character(char: str) -> tuple[Symbol, ...]:
    """The symbols of one character; none for one that is to be ignored."""
    point = 0xFFFD if "\udc80" <= char <= "\udcff" else ord(char)
    entry = DATA["letters"].get(f"{point:x}")
    if entry:
        letters, flags = entry
        return tuple(
            Symbol(choice, bool(flags & UPPER), bool(flags & SYMBOLIC), bool(flags & LEETED))
            for choice in letters.split("|")
        )
    if _within(point, DATA["ignored"]) or _within(point, DATA["tags"]) or _within(point, DATA["bidi"]):
        return ()
    return (Symbol(count=1) if _within(point, DATA["separators"]) else Symbol(),)


def characters(data: bytes) -> str:
    """A byte that begins no UTF-8 sequence is the lone surrogate that stands for it; it reads as U+FFFD."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@lru_cache(1 << 14)
def fold(data: bytes) -> tuple[Symbol, ...]:
    symbols: list[Symbol] = []
    for symbol in chain.from_iterable(map(read_character, characters(data))):
        if symbol.count:
            add(symbols, symbol)
        else:
            symbols.append(symbol)
    return tuple(symbols)


def join(parts: Iterable[bytes]) -> list[Symbol]:
    """Texts side by side; the first symbol of each further one is an edge."""
    symbols: list[Symbol] = []
    for part in parts:
        first_of_all = not symbols
        for number, symbol in enumerate(fold(part)):
            add(symbols, symbol if number or first_of_all else symbol._replace(edge=True))
    return symbols


def add(symbols: list[Symbol], symbol: Symbol) -> None:
    if symbol.count and symbols and symbols[-1].count:
        last = symbols[-1]
        symbols[-1] = Symbol(count=last.count + symbol.count, edge=last.edge or symbol.edge)
    else:
        symbols.append(symbol)


def readings(symbols: Symbols) -> list[Symbols]:
    """Punctuation that can pass for letters is read as letters, then as punctuation."""
    if not any(symbol.symbolic for symbol in symbols):
        return [symbols]
    plain: list[Symbol] = []
    for symbol in symbols:
        add(plain, Symbol(count=1, edge=symbol.edge) if symbol.symbolic else symbol)
    return [symbols, plain]


def spaced_letters(symbols: Symbols) -> tuple[list[Symbols], int]:
    """Runs of three and more letters that stand alone, and how many letters there are in all."""
    runs: list[list[Symbol]] = [[]]
    letters = 0
    for at, symbol in enumerate(symbols):
        if symbol.count:
            if symbol.count > SPACED_GAP:
                runs.append([])
            continue
        letters += 1
        alone = (at == 0 or symbols[at - 1].count > 0) and (at + 1 == len(symbols) or symbols[at + 1].count > 0)
        if alone:
            runs[-1].append(symbol)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) >= 3], letters


def plain_text(data: bytes) -> bytes:
    """Lookalikes as the ASCII that they pass for, without what is to be ignored."""
    return data if data.isascii() else b"".join(map(_plain, characters(data)))


@cache
def _plain(char: str) -> bytes:
    if char < "\x80":
        return char.encode()
    if "\uff01" <= char <= "\uff5e":
        return bytes([ord(char) - 0xFEE0])
    text = ""
    for symbol in read_character(char):
        if not symbol.letters:
            return bytes_of(char)
        digits = [letter for letter in symbol.letters if letter.isdigit()]
        letter = min(digits or symbol.letters)
        text += letter.upper() if symbol.upper else letter
    return text.encode()


def is_plausible(data: bytes) -> bool:
    """Whether at most one byte of eight is no text."""
    return len(NO_TEXT.findall(characters(data))) * 8 <= len(data)


def skip_blank(data: bytes) -> bytes:
    """What follows the spaces of any kind, control characters and byte order marks at the beginning."""
    if data[:1] > b" " and data[:1].isascii():
        return data
    text = characters(data)
    for at, char in enumerate(text):
        if " " < char < "\x80" or (char >= "\x80" and not all(symbol.count for symbol in read_character(char))):
            return bytes_of(text[at:])
    return b""


def tag_text(data: bytes) -> bytes:
    """What tag characters spell."""
    return bytes(ord(char) - 0xE0000 for char in TAGS.findall(characters(data)))


def override_text(data: bytes) -> bytes:
    """The order that right-to-left overrides show."""
    shown: list[str] = []
    turned: list[str] | None = None
    for char in characters(data):
        if char == "\n" or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069":
            shown += reversed(turned or [])
            turned = [] if char == "\u202e" else None
            if turned is None:
                shown.append(char)
        elif turned is None:
            shown.append(char)
        else:
            turned.append(char)
    return b"".join(map(bytes_of, shown + list(reversed(turned or []))))
