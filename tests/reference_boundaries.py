"""The reference's word boundaries: where in a row of symbols a word may begin and end."""

from itertools import pairwise

from reference_fold import Symbols

BLOB = 20


def inside(symbols: Symbols, at: int) -> bool:
    return 0 <= at < len(symbols) and not symbols[at].ends_words


def hump(symbols: Symbols, at: int) -> bool:
    if not inside(symbols, at) or not inside(symbols, at - 1) or not symbols[at].upper:
        return False
    if not symbols[at - 1].upper:
        return True
    following = symbols[at + 1] if inside(symbols, at + 1) else None
    return bool(following and following.letters and not following.upper and not following.leeted)


def wordlike(symbols: Symbols, first: int, last: int) -> bool:
    if not all(inside(symbols, at) and not symbols[at].leeted for at in range(first, last)):
        return False
    return not any(b.upper and not a.upper for a, b in pairwise(symbols[first:last]))


def in_blob(symbols: Symbols, start: int, end: int) -> bool:
    first, last = start, end
    while start - first < BLOB and inside(symbols, first - 1):
        first -= 1
    while last - end < BLOB and inside(symbols, last):
        last += 1
    return last - first >= BLOB and any(symbol.leeted for symbol in symbols[first:last])


def ends_left(symbols: Symbols, at: int) -> bool:
    return at == 0 or symbols[at].edge or symbols[at - 1].ends_words


def ends_right(symbols: Symbols, at: int) -> bool:
    return at == len(symbols) or symbols[at].edge or symbols[at].ends_words


def is_word(symbols: Symbols, start: int, end: int, words: int) -> bool:
    left, right = ends_left(symbols, start), ends_right(symbols, end)
    if left and right:
        return True
    if not (left or hump(symbols, start)) or not (right or hump(symbols, end)):
        return False
    humps = sum(b.upper and not a.upper and not a.count for a, b in pairwise(symbols[start:end]))
    if humps >= words:
        return False
    if not in_blob(symbols, start, end):
        return True
    return (
        (left or wordlike(symbols, start - 3, start))
        and (right or wordlike(symbols, end, end + 3))
        and not any(symbol.leeted for symbol in symbols[start:end])
    )


def is_whole(symbols: Symbols, start: int, end: int) -> bool:
    first = 1 if symbols and symbols[0].count else 0
    last = len(symbols) - 1 if symbols and symbols[-1].count else len(symbols)
    return (start, end) == (first, last)
