"""What the consent policy means, in slow and obvious Python: the compiled scanner must agree with it on every input.

Nothing here is shared with the compiled scanner but the data: nsr_unicode.json holds the same character readings.
"""

import bisect
import html.entities
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from lexmesh.nsr import RuleSpec

DATA = json.loads((Path(__file__).parent / "nsr_unicode.json").read_text("utf-8"))
UPPER, SYMBOLIC, LEETED = 1, 2, 4
MAX_GAP = 3  # separators between the words of a marker
SPACED_GAP = 7  # separators between letters set apart
MAX_LEVELS = 8
BLOB = 20
SPACE = " "


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


Symbols = list[Symbol]


def _within(point: int, ranges: list[list[int]]) -> bool:
    at = bisect.bisect_right(ranges, [point, 0x110000]) - 1
    return at >= 0 and ranges[at][0] <= point <= ranges[at][1]


_READ: dict[int, list[Symbol] | None] = {}


def read_character(point: int) -> list[Symbol] | None:
    """The symbols of one character; None for one that is to be ignored."""
    if point not in _READ:
        _READ[point] = _read_character(point)
    return _READ[point]


def _read_character(point: int) -> list[Symbol] | None:
    entry = DATA["letters"].get(f"{point:x}")
    if entry:
        letters, flags = entry
        return [
            Symbol(choice, bool(flags & UPPER), bool(flags & SYMBOLIC), bool(flags & LEETED))
            for choice in letters.split("|")
        ]
    if _within(point, DATA["ignored"]) or _within(point, DATA["tags"]) or _within(point, DATA["bidi"]):
        return None
    return [Symbol(count=1) if _within(point, DATA["separators"]) else Symbol()]


