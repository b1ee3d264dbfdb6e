"""The reference's escapes: percent signs, HTML entities, backslashes, quoted-printable."""

import html.entities
import re

from reference_fold import characters

ESCAPE = re.compile(
    rb"%(?:25)*[uU](?P<percent_u>[0-9A-Fa-f]{4})"
    rb"|(?P<percent>%(?:25)*(?P<byte>[0-9A-Fa-f]{2}))"
    rb"|(?P<entity>&(?:amp;)*(?:\#(?P<decimal>[0-9]+);?|\#[xX](?P<hex>[0-9A-Fa-f]+);?|(?P<name>[A-Za-z0-9]{1,32});))"
    rb"|(?P<pair>\\+u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\+u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2}))"
    rb"|(?P<bytes>(?:\\+(?:x[0-9A-Fa-f]{2}|[0-3][0-7]{2}))+)"
    rb"|(?P<backslash>\\+(?:u(?P<u4>[0-9A-Fa-f]{4})|u\{(?P<ub>[0-9A-Fa-f]+)\}|U(?P<u8>[0-9A-Fa-f]{8})"
    rb"|(?P<simple>[nrtbfv0])))"
)
BYTE = re.compile(rb"x([0-9A-Fa-f]{2})|([0-3][0-7]{2})")
NAMED = {name[:-1].encode(): text for name, text in html.entities.html5.items() if name.endswith(";")}


def point_text(point: int) -> bytes:
    valid = 0 < point < 0x110000 and not 0xD800 <= point <= 0xDFFF
    return (chr(point) if valid else "\ufffd").encode()


def pair_point(high: int, low: int) -> int:
    """The character that two surrogates stand for."""
    return 0x10000 + (high - 0xD800 << 10) + low - 0xDC00


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match["percent"]:
        return bytes([int(match["byte"], 16)])
    if match["pair"]:
        return point_text(pair_point(int(match["high"], 16), int(match["low"], 16)))
    if match["bytes"]:
        data = bytes(int(digits, 16) if digits else int(octal, 8) for digits, octal in BYTE.findall(match["bytes"]))
        # a byte that is no UTF-8 is Latin-1
        return b"".join(
            point_text(ord(char) - 0xDC00 if "\udc80" <= char <= "\udcff" else ord(char)) for char in characters(data)
        )
    if match["simple"]:
        return b" "
    if match["name"]:
        known = NAMED.get(match["name"])
        return known.encode() if known else b"&" + match["name"] + b";"
    digits = match["hex"] or match["u4"] or match["ub"] or match["u8"] or match["percent_u"]
    return point_text(int(match["decimal"]) if match["decimal"] else int(digits, 16))


def unescape_text(data: bytes) -> bytes:
    return ESCAPE.sub(_unescaped, data)


QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})|=[ \t\r]*\n")


def unescape_quoted(data: bytes) -> bytes:
    """Quoted-printable (RFC 2045, section 6.7)."""
    return QUOTED.sub(lambda match: bytes([int(match[1], 16)]) if match[1] else b"", data)
