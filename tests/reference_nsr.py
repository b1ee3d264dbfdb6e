"""What the consent policy means, in slow and obvious Python: the compiled scanner must agree with it on every input.

Nothing here is shared with the compiled scanner but the data: nsr_unicode.json holds the same character readings. What
texts hold is told by pure functions, whose answers are remembered: reference_fold (characters), reference_search and
reference_boundaries (words), reference_decode (what a text decodes to). Here is what of a message is searched for what,
but not how much work a message may cost: only large ones exceed it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reference_decode import decodings, numbered, other_orders
from reference_fold import fold, join, plain_text, skip_blank
from reference_json import json_string, tokens, unescape_string
from reference_search import SPACE, Find, Lexicon, is_excepted, spellings
from reference_wide import wide_texts

from lexmesh.nsr import RuleSpec

MAX_LEVELS = 8
IN_METADATA = frozenset({"metadata keys", "metadata values", "event type"})
IN_PAYLOAD = frozenset({"payload keys", "payload strings", "raw bytes"})
NO_SCOPES: frozenset[str] = frozenset()
NOTHING: frozenset[int] = frozenset()


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


class Want(NamedTuple):
    """The rules that a text is searched for: as a word, as a key or value that it is, as a key of JSON in it."""

    words: frozenset[int] = NOTHING
    keys: frozenset[int] = NOTHING
    values: frozenset[int] = NOTHING
    inner_keys: frozenset[int] = NOTHING


@lru_cache(1 << 14)
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
        self.denying = frozenset(number for number, rule in enumerate(rules) if rule.deny)
        self.in_text = self._by_spelling([rule.markers for rule in rules])
        self.as_key = self._by_spelling([rule.keys for rule in rules])
        self.as_value = self._by_spelling([rule.refused_values for rule in rules])
        self.lexicon = Lexicon({*self.in_text, *self.as_key, *self.as_value})
        self.exceptions = [{s for text in rule.exceptions for s in spellings(text)} for rule in rules]
        self.least_of = lru_cache(self._least_of)
        self._begin()

    def _begin(self) -> None:
        self.found: dict[int, str] = {}
        self.live = set(range(len(self.rules)))  # rules that could still be noted: one that flags is noted once
        self.too_deep = False
        self.least = 6
        self.got_keys: set[int] = set()
        self.got_values: set[int] = set()
        self.searched: set[tuple[bytes, Want, int, int]] = set()

    @staticmethod
    def _by_spelling(texts: Sequence[Sequence[str]]) -> dict[str, frozenset[int]]:
        table: dict[str, frozenset[int]] = {}
        for number, group in enumerate(texts):
            for text in group:
                for spelling in spellings(text):
                    table[spelling] = table.get(spelling, NOTHING) | {number}
        return table

    def _least_of(self, scopes: frozenset[str], key_scopes: frozenset[str]) -> int:
        """Letters of the shortest pattern that is looked for in some scopes; six at least."""
        texts = [text for rule in self.rules if scopes & set(rule.scope) for text in rule.markers]
        texts += [text for rule in self.rules if key_scopes & set(rule.scope) for text in rule.keys]
        lengths = [len(spelling.replace(SPACE, "")) for text in texts for spelling in spellings(text)]
        return max(6, min([length for length in lengths if length >= 3], default=1 << 30))

    # -- messages --

    def check(self, message: Message) -> tuple[bool, str, str]:
        """(allowed, rule, path)."""
        self._begin()
        active = {
            number
            for number, rule in enumerate(self.rules)
            if not rule.subjects or any(subject_matches(pattern, message.event_type) for pattern in rule.subjects)
        }
        self._scan(message, active)
        denied = self.denying & self.found.keys()
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

        self._scan_metadata(message, scoped)
        self._scan_payload(message, scoped)
        names = Want(scoped("names", "markers"))
        self.least = self.least_of(frozenset({"names"}), frozenset({"names"}))
        for path in ("source_node", "target_node", "reply_to"):
            self.text(getattr(message, path).encode(), names, 0, path)
        for number in active:
            required = self.rules[number].requires
            if required and not any(
                key == required and any(not symbol.count for symbol in fold(value.encode()))
                for key, value in message.metadata
            ):
                self.note({number}, "metadata." + shown(required))

    def _scan_metadata(self, message: Message, scoped: Callable[[str, str], frozenset[int]]) -> None:
        self.least = self.least_of(IN_METADATA, IN_METADATA)
        self.text(message.event_type.encode(), Want(scoped("event type", "markers")), 0, "event_type")
        keys = scoped("metadata keys", "keys")
        in_keys = Want(scoped("metadata keys", "markers"), keys, inner_keys=keys)
        in_values = Want(scoped("metadata values", "markers"), inner_keys=keys)
        self.text(message.content_type.encode(), in_values, 0, "content_type")
        if not re.fullmatch(r".+:(0|[1-9][0-9]*):(0|[1-9][0-9]*)", message.reply_to, re.DOTALL):
            self.text(message.reply_to.encode(), in_values, 0, "reply_to")
        for key, value in message.metadata:
            path = "metadata." + shown(key)
            self.got_keys = set()
            self.text(key.encode(), in_keys, 0, path)
            for rule in set(self.got_keys):
                if self.text_refused(rule, value.encode(), 0):
                    self.note({rule}, path)
            self.text(value.encode(), in_values, 0, path)
            self.match_joined([key.encode(), value.encode()], in_values, path)

    def _scan_payload(self, message: Message, scoped: Callable[[str, str], frozenset[int]]) -> None:
        keys = scoped("payload keys", "keys")
        words = any(scoped(scope, "markers") for scope in IN_PAYLOAD)
        self.least = self.least_of(IN_PAYLOAD if words else NO_SCOPES, frozenset({"payload keys"}))
        strings = Want(scoped("payload strings", "markers"), inner_keys=keys)
        if message.kind == "json":
            self.walk(message.payload, Want(scoped("payload keys", "markers"), keys, inner_keys=keys), strings)
        elif message.kind == "text":
            self.text(message.payload, strings, 0, "data")
        if message.kind in ("text", "opaque") and self._alive(strings):
            self.all_deeper(wide_texts(message.payload), strings, 0, "data")
        raw = scoped("raw bytes", "markers")
        if raw:
            self.text(message.payload, Want(raw), 0, "data")

    def note(self, rules: Iterable[int], path: str) -> None:
        for rule in rules:
            self.found.setdefault(rule, path)
            if rule not in self.denying:
                self.live.discard(rule)

    # -- texts --

    def _alive(self, want: Want) -> bool:
        return any(not self.live.isdisjoint(rules) for rules in want)

    def all_deeper(self, texts: Iterable[bytes], want: Want, level: int, path: str) -> None:
        """Searches what a text of `level` decodes to."""
        for text in texts:
            if text and level + 1 == MAX_LEVELS:
                self.too_deep = True
            else:
                self.text(text, want, level + 1, path)

    def text(self, data: bytes, want: Want, level: int, path: str) -> None:
        if not data or not self._alive(want) or self._was_searched(data, want, level):
            return
        for find in self.lexicon.finds(data):
            self._found(find, want, path)
        self.all_deeper(other_orders(data), want, level, path)
        self.decodings(data, want, level, path)
        ascii_text = plain_text(data)
        if ascii_text != data:
            self.decodings(ascii_text, want, level, path)
            self.inner_json(ascii_text, want, level, path)
        self.inner_json(data, want, level, path)

    def _was_searched(self, data: bytes, want: Want, level: int) -> bool:
        """Whether a text was searched for the same: once more would find nothing more.

        What it was found to be as a key or value is forgotten in between, though.
        """
        search = (data, want, level, self.least)
        if want.keys or want.values or search not in self.searched:
            self.searched.add(search)
            return False
        return True

    def decodings(self, data: bytes, want: Want, level: int, path: str) -> None:
        found = decodings(data, 6 if want.values else self.least)
        self.all_deeper(found.escaped, want, level, path)
        if want.words:
            self.all_deeper(found.quoted, want, level, path)
        self.all_deeper(found.encoded, want, level, path)
        if want.words:
            self.all_deeper(found.numbered, Want(want.words), level, path)

    def _found(self, find: Find, want: Want, path: str) -> None:
        if find.is_word:
            rules = self.in_text.get(find.spelling, NOTHING) & want.words
            self.note([rule for rule in rules if not is_excepted(find, self.exceptions[rule])], path)
        if find.is_whole:
            self.got_keys |= self.as_key.get(find.spelling, NOTHING) & want.keys
            self.got_values |= self.as_value.get(find.spelling, NOTHING) & want.values

    def match_joined(self, parts: list[bytes], want: Want, path: str) -> None:
        """What spans two parts or more; the end of a part may end a word."""
        if len(parts) > 1:
            for find in self.lexicon.finds_over_edges(join(parts)):
                self._found(find, want._replace(keys=NOTHING), path)

    def inner_json(self, data: bytes, want: Want, level: int, path: str) -> None:
        string = json_string(data)
        if string is not None:
            self.all_deeper([unescape_string(string)], want, level, path)
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
                self.text(text, inside_want._replace(keys=want.inner_keys), level, path)
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
                    self.all_deeper(numbered(data[array : end - 1]), Want(string_want.words), 0, path_of(frames))
            elif kind == "," and isinstance(frames[-1], int):
                frames[-1] += 1
            if kind in ("{", "[", "}", "]"):
                array = end if kind == "[" else -1
            if not any(map(fold, joined)) or len(frames) < floor:
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