def characters(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code points with their bytes; a byte that begins no UTF-8 sequence is U+FFFD."""
    try:
        yield from [(ord(char), char.encode()) for char in data.decode()]
        return
    except UnicodeDecodeError:
        pass
    at = 0
    while at < len(data):
        for length in (1, 2, 3, 4):
            try:
                text = data[at : at + length].decode()
            except UnicodeDecodeError:
                continue
            if len(text) == 1:
                yield ord(text), data[at : at + length]
                at += length
                break
        else:
            yield 0xFFFD, data[at : at + 1]
            at += 1


def fold(data: bytes, before: Sequence[Symbol] = ()) -> Symbols:
    symbols = list(before)
    edge = bool(symbols)
    for point, _ in characters(data):
        for symbol in read_character(point) or ():
            add(symbols, symbol._replace(edge=edge))
            edge = False
    return symbols


def add(symbols: Symbols, symbol: Symbol) -> None:
    if symbol.count and symbols and symbols[-1].count:
        last = symbols[-1]
        symbols[-1] = last._replace(count=last.count + symbol.count, edge=last.edge or symbol.edge)
    else:
        symbols.append(symbol)


def symbolic_as_separators(symbols: Symbols) -> Symbols:
    plain: Symbols = []
    for symbol in symbols:
        add(plain, Symbol(count=1, edge=symbol.edge) if symbol.symbolic else symbol)
    return plain


def spaced_letters(symbols: Symbols) -> tuple[list[Symbols], int]:
    """Runs of three and more letters that stand alone, and how many letters there are in all."""
    runs: list[Symbols] = [[]]
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
        else:
            runs.append([])
    return [run for run in runs if len(run) >= 3], letters


# -- patterns -------------------------------------------------------------------------------------------------------


def marker_words(text: str) -> list[str]:
    """What a policy's author means by a marker; only plain ASCII is needed here."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())


def spellings(text: str) -> set[str]:
    words = marker_words(text)
    found = set()
    for gaps in product(["", SPACE], repeat=len(words) - 1):
        joined = words[0] + "".join(gap + word for gap, word in zip(gaps, words[1:], strict=True))
        for choice in product(["m", "rn"], repeat=joined.count("m")):
            parts = joined.split("m")
            found.add(parts[0] + "".join(m + part for m, part in zip(choice, parts[1:], strict=True)))
    return found


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


# -- word boundaries ------------------------------------------------------------------------------------------------


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


# -- other orders and other encodings of a text ---------------------------------------------------------------------


def tag_text(data: bytes) -> bytes:
    return bytes(point - 0xE0000 for point, _ in characters(data) if _within(point, DATA["tags"]))


def override_text(data: bytes) -> bytes:
    shown: list[bytes] = []
    turned: list[bytes] | None = None
    for point, char in characters(data):
        if point == 0x0A or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069:
            shown += reversed(turned or [])
            turned = [] if point == 0x202E else None
            if turned is None:
                shown.append(char)
        elif turned is None:
            shown.append(char)
        else:
            turned.append(char)
    return b"".join(shown + list(reversed(turned or [])))


ESCAPE = re.compile(
    rb"(?P<percent>%(?:25)*(?P<byte>[0-9A-Fa-f]{2}))"
    rb"|%(?:25)*[uU](?P<percent_u>[0-9A-Fa-f]{4})"
    rb"|(?P<entity>&(?:amp;)*(?:\#(?P<decimal>[0-9]+);?|\#[xX](?P<hex>[0-9A-Fa-f]+);?|(?P<name>[A-Za-z0-9]{1,32});))"
    rb"|(?P<pair>\\+u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\+u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2}))"
    rb"|(?P<bytes>(?:\\+(?:x[0-9A-Fa-f]{2}|[0-3][0-7]{2}))+)"
    rb"|(?P<backslash>\\+(?:u(?P<u4>[0-9A-Fa-f]{4})|u\{(?P<ub>[0-9A-Fa-f]+)\}|U(?P<u8>[0-9A-Fa-f]{8})"
    rb"|(?P<simple>[nrtbfv0])))"
)
NAMED = {name[:-1].encode(): text for name, text in html.entities.html5.items() if name.endswith(";")}


def point_text(point: int) -> bytes:
    valid = 0 < point < 0x110000 and not 0xD800 <= point <= 0xDFFF
    return (chr(point) if valid else "\ufffd").encode()


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match["percent"]:
        return bytes([int(match["byte"], 16)])
    if match["pair"]:
        return point_text(0x10000 + (int(match["high"], 16) - 0xD800 << 10) + int(match["low"], 16) - 0xDC00)
    if match["bytes"]:
        numbers = re.findall(rb"x([0-9A-Fa-f]{2})|([0-3][0-7]{2})", match["bytes"])
        data = bytes(int(digits, 16) if digits else int(octal, 8) for digits, octal in numbers)
        return b"".join(point_text(raw[0]) if len(raw) == 1 else raw for _, raw in characters(data))
    if match["simple"]:
        return b" "
    if match["name"]:
        known = NAMED.get(match["name"])
        return known.encode() if known else b"&" + match["name"] + b";"
    digits = match["hex"] or match["u4"] or match["ub"] or match["u8"] or match["percent_u"]
    return point_text(int(match["decimal"]) if match["decimal"] else int(digits, 16))


def unescape_text(data: bytes) -> bytes:
    return ESCAPE.sub(_unescaped, data)


QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})|=[ \t\r]*\n")


def unescape_quoted(data: bytes) -> bytes:
    """Quoted-printable (RFC 2045, section 6.7)."""
    return QUOTED.sub(lambda match: bytes([int(match[1], 16)]) if match[1] else b"", data)


