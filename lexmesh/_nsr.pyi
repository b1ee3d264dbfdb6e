"""The consent policy over one envelope: which rule refuses it, and where."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import disjoint_base

from ._nsr_envelope import EnvelopeScanner

SCOPE_NAMES: tuple[str, ...]

@disjoint_base
class Scanner(EnvelopeScanner):
    """A policy, compiled."""

    @property
    def rules(self) -> tuple[str, ...]: ...
    @property
    def digest(self) -> str: ...
    def __init__(self, digest: str, rules: Sequence[Any], opaque_denied: bool = False, vectors: int = 2) -> None: ...
    def scan_json(self, raw: bytes) -> tuple[bool, str, str, str]: ...
    def scan_proto(self, raw: bytes) -> tuple[bool, str, str, str]: ...
    def bench_loop(self, raw: bytes, format: int, count: int) -> int: ...
