"""The decoder of messages, for the other compiled modules."""

from lexmesh._envelope import Scratch

class Decoder(Scratch):
    """Finds the fields of one message at a time."""