class Alphabet(NamedTuple):
    """A way to write bytes as letters and digits."""

    belongs: str
    least: int
    bits: int

    def is_worth(self, run: bytes) -> bool:
        if len(run) < self.least:
            return False
        if self.bits == 6:
            mixed = re.search(rb"[A-Z]", run) and re.search(rb"[0-9]", run)
            return bool(mixed or re.search(rb"[A-Za-z0-9][A-Z]", run))
        if self.bits == 5:
            return re.search(rb".[A-Z]", run) is not None
        mixed = re.search(rb"[0-9]", run) and re.search(rb"[A-Fa-f]", run)
        return bool(mixed or re.search(rb"[2-7].[2-7].[2-7].[2-7]", run))

    def decoded(self, run: bytes) -> bytes:
        order = {4: b"0123456789ABCDEF", 5: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"}.get(self.bits)
        if order is None:
            order = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            run = run.translate(bytes.maketrans(b"-_", b"+/"))
        elif self.bits == 4:
            run = run.upper()
        text = "".join(f"{order.index(char):0{self.bits}b}" for char in run)
        return bytes(int(text[at : at + 8], 2) for at in range(0, len(text) - 7, 8))


BASE64 = Alphabet("[A-Za-z0-9+/]", 6, 6)
BASE64_URL = Alphabet("[A-Za-z0-9_-]", 6, 6)
BASE32 = Alphabet("[A-Z2-7]", 7, 5)
HEX = Alphabet("[0-9A-Fa-f]", 8, 4)


def runs_of(data: bytes, alphabet: Alphabet) -> list[re.Match[bytes]]:
    return list(re.finditer(alphabet.belongs.encode() + b"+", data))


def breaks(data: bytes, runs: list[re.Match[bytes]], at: int, alphabet: Alphabet) -> bool:
    """Whether a run is a line that the next one goes on, so that neither is decoded by itself."""
    if alphabet is BASE32 or not 0 <= at < len(runs) - 1:
        return False
    line = runs[at][0]
    whole = len(line) >= 32 and len(line) % (2 if alphabet is HEX else 4) == 0
    between = data[runs[at].end() : runs[at + 1].start()]
    return bool(whole and re.fullmatch(rb"[ \t\r\n]{1,16}", between) and len(runs[at + 1][0]) <= len(line))


def blobs(data: bytes, alphabet: Alphabet) -> Iterator[bytes]:
    runs = runs_of(data, alphabet)
    for at, match in enumerate(runs):
        if breaks(data, runs, at, alphabet) or breaks(data, runs, at - 1, alphabet):
            continue
        if alphabet.is_worth(match[0]):
            yield alphabet.decoded(match[0])
            if alphabet is HEX and len(match[0]) % 2:
                yield alphabet.decoded(match[0][1:])


def wrapped(data: bytes, alphabet: Alphabet) -> Iterator[bytes]:
    """What is broken over lines, all as long as the first, but for a shorter last one."""
    runs = runs_of(data, alphabet)
    first = 0
    while first < len(runs):
        size = len(runs[first][0])
        last = first
        following = first + 1
        while size >= alphabet.least and following < len(runs):
            between = data[runs[following - 1].end() : runs[following].start()]
            if not re.fullmatch(rb"[ \t\r\n]{1,16}", between) or len(runs[following][0]) > size:
                break
            last = following
            following += 1
            if len(runs[last][0]) < size:
                break
        lines = [match[0] for match in runs[first : last + 1]]
        if len(lines) > 1 and any(map(alphabet.is_worth, lines)):
            yield alphabet.decoded(b"".join(lines))
        first = last if len(lines) > 1 and len(lines[-1]) < size else last + 1


def spreads(data: bytes, least: int) -> Iterator[bytes]:
    """Characters that a repeated separator parts, `least` letters and digits or more close to each other."""
    alone = {match.start() for match in re.finditer(rb"(?<![A-Za-z0-9])[A-Za-z0-9](?![A-Za-z0-9])", data)}
    for period in range(2, 7) if len(alone) >= least else ():
        at = 0
        while at + period <= len(data):
            separator = data[at + 1 : at + period]
            count = 0
            while not re.search(rb"[A-Za-z0-9]", separator):
                place = at + count * period
                if place >= len(data) or not (0x20 <= data[place] < 0x7F or data[place] in b"\t\n\r"):
                    break
                count += 1
                if data[place + 1 : place + period] != separator:
                    break
            if count >= 6 and _is_close(alone, [at + n * period for n in range(count)], least):
                yield data[at : at + (count - 1) * period + 1 : period]
            at += 1 if count < 6 else (count - 1) * period  # the last may begin another


def _is_close(alone: set[int], places: list[int], least: int) -> bool:
    close = 0
    last = -9
    for place in places:
        if place in alone:
            close = close + 1 if place - last <= 8 else 1
            last = place
            if close >= least:
                return True
    return False


def may_hold_numbers(data: bytes) -> bool:
    """Whether two numbers begin close to each other, neither of them after a dot."""
    last = -41
    for match in re.finditer(rb"(?<![0-9])[0-9]", data):
        if data[match.start() - 1 : match.start()] == b".":
            last = -41
        elif match.start() - last <= 40:
            return True
        else:
            last = match.start()
    return False


def _number_bytes(number: bytes, base: int) -> bytes:
    if base == 16:
        digits = re.fullmatch(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2}){1,4})", number)
        return bytes.fromhex(digits[1].decode()) if digits else b""
    pattern = rb"([0-9]{2,3})" if base == 10 else rb"(?:0[oO]?)?([0-7]{3})"
    digits = re.fullmatch(pattern, number)
    return bytes([int(digits[1], base)]) if digits and int(digits[1], base) < 256 else b""


