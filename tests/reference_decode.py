"""The reference's decodings: every text that a text may hold, each of which is then searched like it."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from reference_blob import BASE32, BASE64, BASE64_URL, HEX, blobs, spreads, wrapped
from reference_escape import QUOTED, unescape_quoted, unescape_text
from reference_fold import TAGS, characters, is_plausible, override_text, tag_text
from reference_json import json_string
from reference_numbers import numbers
from reference_wide import wide_texts

CONTROLS = bytes(byte for byte in range(256) if not 0x20 <= byte < 0x7F)


class Decodings(NamedTuple):
    """What a text decodes to, in the scanner's order: what is found first decides whether more is looked for."""

    escaped: tuple[bytes, ...]
    quoted: tuple[bytes, ...]  # only where words are looked for
    encoded: tuple[bytes, ...]
    numbered: tuple[bytes, ...]  # the same, and only words are looked for in it


@lru_cache(1 << 14)
def decodings(data: bytes, least: int) -> Decodings:
    """Args:
    data: a text.
    least: letters that must be close to each other for characters set apart to be closed up.
    """
    quoted = (unescape_quoted(data),) if QUOTED.search(data) else ()
    encoded = (*_encoded(data), *spreads(data, least))
    return Decodings(tuple(_escaped(data)), quoted, encoded, tuple(numbered(data)))


def _escaped(data: bytes) -> Iterator[bytes]:
    # the escapes of a JSON string are undone with it
    if json_string(data) is None:
        text = unescape_text(data)
        if text != data:
            yield text


def _encoded(data: bytes) -> Iterator[bytes]:
    for alphabet, found in (
        (BASE64, blobs), (BASE64_URL, blobs), (BASE32, blobs), (BASE64, wrapped), (HEX, blobs), (HEX, wrapped),
    ):  # fmt: skip
        for decoded in found(data, alphabet):
            yield from [decoded] if is_plausible(decoded) else wide_texts(decoded)


def numbered(data: bytes) -> Iterator[bytes]:
    """The texts that numbers spell; they may stand between bytes that are none."""
    for decoded in numbers(data):
        if is_plausible(decoded):
            yield decoded
        else:
            yield from wide_texts(decoded)
            printable = decoded.strip(CONTROLS)
            if is_plausible(printable):
                yield printable


@lru_cache(1 << 14)
def other_orders(data: bytes) -> tuple[bytes, ...]:
    """What tag characters spell, and what right-to-left overrides show."""
    if data.isascii():
        return ()
    tags = (tag_text(data),) if TAGS.search(characters(data)) else ()
    return (*tags, override_text(data)) if "\u202e".encode() in data else tags
