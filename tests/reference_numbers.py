"""The reference's characters by their numbers: `66 6f`, `0x66`, `102, 111`, `146`, `U+0066`."""

import re
from collections.abc import Iterator
from functools import lru_cache

NUMBER = re.compile(rb"(?<![0-9])[0-9]")
WORD = re.compile(rb"[A-Za-z0-9]+")
HEX_WORD = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2}){1,4})")
DECIMAL_WORD = re.compile(rb"([0-9]{2,3})")
OCTAL_WORD = re.compile(rb"(?:0[oO]?)?([0-7]{3})")
ZERO_X = re.compile(rb"0[xX].", re.DOTALL)
U_PLUS = re.compile(rb"[uU]\+")
GAP = re.compile(rb"[^A-Za-z0-9.]*")
GAP_OF_DECIMALS = re.compile(rb"[^A-Za-z0-9.-]*")


def may_hold_numbers(data: bytes) -> bool:
    """Whether two numbers begin close to each other, neither of them after a dot."""
    last = -41
    for match in NUMBER.finditer(data):
        if data[match.start() - 1 : match.start()] == b".":
            last = -41
        elif match.start() - last <= 40:
            return True
        else:
            last = match.start()
    return False


@lru_cache(1 << 14)
def _number_bytes(number: bytes, base: int) -> bytes:
    if base == 16:
        digits = HEX_WORD.fullmatch(number)
        return bytes.fromhex(digits[1].decode()) if digits else b""
    digits = (DECIMAL_WORD if base == 10 else OCTAL_WORD).fullmatch(number)
    return bytes([int(digits[1], base)]) if digits and int(digits[1], base) < 256 else b""


def notation(data: bytes, at: int) -> int:
    """How a number is marked: `0x`, `U+` or not at all."""
    if ZERO_X.match(data, at):
        return 1
    return 2 if data[max(0, at - 2) : at] in (b"u+", b"U+") else 0


def _goes_on(between: bytes, gap: re.Pattern[bytes]) -> bool:
    """Whether what stands between two numbers lets them be of one row."""
    signs = U_PLUS.sub(b"", between)
    return bool(
        0 < len(between) <= 24
        and between.isascii()
        and gap.fullmatch(signs)
        and len(signs.translate(None, b" \t\r\n")) <= 4
    )


def numbers(data: bytes) -> Iterator[bytes]:
    """What numbers in a row spell as characters, in each base."""
    if not may_hold_numbers(data):
        return
    words = [
        word
        for word in WORD.finditer(data)
        if not (word[0] in (b"u", b"U") and data[word.end() : word.end() + 1] == b"+")
    ]
    for base, gap in ((16, GAP), (10, GAP_OF_DECIMALS), (8, GAP)):
        parts = [_number_bytes(word[0], base) for word in words]
        if sum(map(len, parts)) >= 4:
            yield from _rows(data, words, parts, gap)


def _rows(data: bytes, words: list[re.Match[bytes]], parts: list[bytes], gap: re.Pattern[bytes]) -> Iterator[bytes]:
    found: list[bytes] = []
    marked = 0
    end = 0
    for word, part in zip(words, parts, strict=True):
        joined = part and found and notation(data, word.start()) == marked and _goes_on(data[end : word.start()], gap)
        if not joined:
            if len(found) >= 2 and len(b"".join(found)) >= 4:
                yield b"".join(found)
            # a number that is none of the base ends the row and begins none
            found = []
        if part:
            marked = marked if found else notation(data, word.start())
            found.append(part)
        end = word.end()
    if len(found) >= 2 and len(b"".join(found)) >= 4:
        yield b"".join(found)
