"""The reference's base64, base32 and hex, whole or broken over lines; and characters that a separator parts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from reference_fold import is_plausible

LINE_BREAK = re.compile(rb"[ \t\r\n]{1,16}")
DIGITS = {
    4: b"0123456789ABCDEF",
    5: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    6: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
}
BITS = {size: {char: f"{value:0{size}b}" for value, char in enumerate(order)} for size, order in DIGITS.items()}
CAPITAL = re.compile(rb"[A-Z]")
DIGIT = re.compile(rb"[0-9]")
HEX_LETTER = re.compile(rb"[A-Fa-f]")
CAPITAL_WITHIN = re.compile(rb"[A-Za-z0-9][A-Z]")
CAPITAL_LATER = re.compile(rb".[A-Z]")
HEX_OF_TEXT = re.compile(rb"[2-7].[2-7].[2-7].[2-7]")


@dataclass(frozen=True)
class Alphabet:
    """A way to write bytes as letters and digits."""

    belongs: bytes
    least: int
    bits: int

    @cached_property
    def run(self) -> re.Pattern[bytes]:
        return re.compile(self.belongs + rb"+")

    @cached_property
    def long_run(self) -> re.Pattern[bytes]:
        return re.compile(self.belongs + rb"{%d}" % self.least)

    def is_worth(self, run: bytes) -> bool:
        if len(run) < self.least:
            return False
        if self.bits == 6:
            return bool(CAPITAL_WITHIN.search(run) or (CAPITAL.search(run) and DIGIT.search(run)))
        if self.bits == 5:
            return CAPITAL_LATER.search(run) is not None
        return bool(HEX_OF_TEXT.search(run) or (DIGIT.search(run) and HEX_LETTER.search(run)))

    def decoded(self, run: bytes) -> bytes:
        if self.bits == 6:
            run = run.replace(b"-", b"+").replace(b"_", b"/")
        elif self.bits == 4:
            run = run.upper()
        bits = "".join(map(BITS[self.bits].__getitem__, run))
        whole = len(bits) // 8
        return int(bits[: whole * 8], 2).to_bytes(whole) if whole else b""


BASE64 = Alphabet(rb"[A-Za-z0-9+/]", 6, 6)
BASE64_URL = Alphabet(rb"[A-Za-z0-9_-]", 6, 6)
BASE32 = Alphabet(rb"[A-Z2-7]", 7, 5)
HEX = Alphabet(rb"[0-9A-Fa-f]", 8, 4)


@lru_cache(8)
def runs_of(data: bytes, alphabet: Alphabet) -> list[re.Match[bytes]]:
    """All runs of an alphabet; none if none of them is long enough."""
    return list(alphabet.run.finditer(data)) if alphabet.long_run.search(data) else []


def breaks(data: bytes, runs: list[re.Match[bytes]], at: int, alphabet: Alphabet) -> bool:
    """Whether a run is a line that the next one goes on, so that neither is decoded by itself."""
    if alphabet is BASE32 or not 0 <= at < len(runs) - 1:
        return False
    line, following = runs[at][0], runs[at + 1][0]
    whole = len(line) >= 32 and len(line) % (2 if alphabet is HEX else 4) == 0
    return whole and is_line_break(data, runs[at], runs[at + 1]) and len(following) <= len(line)


def is_line_break(data: bytes, line: re.Match[bytes], following: re.Match[bytes]) -> bool:
    return LINE_BREAK.fullmatch(data, line.end(), following.start()) is not None


def blobs(data: bytes, alphabet: Alphabet) -> Iterator[bytes]:
    runs = runs_of(data, alphabet)
    for at, match in enumerate(runs):
        run = match[0]
        if not alphabet.is_worth(run) or breaks(data, runs, at, alphabet) or breaks(data, runs, at - 1, alphabet):
            continue
        if alphabet is BASE64_URL and is_of_both(data, match):  # decoded as BASE64
            continue
        yield alphabet.decoded(run)
        if alphabet is HEX and len(run) % 2:
            yield alphabet.decoded(run[1:])


def is_of_both(data: bytes, match: re.Match[bytes]) -> bool:
    around = data[max(match.start() - 1, 0) : match.start()] + data[match.end() : match.end() + 1]
    return not re.search(rb"[-_]", match[0]) and not re.search(rb"[A-Za-z0-9+/]", around)


def wrapped(data: bytes, alphabet: Alphabet) -> Iterator[bytes]:
    """What is broken over lines, all as long as the first, but for a shorter last one; alone if together no text."""
    runs = runs_of(data, alphabet)
    first = 0
    while first < len(runs):
        size = len(runs[first][0])
        if size < alphabet.least:
            first += 1
            continue
        last = first
        while last + 1 < len(runs):
            if len(runs[last + 1][0]) > size or not is_line_break(data, runs[last], runs[last + 1]):
                break
            last += 1
            if len(runs[last][0]) < size:
                break
        lines = [match[0] for match in runs[first : last + 1]]
        if len(lines) > 1 and any(map(alphabet.is_worth, lines)):
            together = alphabet.decoded(b"".join(lines))
            yield together
            if not is_plausible(together):
                yield from (alphabet.decoded(line) for line in lines if alphabet.is_worth(line))
        first = last if len(lines) > 1 and len(lines[-1]) < size else last + 1


ALONE = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z0-9](?![A-Za-z0-9])")
SHOWN = rb"[ -~\t\n\r]"
# six characters and more with the same separator between each two; the last one may begin another such row
ROWS = {
    period: re.compile(rb"%s([^A-Za-z0-9]{%d})(?:%s\1){4,}%s" % (SHOWN, period - 1, SHOWN, SHOWN))
    for period in range(2, 7)
}


def spreads(data: bytes, least: int) -> Iterator[bytes]:
    """Characters that a repeated separator parts, `least` letters and digits or more close to each other."""
    alone = {match.start() for match in ALONE.finditer(data)}
    for period, pattern in ROWS.items() if len(alone) >= least else ():
        row = pattern.search(data)
        while row:
            if _is_close(alone, range(row.start(), row.end(), period), least):
                yield row[0][::period]
            row = pattern.search(data, row.end() - 1)


def _is_close(alone: set[int], places: range, least: int) -> bool:
    close = 0
    last = -9
    for place in places:
        if place in alone:
            close = close + 1 if place - last <= 8 else 1
            last = place
            if close >= least:
                return True
    return False
