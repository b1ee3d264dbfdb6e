"""A message's fields as spans, for the other compiled modules; its face for Python is `lexmesh._codec`."""

from typing_extensions import disjoint_base

@disjoint_base
class Decoder:
    """Finds the fields of one message at a time."""
