"""Python values as an Envelope, for the other compiled modules."""

class Fields:
    """Keeps alive what the spans of an Envelope point into."""
