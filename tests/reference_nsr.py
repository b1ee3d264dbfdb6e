"""What the consent policy means, in slow and obvious Python: the compiled scanner must agree with it on every input.

Nothing here is shared with the compiled scanner but the data: nsr_unicode.json holds the same character readings.
"""

import base64
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
MAX_LEVELS = 4
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
    rb"|(?P<entity>&(?:amp;)*(?:\#(?P<decimal>[0-9]+);?|\#[xX](?P<hex>[0-9A-Fa-f]+);?|(?P<name>[A-Za-z0-9]{1,32});))"
    rb"|(?P<pair>\\+u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\+u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2}))"
    rb"|(?P<backslash>\\+(?:u(?P<u4>[0-9A-Fa-f]{4})|u\{(?P<ub>[0-9A-Fa-f]+)\}|U(?P<u8>[0-9A-Fa-f]{8})"
    rb"|x(?P<x>[0-9A-Fa-f]{2})|(?P<simple>[nrtbfv0])))"
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
    if match["simple"]:
        return b" "
    if match["name"]:
        known = NAMED.get(match["name"])
        return known.encode() if known else b"&" + match["name"] + b";"
    digits = match["hex"] or match["u4"] or match["ub"] or match["u8"] or match["x"]
    return point_text(int(match["decimal"]) if match["decimal"] else int(digits, 16))


def unescape_text(data: bytes) -> bytes:
    return ESCAPE.sub(_unescaped, data)


def blobs(data: bytes) -> Iterator[bytes]:
    for alphabet in (rb"[A-Za-z0-9+/]{6,}", rb"[A-Za-z0-9_-]{6,}"):
        for run in re.findall(alphabet, data):
            if re.search(rb"[A-Za-z0-9][A-Z]", run) or (re.search(rb"[A-Z]", run) and re.search(rb"[0-9]", run)):
                whole = run[: len(run) - 1] if len(run) % 4 == 1 else run
                yield base64.urlsafe_b64decode(
                    whole.translate(bytes.maketrans(b"+/", b"-_")) + b"=" * (-len(whole) % 4)
                )
    for run in re.findall(rb"[0-9A-Fa-f]{8,}", data):
        mixed = re.search(rb"[0-9]", run) and re.search(rb"[A-Fa-f]", run)
        if not mixed and not re.search(rb"[2-7].[2-7].[2-7].[2-7]", run):
            continue
        yield bytes.fromhex(run[: len(run) // 2 * 2].decode())
        if len(run) % 2:
            yield bytes.fromhex(run[1:].decode())


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


# -- the policy -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """A decoded message; `kind` is "json", "text", "opaque" or "none"."""

    event_type: str
    metadata: Sequence[tuple[str, str]] = ()
    payload: bytes = b""
    kind: str = "none"


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

    def check(self, message: Message) -> tuple[bool, str, str]:
        """(allowed, rule, path)."""
        self.found = {}
        active = {
            number
            for number, rule in enumerate(self.rules)
            if not rule.subjects or any(subject_matches(pattern, message.event_type) for pattern in rule.subjects)
        }
        self._scan(message, active)
        denied = [number for number in self.found if self.rules[number].deny]
        if denied:
            return False, self.rules[min(denied)].name, self.found[min(denied)]
        if self.opaque_denied and message.kind == "opaque":
            return False, "opaque", "data"
        return True, "", ""

    def _scan(self, message: Message, active: set[int]) -> None:
        def scoped(scope: str, kind: str) -> frozenset[int]:
            return frozenset(n for n in active if scope in self.rules[n].scope and getattr(self.rules[n], kind))

        self.text(message.event_type.encode(), Want(scoped("event type", "markers")), 0, "event_type")
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
        strings = Want(scoped("payload strings", "markers"), inner_keys=keys)
        if message.kind == "json":
            self.walk(message.payload, Want(scoped("payload keys", "markers"), keys, inner_keys=keys), strings)
        elif message.kind == "text":
            self.text(message.payload, strings, 0, "data")
        raw = scoped("raw bytes", "markers")
        if raw:
            self.text(message.payload, Want(raw), 0, "data")

    def note(self, rules: set[int], path: str) -> None:
        for rule in rules:
            self.found.setdefault(rule, path)

    # -- texts --

    def text(self, data: bytes, want: Want, level: int, path: str) -> None:
        if not data:
            return
        self.match(fold(data), want, path)
        if any(_within(point, DATA["tags"]) for point, _ in characters(data)):
            self.match(fold(tag_text(data)), want, path)
        if "\u202e".encode() in data:
            self.match(fold(override_text(data)), want, path)
        if level + 1 == MAX_LEVELS:
            return
        if ESCAPE.search(data) or re.search(rb"%25|&amp;", data):
            self.text(unescape_text(data), want, level + 1, path)
        for decoded in blobs(data):
            if is_plausible(decoded):
                self.text(decoded, want, level + 1, path)
        if data.lstrip(b" \n\r\t")[:1] in (b"{", b"["):
            self.inner_json(data, want, level + 1, path)

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
        inside_want = Want(want.words, inner_keys=want.inner_keys)
        joined: list[bytes] = []
        for kind, raw, end in tokens(data):
            text = unescape_string(raw)
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
            elif kind == "," and isinstance(frames[-1], int):
                frames[-1] += 1
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
