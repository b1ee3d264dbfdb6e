"""Strict JSON for the other compiled modules; its face for Python is `lexmesh._codec.strict_json`."""

from typing_extensions import disjoint_base

@disjoint_base
class Walker:
    """Scratch space of the strict walk; one per decoder, reused for every message."""
