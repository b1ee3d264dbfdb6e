"""A message's fields as spans, for the other compiled modules."""

class Scratch:
    """What a decoder writes; reused for every message."""
