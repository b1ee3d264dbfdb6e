"""What of an envelope is searched, for which rules, and where a find is."""

from typing_extensions import disjoint_base

from ._nsr_message import MessageFilter

@disjoint_base
class EnvelopeScanner(MessageFilter):
    """Searches an envelope; a subclass says for which rules and what a find means."""
