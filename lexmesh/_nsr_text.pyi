"""One text through every stage."""

from typing_extensions import disjoint_base

@disjoint_base
class TextScanner:
    """Searches texts for the patterns of an automaton; a subclass says what a find means."""