def notation(data: bytes, at: int) -> int:
    """How a number is marked: `0x`, `U+` or not at all."""
    if re.match(rb"0[xX].", data[at : at + 3], re.DOTALL):
        return 1
    return 2 if re.match(rb"[uU]\+", data[max(0, at - 2) : at]) else 0


def numbers(data: bytes) -> Iterator[bytes]:
    """What numbers in a row spell as characters, in each base."""
    if not may_hold_numbers(data):
        return
    for base, gap in ((16, rb"[^A-Za-z0-9.]"), (10, rb"[^A-Za-z0-9.-]"), (8, rb"[^A-Za-z0-9.]")):
        found = b""
        count = 0
        end = -1
        marked = 0
        for match in re.finditer(rb"[A-Za-z0-9]+", data):
            part = _number_bytes(match[0], base)
            between = data[end : match.start()]
            if count and (match[0] in b"uU" and data[match.end() : match.end() + 1] == b"+"):
                continue
            signs = re.sub(rb"[uU]\+", b"", between)
            joined = (
                count > 0
                and notation(data, match.start()) == marked
                and 0 < len(between) <= 24
                and re.fullmatch(gap + b"*", signs)
                and len(signs.strip(b" \t\r\n").translate(None, b" \t\r\n")) <= 4
                and max(between) < 0x80
            )
            if not (part and joined):
                if count >= 2 and len(found) >= 4:
                    yield found
                # a number that is none of the base ends the row and begins none; so it is with one out of reach
                found, count = b"", 0
                marked = notation(data, match.start())
            found += part
            count += bool(part)
            end = match.end()
        if count >= 2 and len(found) >= 4:
            yield found


def wide_forms(data: bytes) -> list[str]:
    if len(data) < 4 or not (0 in data or data[:2] in (b"\xff\xfe", b"\xfe\xff")):
        return []
    forms = []
    for form, size in (("little", 2), ("big", 2), ("little", 4), ("big", 4)):
        whole = len(data) // size * size
        units = [int.from_bytes(data[at : at + size], form) for at in range(0, whole, size)]
        if size == 2:
            ascii_units = sum(0 < unit < 0x80 for unit in units)
            fits = units[0] == 0xFEFF or 0 < units[0] < 0x80 or ascii_units * 4 >= len(units)
        else:
            fits = all(unit < 0x110000 and not 0xD800 <= unit <= 0xDFFF for unit in units)
        if fits:
            forms.append(f"{form} {size}")
    return forms


