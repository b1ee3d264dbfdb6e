"""One text through every stage."""

class TextScanner:
    """Searches texts for the patterns of an automaton; a subclass says what a find means."""
