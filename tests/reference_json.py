"""The reference's JSON, as tolerant tokens."""

import re
from collections.abc import Iterator

from reference_escape import pair_point, point_text
from reference_fold import skip_blank

TOKEN = re.compile(
    rb'[ \n\r\t:]*(?:"((?:[^"\\]|\\.)*)"([ \n\r\t]*:)?|([{}\[\],])|([^ \n\r\t"{}\[\],:]+)|(.?))', re.DOTALL
)


def tokens(data: bytes, at: int = 0) -> Iterator[tuple[str, bytes, int]]:
    """(kind, text, where it ends): key, string, scalar, one of `{}[],`, and end."""
    while True:
        match = TOKEN.match(data, at)
        assert match
        at = match.end()
        string, colon, bracket, scalar, _ = match.groups()
        if string is not None:
            yield ("key" if colon else "string"), string, at
        elif bracket:
            yield bracket.decode(), b"", at
        elif scalar:
            yield "scalar", scalar, at
        else:
            yield "end", b"", at
            return


STRING_ESCAPE = re.compile(
    rb"\\u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\(.)", re.DOTALL
)
SIMPLE = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return point_text(pair_point(int(match[1], 16), int(match[2], 16)))
    if match[3]:
        return b"\0" if int(match[3], 16) == 0 else point_text(int(match[3], 16))
    return SIMPLE.get(match[4], match[4])


def unescape_string(data: bytes) -> bytes:
    return STRING_ESCAPE.sub(_unescaped, data) if b"\\" in data else data


def json_string(data: bytes) -> bytes | None:
    """The body of the JSON string that a text is, if it is one."""
    data = skip_blank(data)
    if data[:1] != b'"':
        return None
    kind, raw, end = next(tokens(data))
    return raw if kind == "string" and not skip_blank(data[end:]) else None
