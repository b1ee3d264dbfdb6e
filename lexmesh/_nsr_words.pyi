"""The words of one text, in each of its readings."""

from typing_extensions import disjoint_base

@disjoint_base
class WordScanner:
    """Searches texts for the patterns of an automaton; a subclass says what a find means."""
