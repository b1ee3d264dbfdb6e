"""One text through every stage."""

from typing_extensions import disjoint_base

from ._nsr_words import WordScanner

@disjoint_base
class TextScanner(WordScanner):
    """Searches texts and all that they decode to; a subclass says what a find means."""
