"""Other scanners, set to find the plain markers: whole words in any ASCII case, none of the disguises.

Peers come from the `bench` extra. One that is missing ends the run: a table that leaves it out would flatter us.
"""

import importlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

Finder = Callable[[bytes], Any]
"""Looks through a text; what it returns is true if there is a marker."""

MARKERS = (b"exploit", b"harm", b"force", b"override_consent")
WORD = rb"\b(?:" + b"|".join(MARKERS) + rb")\b"
LETTER = re.compile(rb"\w")


def peer(module: str, package: str) -> ModuleType:
    """Imports a peer.

    Args:
        module: what it is imported as.
        package: what pip installs it as.

    Returns:
        The module.

    Raises:
        SystemExit: if it is not installed; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f"bench: {package} is missing ({error}); run `make bench`, or: pip install '.[bench]'"
        ) from None


def standard_re() -> Finder:
    return re.compile(WORD, re.IGNORECASE).search


def google_re2() -> Finder:
    search: Finder = peer("re2", "google-re2").compile(rb"(?i)" + WORD).search
    return search


def hyperscan() -> Finder:
    module = peer("hyperscan", "hyperscan")
    database = module.Database()
    flags = module.HS_FLAG_CASELESS | module.HS_FLAG_SINGLEMATCH
    database.compile(
        expressions=[rb"\b" + marker + rb"\b" for marker in MARKERS],
        ids=list(range(len(MARKERS))),
        flags=[flags] * len(MARKERS),
    )
    hits: list[int] = []

    def note(id: int, _start: int, _end: int, _flags: int, _context: Any) -> None:
        hits.append(id)

    def find(text: bytes) -> bool:
        hits.clear()
        database.scan(text, match_event_handler=note)
        return bool(hits)

    return find


def aho_corasick() -> Finder:
    """It knows neither case nor words: the text is folded before, and what stands around a hit is looked at after."""
    automaton = peer("ahocorasick_rs", "ahocorasick_rs").BytesAhoCorasick(list(MARKERS))

    def find(text: bytes) -> bool:
        text = text.lower()
        return any(
            not LETTER.match(text, end) and not (start and LETTER.match(text, start - 1))
            for _, start, end in automaton.find_matches_as_indexes(text)
        )

    return find


FINDERS: dict[str, Callable[[], Finder]] = {
    "re": standard_re,
    "google-re2": google_re2,
    "hyperscan": hyperscan,
    "ahocorasick_rs": aho_corasick,
}
