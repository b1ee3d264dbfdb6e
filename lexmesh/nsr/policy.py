"""A consent policy: rules as data, and their verdicts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from .._nsr import Scanner
from ..errors import PolicyError
from ..settings_file import read_settings
from .loader import PolicyReader
from .rules import RuleSpec

__all__ = ["NsrPolicy", "Verdict"]


class _Event(Protocol):
    def to_proto(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says about a message.

    Args:
        allowed: whether it passes.
        rule: the rule that refuses it; empty if allowed.
        path: the field that breaks the rule, such as ``metadata.mode`` or ``data.steps[2].mode``; never its text.
        reason: the refusal as a sentence; empty if allowed.
        flag: a rule with action "flag" that it matched; empty if none.
    """

    allowed: bool
    rule: str = ""
    path: str = ""
    reason: str = ""
    flag: str = ""


class NsrPolicy:
    """The Non-Slavery Rule as a compiled policy.

    Args:
        rules: the rules, in the order in which they are reported.
        opaque_denied: whether payloads that are neither JSON nor text are refused.

    Raises:
        ValueError: no rules or over 60, or a marker that cannot be looked for.
    """

    def __init__(self, rules: tuple[RuleSpec, ...], *, opaque_denied: bool = False) -> None:
        if not rules:
            raise ValueError("a policy needs rules; one that refuses nothing says so by rules with action 'flag'")
        self.rules = rules
        self.opaque_denied = opaque_denied
        self.digest = _digest(rules, opaque_denied)
        self.scanner = Scanner(self.digest, rules, opaque_denied)
        self._reasons = {rule.name: _reason(rule) for rule in rules} | _INTERNAL_REASONS

    @classmethod
    def default(cls) -> NsrPolicy:
        """The policy that ships with lexmesh, ``lexmesh/nsr/default.toml``."""
        return cls.loads(files(__package__).joinpath("default.toml").read_text("utf-8"), "default.toml")

    @classmethod
    def load(cls, path: str | Path) -> NsrPolicy:
        """Reads a policy from a TOML file.

        Args:
            path: the file; a regular one, of at most `settings_file.MOST_BYTES`.

        Returns:
            The policy.

        Raises:
            PolicyError: unreadable or wrong, with file, line and reason.
        """
        try:
            text = read_settings(path)
        except UnicodeDecodeError as error:
            raise PolicyError(str(path), 0, f"not UTF-8 at byte {error.start}; TOML is") from None
        except OSError as error:
            raise PolicyError(str(path), 0, error.strerror or "cannot be read") from None
        return cls.loads(text, str(path))

    @classmethod
    def loads(cls, text: str, source: str = "<string>") -> NsrPolicy:
        """Reads a policy from text.

        Args:
            text: the policy, TOML.
            source: what errors call it.

        Returns:
            The policy.

        Raises:
            PolicyError: with line and reason.
        """
        reader = PolicyReader(text, source)
        return cls(reader.rules, opaque_denied=reader.opaque_denied)

    def without(self, *names: str) -> NsrPolicy:
        """This policy without some of its rules, for an end that is to be laxer than others.

        Args:
            names: the rules to leave out.

        Returns:
            The laxer policy, with a digest of its own.

        Raises:
            ValueError: no rule has that name, or none would be left.
        """
        known = [rule.name for rule in self.rules]
        for name in names:
            if name not in known:
                raise ValueError(f"no rule is called {name!r}; there are {', '.join(known)}")
        rules = tuple(rule for rule in self.rules if rule.name not in names)
        return NsrPolicy(rules, opaque_denied=self.opaque_denied)

    def check(self, event: _Event) -> Verdict:
        """Checks an event.

        Args:
            event: a StreamEvent, or anything else that ``to_proto`` turns into an EventMessage.

        Returns:
            The verdict.
        """
        return self._verdict(*self.scanner.scan_proto(event.to_proto()))

    def check_json(self, line: bytes) -> Verdict:
        """Checks one JSON message.

        Args:
            line: the message; white space around it is ignored.

        Returns:
            The verdict; one that cannot be decoded breaks the rule ``malformed``, and the reason says what and where.
        """
        return self._verdict(*self.scanner.scan_json(line.strip()))

    def _verdict(self, allowed: bool, rule: str, path: str, flag: str) -> Verdict:
        if allowed:
            return Verdict(True, flag=flag)
        if rule == "malformed":
            return Verdict(False, rule, "", path)
        where = f" at {path}" if path else ""
        return Verdict(False, rule, path, f"{self._reasons[rule]} ({rule}{where})")


_INTERNAL_REASONS = {
    "opaque": "Payloads that are neither JSON nor text are not accepted.",
    "unscannable": "The message could not be scanned.",
}


def _reason(rule: RuleSpec) -> str:
    return rule.about or f"The rule {rule.name} refuses it."


def _digest(rules: tuple[RuleSpec, ...], opaque_denied: bool) -> str:
    """SHA-256 of what the rules say, whatever the order and layout in which a file says it; `about` is not a rule."""
    content = [{key: value for key, value in asdict(rule).items() if key != "about"} for rule in rules]
    text = json.dumps({"opaque_denied": opaque_denied, "rules": content}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
