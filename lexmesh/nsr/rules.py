"""What a rule of a consent policy says."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCOPES", "RuleSpec"]

SCOPES = ("metadata keys", "metadata values", "event type", "payload keys", "payload strings", "raw bytes", "names")


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule; it has markers, or keys, or a required entry.

    Args:
        name: how refusals call it.
        about: the rule in one sentence, for people.
        deny: whether it refuses; else it flags: the message passes and is recorded.
        scope: where it looks, of SCOPES.
        subjects: patterns of the event types that it is for; empty for all.
        markers: words, with their inflections.
        exceptions: phrases in which a marker is harmless.
        keys: names of metadata entries or payload fields.
        allowed_values: the values that such a key may have, in lower case; with neither these nor refused values, none.
        refused_values: the values that such a key may not have.
        requires: name of a metadata entry that must hold something.
    """

    name: str
    about: str = ""
    deny: bool = True
    scope: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    allowed_values: tuple[str, ...] = ()
    refused_values: tuple[str, ...] = ()
    requires: str = ""
