"""A JSON payload, walked with the path of where it stands; and what a key's value says."""

from typing_extensions import disjoint_base

from ._nsr_text import TextScanner

ROOTS: tuple[str, ...]

@disjoint_base
class PayloadScanner(TextScanner): ...
