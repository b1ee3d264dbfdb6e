"""A policy's TOML, read and validated: what is wrong is said with its file, line and reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any, NoReturn

from .._nsr_rules import letters_of
from ..errors import PolicyError
from .lines import Lines
from .rules import SCOPES, RuleSpec

__all__ = ["PolicyReader"]

MOST_RULES = 60
RESERVED = ("opaque", "malformed", "unscannable")
POLICY_KEYS = ("opaque", "rule")
RULE_KEYS = (
    "name", "about", "action", "scope", "subjects", "markers", "except", "keys", "unless", "when", "requires",
)  # fmt: skip
KINDS = ("markers", "keys", "requires")
BELONGS_TO = {"except": "markers", "unless": "keys", "when": "keys"}
KEY_SCOPES = ("metadata keys", "payload keys")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_SUBJECT = re.compile(r"(?:[^\s.>]+\.)*(?:[^\s.>]+|>)")
_TOML_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


class PolicyReader:
    """Reads one policy.

    Args:
        text: the policy, TOML.
        source: what errors call it, mostly its path.

    Raises:
        PolicyError: with the line and the reason of the first mistake.
    """

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._lines = Lines(text)
        document = self._parse(text)
        for key in document:
            if key not in POLICY_KEYS:
                self._fail(self._lines.of_key(None, key), f"unknown key {key!r}; known are {', '.join(POLICY_KEYS)}")
        self.opaque_denied = self._read_opaque(document.get("opaque", "allow"))
        rules = document.get("rule", [])
        if not isinstance(rules, list) or not rules or not all(isinstance(rule, dict) for rule in rules):
            self._fail(self._lines.of_key(None, "rule"), "a policy needs rules: write each as a [[rule]] table")
        if len(rules) > MOST_RULES:
            self._fail(self._lines.of_rule(MOST_RULES), f"more than {MOST_RULES} rules; put more markers in one rule")
        self.rules = tuple(self._read_rule(number, rule) for number, rule in enumerate(rules))
        self._check_names()

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            match = _TOML_LINE.search(str(error))
            line = int(match[1]) if match and match[1] else text.count("\n") + 1
            self._fail(line, f"not TOML: {_TOML_LINE.sub('', str(error))}")
        except RecursionError:
            self._fail(0, "not TOML that can be read: nested too deeply")

    def _fail(self, line: int, reason: str) -> NoReturn:
        raise PolicyError(self._source, line, reason)

    def _read_opaque(self, value: object) -> bool:
        if value not in ("allow", "deny"):
            self._fail(self._lines.of_key(None, "opaque"), 'opaque must be "allow" or "deny"')
        return value == "deny"

    def _read_rule(self, number: int, rule: dict[str, Any]) -> RuleSpec:
        for key in rule:
            if key not in RULE_KEYS:
                self._fail(self._lines.of_key(number, key), f"unknown key {key!r}; known are {', '.join(RULE_KEYS)}")
        kind = self._kind(number, rule)
        markers = self._read_markers(number, rule)
        spec = RuleSpec(
            name=self._read_name(number, rule),
            about=self._string(number, rule, "about"),
            deny=self._read_action(number, rule),
            scope=self._read_scope(number, rule, kind),
            subjects=self._strings(number, rule, "subjects", self._check_subject),
            markers=markers,
            exceptions=self._strings(number, rule, "except", self._check_letters),
            keys=self._strings(number, rule, "keys", self._check_letters),
            allowed_values=tuple(text.strip().lower() for text in self._strings(number, rule, "unless")),
            refused_values=self._strings(number, rule, "when", self._check_letters),
            requires=self._string(number, rule, "requires"),
        )
        self._check_exceptions(number, spec)
        return spec

    def _kind(self, number: int, rule: dict[str, Any]) -> str:
        kinds = [kind for kind in KINDS if kind in rule]
        if len(kinds) != 1:
            self._fail(self._lines.of_rule(number), f"a rule has exactly one of {', '.join(KINDS)}")
        for key, owner in BELONGS_TO.items():
            if key in rule and owner != kinds[0]:
                self._fail(self._lines.of_key(number, key), f"{key!r} only goes with {owner!r}")
        if "unless" in rule and "when" in rule:
            self._fail(self._lines.of_key(number, "when"), "a rule has 'unless' or 'when', not both")
        if not rule[kinds[0]]:
            self._fail(self._lines.of_key(number, kinds[0]), f"{kinds[0]!r} is empty")
        return kinds[0]

    def _read_name(self, number: int, rule: dict[str, Any]) -> str:
        name = self._string(number, rule, "name")
        if not _NAME.fullmatch(name):
            self._fail(self._lines.of_key(number, "name"), "a rule needs a name of lower-case letters, digits and -")
        if name in RESERVED:
            self._fail(self._lines.of_key(number, "name"), f"{name!r} is what lexmesh itself calls such refusals")
        return name

    def _read_action(self, number: int, rule: dict[str, Any]) -> bool:
        action = rule.get("action", "deny")
        if action not in ("deny", "flag"):
            self._fail(self._lines.of_key(number, "action"), 'action must be "deny" or "flag"')
        return bool(action == "deny")

    def _read_scope(self, number: int, rule: dict[str, Any], kind: str) -> tuple[str, ...]:
        scope = self._strings(number, rule, "scope")
        if scope and kind == "requires":
            reason = "'scope' does not go with 'requires', which is for metadata alone"
            self._fail(self._lines.of_key(number, "scope"), reason)
        known = {"markers": SCOPES, "keys": KEY_SCOPES, "requires": ()}[kind]
        for place in scope:
            if place not in known:
                line = self._lines.of_text(number, "scope", place)
                self._fail(line, f"unknown scope {place!r}; for {kind!r} there are: {', '.join(known)}")
        if known and not scope:
            self._fail(self._lines.of_rule(number), f"a rule with {kind!r} needs a scope, of: {', '.join(known)}")
        return scope

    def _read_markers(self, number: int, rule: dict[str, Any]) -> tuple[str, ...]:
        """A list of words, or a table of words and their inflections."""
        markers = rule.get("markers", [])
        if not isinstance(markers, dict):
            return self._strings(number, rule, "markers", self._check_letters)
        found: list[str] = []
        for marker in markers:
            if marker in RULE_KEYS:  # TOML gives a table all that follows its header, so this was meant for the rule
                reason = (
                    f"{marker!r} stands under [rule.markers]; move it above that line"
                    " (a marker of that name goes in markers = [...])"
                )
                self._fail(self._lines.of_text(number, "markers", marker), reason)
            self._check_letters(number, "markers", marker)
            found += [marker, *self._strings(number, markers, marker, self._check_letters)]
        return tuple(found)

    def _string(self, number: int, table: dict[str, Any], key: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            self._fail(self._lines.of_key(number, key), f"{key!r} must be a string")
        return value

    def _strings(
        self, number: int, table: dict[str, Any], key: str, check: Callable[[int, str, str], None] | None = None
    ) -> tuple[str, ...]:
        values = table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self._fail(self._lines.of_key(number, key), f"{key!r} must be a list of strings")
        for value in values:
            if check:
                check(number, key, value)
        return tuple(values)

    def _check_letters(self, number: int, key: str, text: str) -> None:
        reason = ""
        if not text.strip():
            reason = "is empty"
        else:
            try:
                reason = "" if letters_of(text) else "normalises to nothing: it has no letters or digits"
            except ValueError as error:
                reason = str(error)
        if reason:
            self._fail(self._lines.of_text(number, key, text), f"{text!r} in {key!r} {reason}")

    def _check_subject(self, number: int, key: str, subject: str) -> None:
        if not _SUBJECT.fullmatch(subject):
            line = self._lines.of_text(number, key, subject)
            self._fail(line, f"{subject!r} is not a subject: tokens between dots, '*' in a token, '>' as the last one")

    def _check_exceptions(self, number: int, spec: RuleSpec) -> None:
        """Each must hold a marker, must not be one, and must not hold or repeat another exception."""
        markers = {letters_of(marker) for marker in spec.markers}
        phrases: dict[bytes, str] = {}
        for text in spec.exceptions:
            letters = letters_of(text)
            same = [written for other, written in phrases.items() if _holds(letters, other) or _holds(other, letters)]
            reason = ""
            if letters in markers:
                reason = "overlaps the marker itself, which could then never be found"
            elif not any(_holds(letters, marker) for marker in markers):
                reason = "holds none of the rule's markers"
            elif letters in phrases:
                reason = "is there twice"
            elif same:
                reason = f"overlaps the exception {same[0]!r}"
            if reason:
                self._fail(self._lines.of_text(number, "except", text), f"the exception {text!r} {reason}")
            phrases[letters] = text

    def _check_names(self) -> None:
        seen: set[str] = set()
        for number, rule in enumerate(self.rules):
            if rule.name in seen:
                self._fail(self._lines.of_key(number, "name"), f"two rules are called {rule.name!r}")
            seen.add(rule.name)


def _holds(letters: bytes, part: bytes) -> bool:
    """Whether `part` stands in `letters` as whole words (36 is the place between words)."""
    return b"\x24" + part + b"\x24" in b"\x24" + letters + b"\x24"