def from_wide(data: bytes, form: str) -> bytes:
    order, size = form.split()
    step = int(size)
    points = [int.from_bytes(data[at : at + step], order) for at in range(0, len(data) // step * step, step)]
    text = []
    while points:
        point = points.pop(0)
        if step == 2 and 0xD800 <= point <= 0xDBFF and points and 0xDC00 <= points[0] <= 0xDFFF:
            point = 0x10000 + (point - 0xD800 << 10) + points.pop(0) - 0xDC00
        text.append(point_text(point))
    return b"".join(text)


def plain_text(data: bytes) -> bytes:
    """Lookalikes as the ASCII that they pass for, without what is to be ignored."""
    return b"".join(char if point < 0x80 else _plain(point, char) for point, char in characters(data))


def _plain(point: int, char: bytes) -> bytes:
    if 0xFF01 <= point <= 0xFF5E:
        return bytes([point - 0xFEE0])
    symbols = read_character(point)
    if symbols is None:
        return b""
    text = ""
    for symbol in symbols:
        if not symbol.letters:
            return char
        digits = [letter for letter in symbol.letters if letter.isdigit()]
        letter = min(digits or symbol.letters)
        text += letter.upper() if symbol.upper else letter
    return text.encode()


def is_plausible(data: bytes) -> bool:
    bad = sum(
        (len(char) == 1 and char[0] >= 0x80) or point == 0x7F or (point < 0x20 and point not in (9, 10, 13))
        for point, char in characters(data)
    )
    return bad * 8 <= len(data)


# -- JSON -----------------------------------------------------------------------------------------------------------

TOKEN = re.compile(
    rb'[ \n\r\t:]*(?:"((?:[^"\\]|\\.)*)"([ \n\r\t]*:)?|([{}\[\],])|([^ \n\r\t"{}\[\],:]+)|(.?))', re.DOTALL
)


def tokens(data: bytes) -> Iterator[tuple[str, bytes, int]]:
    """(kind, text, where it ends): key, string, scalar, one of `{}[],`, and end."""
    at = 0
    while True:
        match = TOKEN.match(data, at)
        assert match
        at = match.end()
        string, colon, bracket, scalar, _ = match.groups()
        if string is not None:
            yield ("key" if colon else "string"), string, at
        elif bracket:
            yield bracket.decode(), b"", at
        elif scalar:
            yield "scalar", scalar, at
        else:
            yield "end", b"", at
            return


STRING_ESCAPE = re.compile(
    rb"\\u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\(.)", re.DOTALL
)


def unescape_string(data: bytes) -> bytes:
    def text(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return point_text(0x10000 + (int(match[1], 16) - 0xD800 << 10) + int(match[2], 16) - 0xDC00)
        if match[3]:
            return b"\0" if int(match[3], 16) == 0 else point_text(int(match[3], 16))
        return {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}.get(match[4], match[4])

    return STRING_ESCAPE.sub(text, data)


def skip_blank(data: bytes) -> bytes:
    """What follows the spaces of any kind, control characters and byte order marks at the beginning."""
    at = 0
    for point, char in characters(data):
        symbols = read_character(point) if point >= 0x80 else None
        if 0x20 < point < 0x80 or (symbols is not None and not all(symbol.count for symbol in symbols)):
            break
        at += len(char)
    return data[at:]


def json_string(data: bytes) -> bytes | None:
    """The body of the JSON string that a text is, if it is one."""
    data = skip_blank(data)
    kind, raw, end = next(tokens(data))
    return raw if data[:1] == b'"' and kind == "string" and not skip_blank(data[end:]) else None


# -- the policy -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """A decoded message; `kind` is "json", "text", "opaque" or "none"."""

    event_type: str
    metadata: Sequence[tuple[str, str]] = ()
    payload: bytes = b""
    kind: str = "none"
    source_node: str = ""
    target_node: str = ""
    reply_to: str = ""
    content_type: str = ""


@dataclass(frozen=True)
class Want:
    words: frozenset[int] = frozenset()
    keys: frozenset[int] = frozenset()
    values: frozenset[int] = frozenset()
    inner_keys: frozenset[int] = frozenset()


def subject_matches(pattern: str, subject: str) -> bool:
    expression = re.escape(pattern.lower()).replace(r"\*", r"[^.]*")
    if pattern == ">" or pattern.endswith(".>"):
        expression = expression[:-1] + r".+"
    return re.fullmatch(expression, re.sub("[A-Z]", lambda m: m[0].lower(), subject), re.DOTALL) is not None


IN_METADATA = {"metadata keys", "metadata values", "event type"}
IN_PAYLOAD = {"payload keys", "payload strings", "raw bytes"}


class Reference:
    """A policy.

    Args:
        rules: its rules.
        opaque_denied: whether payloads that are not UTF-8 are refused.
    """

    def __init__(self, rules: Sequence[RuleSpec], opaque_denied: bool = False) -> None:
        self.rules = rules
        self.opaque_denied = opaque_denied
        self.in_text = self._by_spelling([rule.markers for rule in rules])
        self.as_key = self._by_spelling([rule.keys for rule in rules])
        self.as_value = self._by_spelling([rule.refused_values for rule in rules])
        self.trie = Trie.of(sorted({*self.in_text, *self.as_key, *self.as_value}))
        self.exceptions = [{s for text in rule.exceptions for s in spellings(text)} for rule in rules]
        self.found: dict[int, str] = {}
        self.too_deep = False
        self.least = 6
        self.got_keys: set[int] = set()
        self.got_values: set[int] = set()

    @staticmethod
    def _by_spelling(texts: Sequence[Sequence[str]]) -> dict[str, set[int]]:
        table: dict[str, set[int]] = {}
        for number, group in enumerate(texts):
            for text in group:
                for spelling in spellings(text):
                    table.setdefault(spelling, set()).add(number)
        return table

    def _least(self, scopes: set[str], key_scopes: set[str] | None = None) -> int:
        """Letters of the shortest pattern that is looked for in some scopes; six at least."""
        texts = [text for rule in self.rules if scopes & set(rule.scope) for text in rule.markers]
        texts += [text for rule in self.rules if (key_scopes or scopes) & set(rule.scope) for text in rule.keys]
        lengths = [len(spelling.replace(SPACE, "")) for text in texts for spelling in spellings(text)]
        return max(6, min([length for length in lengths if length >= 3], default=1 << 30))

    def check(self, message: Message) -> tuple[bool, str, str]:
        """(allowed, rule, path)."""
        self.found = {}
        self.too_deep = False
        self.least = self._least(IN_METADATA)
        active = {
            number
            for number, rule in enumerate(self.rules)
            if not rule.subjects or any(subject_matches(pattern, message.event_type) for pattern in rule.subjects)
        }
        self._scan(message, active)
        denied = [number for number in self.found if self.rules[number].deny]
        if denied:
            return False, self.rules[min(denied)].name, self.found[min(denied)]
        if self.too_deep:
            return False, "unscannable", ""
        if self.opaque_denied and message.kind == "opaque":
            return False, "opaque", "data"
        return True, "", ""

    def _scan(self, message: Message, active: set[int]) -> None:
        def scoped(scope: str, kind: str) -> frozenset[int]:
            return frozenset(n for n in active if scope in self.rules[n].scope and getattr(self.rules[n], kind))

        self.text(message.event_type.encode(), Want(scoped("event type", "markers")), 0, "event_type")
        in_text = Want(scoped("metadata values", "markers"), inner_keys=scoped("metadata keys", "keys"))
        self.text(message.content_type.encode(), in_text, 0, "content_type")
        if not re.fullmatch(r".+:(0|[1-9][0-9]*):(0|[1-9][0-9]*)", message.reply_to, re.DOTALL):
            self.text(message.reply_to.encode(), in_text, 0, "reply_to")
        for key, value in message.metadata:
            path = "metadata." + shown(key)
            in_keys = scoped("metadata keys", "keys")
            self.got_keys = set()
            self.text(key.encode(), Want(scoped("metadata keys", "markers"), in_keys, inner_keys=in_keys), 0, path)
            for rule in set(self.got_keys):
                if self.text_refused(rule, value.encode(), 0):
                    self.note({rule}, path)
            in_values = Want(scoped("metadata values", "markers"), inner_keys=in_keys)
            self.text(value.encode(), in_values, 0, path)
            self.match_joined([key.encode(), value.encode()], in_values, path)
        names = Want(scoped("names", "markers"))
        self.least = self._least({"names"})
        for path in ("source_node", "target_node", "reply_to"):
            self.text(getattr(message, path).encode(), names, 0, path)
        self._scan_payload(message, scoped)
        for number in active:
            required = self.rules[number].requires
            if required and not any(
                key == required and any(not symbol.count for symbol in fold(value.encode()))
                for key, value in message.metadata
            ):
                self.note({number}, "metadata." + shown(required))

    def _scan_payload(self, message: Message, scoped) -> None:  # type: ignore[no-untyped-def]
        keys = scoped("payload keys", "keys")
        words = [scope for scope in IN_PAYLOAD if scoped(scope, "markers")]
        self.least = self._least(IN_PAYLOAD if words else set(), {"payload keys"})
        strings = Want(scoped("payload strings", "markers"), inner_keys=keys)
        if message.kind == "json":
            self.walk(message.payload, Want(scoped("payload keys", "markers"), keys, inner_keys=keys), strings)
        elif message.kind == "text":
            self.text(message.payload, strings, 0, "data")
        if message.kind in ("text", "opaque") and self._alive(strings):
            self.wide(message.payload, strings, 0, "data")
        raw = scoped("raw bytes", "markers")
        if raw:
            self.text(message.payload, Want(raw), 0, "data")

    def note(self, rules: set[int], path: str) -> None:
        for rule in rules:
            self.found.setdefault(rule, path)

    # -- texts --

    def _alive(self, want: Want) -> bool:
        """Whether there is a rule that this could still break; one that flags is noted once."""
        rules = want.words | want.keys | want.values | want.inner_keys
        return any(self.rules[rule].deny or rule not in self.found for rule in rules)

    def deeper(self, data: bytes, want: Want, level: int, path: str) -> None:
        if data and level + 1 == MAX_LEVELS:
            self.too_deep = True
        else:
            self.text(data, want, level + 1, path)

    def text(self, data: bytes, want: Want, level: int, path: str) -> None:
        if not data or not self._alive(want):
            return
        self.match(fold(data), want, path)
        if any(_within(point, DATA["tags"]) for point, _ in characters(data)):
            self.deeper(tag_text(data), want, level, path)
        if "\u202e".encode() in data:
            self.deeper(override_text(data), want, level, path)
        self.decodings(data, want, level, path)
        ascii_text = plain_text(data)
        if ascii_text != data:
            self.decodings(ascii_text, want, level, path)
            self.inner_json(ascii_text, want, level, path)
        self.inner_json(data, want, level, path)

    def decodings(self, data: bytes, want: Want, level: int, path: str) -> None:
        words = any(self.rules[rule].deny or rule not in self.found for rule in want.words)
        if json_string(data) is None and unescape_text(data) != data:
            self.deeper(unescape_text(data), want, level, path)
        if words and QUOTED.search(data):
            self.deeper(unescape_quoted(data), want, level, path)
        for alphabet in (BASE64, BASE64_URL, BASE32):
            for decoded in blobs(data, alphabet):
                self.bytes_found(decoded, want, level, path)
        for alphabet, found in ((BASE64, wrapped), (HEX, blobs), (HEX, wrapped)):
            for decoded in found(data, alphabet):
                self.bytes_found(decoded, want, level, path)
        for closed in spreads(data, 6 if want.values else self.least):
            self.deeper(closed, want, level, path)
        if words:
            self.numbers(data, want, level, path)

    def numbers(self, data: bytes, want: Want, level: int, path: str) -> None:
        inside = Want(want.words)
        for decoded in numbers(data):
            if not is_plausible(decoded):
                self.wide(decoded, inside, level, path)
            printable = decoded if is_plausible(decoded) else re.sub(rb"\A[^ -~]+|[^ -~]+\Z", b"", decoded)
            if is_plausible(printable):
                self.deeper(printable, inside, level, path)

    def bytes_found(self, data: bytes, want: Want, level: int, path: str) -> None:
        if is_plausible(data):
            self.deeper(data, want, level, path)
        else:
            self.wide(data, want, level, path)

    def wide(self, data: bytes, want: Want, level: int, path: str) -> None:
        for form in wide_forms(data):
            text = from_wide(data, form)
            if is_plausible(text):
                self.deeper(text, want, level, path)

    def match(self, symbols: Symbols, want: Want, path: str) -> None:
        for reading in (symbols, symbolic_as_separators(symbols)):
            for start in range(len(reading)):
                for spelling, end in self.trie.found_at(reading, start):
                    self._hit(reading, spelling, start, end, want, path)
            self._match_spaced(reading, want, path)

    def _hit(self, symbols: Symbols, spelling: str, start: int, end: int, want: Want, path: str) -> None:
        rules = {
            rule
            for rule in self.in_text.get(spelling, set()) & want.words
            if not self._excepted(rule, symbols, spelling, start)
        }
        if rules and is_word(symbols, start, end, spelling.count(SPACE) + 1):
            self.note(rules, path)
        if is_whole(symbols, start, end):
            self.got_keys |= self.as_key.get(spelling, set()) & want.keys
            self.got_values |= self.as_value.get(spelling, set()) & want.values

    def _match_spaced(self, symbols: Symbols, want: Want, path: str) -> None:
        runs, letters = spaced_letters(symbols)
        for run in runs:
            for start in range(len(run)):
                for spelling, end in self.trie.found_at(run, start):
                    self.note(self.in_text.get(spelling, set()) & want.words, path)
                    if len(run) == letters and (start, end) == (0, len(run)):
                        self.got_keys |= self.as_key.get(spelling, set()) & want.keys
                        self.got_values |= self.as_value.get(spelling, set()) & want.values

    def _excepted(self, rule: int, symbols: Symbols, spelling: str, start: int) -> bool:
        for phrase in self.exceptions[rule]:
            for match in re.finditer(f"(?={re.escape(spelling)})", phrase):
                first = start - match.start()
                last = first + len(phrase)
                if first < 0 or last > len(symbols):
                    continue
                spelled = all(
                    (symbol.count > 0) if letter == SPACE else letter in symbol.letters
                    for letter, symbol in zip(phrase, symbols[first:last], strict=True)
                )
                if spelled and ends_left(symbols, first) and ends_right(symbols, last):
                    return True
        return False

    def match_joined(self, parts: list[bytes], want: Want, path: str) -> None:
        """What spans two parts or more; the end of a part may end a word."""
        symbols: Symbols = []
        for part in parts:
            symbols = fold(part, symbols)
        for reading in (symbols, symbolic_as_separators(symbols)):
            for start in range(len(reading)):
                for spelling, end in self.trie.found_at(reading, start):
                    if any(symbol.edge for symbol in reading[start + 1 : end]):
                        self._hit(reading, spelling, start, end, replace(want, keys=frozenset()), path)

    def inner_json(self, data: bytes, want: Want, level: int, path: str) -> None:
        string = json_string(data)
        if string is not None:
            self.deeper(unescape_string(string), want, level, path)
        elif skip_blank(data)[:1] in (b"{", b"["):
            self.inner_value(skip_blank(data), want, level + 1, path)

    def inner_value(self, data: bytes, want: Want, level: int, path: str) -> None:
        inside_want = Want(want.words, inner_keys=want.inner_keys)
        joined: list[bytes] = []
        for kind, raw, end in tokens(data):
            text = unescape_string(raw)
            if level == MAX_LEVELS and kind in ("key", "string"):
                self.too_deep = True
                return
            if kind == "string":
                self.text(text, inside_want, level, path)
                joined.append(text)
            elif kind not in "[],":
                self.match_joined(joined, inside_want, path)
                joined = []
            if kind == "key":
                outer, self.got_keys = self.got_keys, set()
                self.text(text, replace(inside_want, keys=want.inner_keys), level, path)
                joined = [text]
                rules, self.got_keys = self.got_keys, outer
                self.key_found(rules, data[end:], level, path)

    # -- payloads --

    def walk(self, data: bytes, key_want: Want, string_want: Want) -> None:
        frames: list[str | int | None] = []  # a key, an index, or None for an object before its first key
        joined: list[bytes] = []
        floor = 0
        array = -1  # where the innermost array begins, as long as it holds no other
        for kind, raw, end in tokens(data):
            text = unescape_string(raw)
            if kind not in ("string", "[", ",", "]"):
                holder = frames[:floor]
                if holder and isinstance(holder[-1], int):
                    holder.pop()
                self.match_joined(joined, string_want, path_of(holder))
                joined = []
                floor = len(frames)
            if kind == "key":
                frames[-1] = text.decode()
                self.got_keys = set()
                self.text(text, key_want, 0, path_of(frames))
                joined = [text]
                self.key_found(set(self.got_keys), data[end:], 0, path_of(frames))
            elif kind == "string":
                self.text(text, string_want, 0, path_of(frames))
                joined.append(text)
            elif kind == "{":
                frames.append(None)
            elif kind == "[":
                frames.append(0)
            elif kind in "}]":
                frames.pop()
                if kind == "]" and array >= 0:
                    self.numbers(data[array : end - 1], string_want, 0, path_of(frames))
            elif kind == "," and isinstance(frames[-1], int):
                frames[-1] += 1
            if kind in ("{", "[", "}", "]"):
                array = end if kind == "[" else -1
            if not fold(b"".join(joined)) or len(frames) < floor:
                floor = len(frames)

    def key_found(self, rules: set[int], rest: bytes, level: int, path: str) -> None:
        for rule in rules:
            if self._value_refused(rule, rest, level):
                self.note({rule}, path)

    def _value_refused(self, rule: int, rest: bytes, level: int) -> bool:
        if not self.rules[rule].allowed_values and not self.rules[rule].refused_values:
            return True
        depth = 0
        for kind, raw, _ in tokens(rest):
            if kind in ("string", "scalar"):
                text = unescape_string(raw) if kind == "string" else raw
                if kind == "scalar" and re.fullmatch(rb"(?=[-0-9])[^1-9eE]*(?:[eE].*)?", raw, re.DOTALL):
                    text = b"0"
                if self.text_refused(rule, text, level):
                    return True
            depth += (kind in ("{", "[")) - (kind in ("}", "]"))
            if kind == "end" or (depth <= 0 and kind != "key"):
                return False
        return False

    def text_refused(self, rule: int, text: bytes, level: int) -> bool:
        spec = self.rules[rule]
        if spec.refused_values:
            outer, self.got_values = self.got_values, set()
            self.text(text, Want(values=frozenset([rule])), level, "")
            got, self.got_values = self.got_values, outer
            return rule in got
        return text.strip(b" \n\r\t").lower() not in [value.encode() for value in spec.allowed_values]


def shown(key: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in key[:64])


def path_of(frames: Sequence[str | int | None]) -> str:
    parts = [f"[{frame}]" if isinstance(frame, int) else f".{shown(frame)}" for frame in frames if frame is not None]
    return "data" + "".join(parts)
