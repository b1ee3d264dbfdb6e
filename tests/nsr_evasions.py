"""Ways to disguise a word, by class of design section 4; shared by the corpus, the fuzzer and the printed table."""

import base64
import json
import unicodedata
from collections.abc import Callable

MARKERS = (
    "exploit", "exploits", "exploited", "exploitation", "exploitative", "harm", "harms", "harmful", "harmfully",
    "force", "forces", "forced", "forcing", "forcibly", "override_consent",
)  # fmt: skip

CYRILLIC = str.maketrans("acehijmoprstuxyvbnfl", "асеһіјморгѕтυхуνьոꬵӏ")
GREEK = str.maketrans("aceiotuxvpryk", "αϲειοτυχνρгγκ")
LEET = str.maketrans("aeiost", "431057")
SIGNS = str.maketrans("aislt", "@!$|+")
SMALL_CAPITALS = str.maketrans("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")


def _letters(text: str, first: int, upper: bool = False) -> str:
    """Replaces a-z by 26 characters from `first` on."""
    text = text.upper() if upper else text
    base = ord("A" if upper else "a")
    return "".join(
        chr(first + ord(c) - base) if c.isascii() and c.isalpha() and 0 <= ord(c) - base < 26 else c for c in text
    )


def _between(separator: str) -> Callable[[str], str]:
    return separator.join


def _after_each(mark: str) -> Callable[[str], str]:
    return lambda word: "".join(c + mark for c in word)


def _each(pattern: str, separator: str = "") -> Callable[[str], str]:
    return lambda word: separator.join(pattern.format(ord(c)) for c in word)


def _bytes(pattern: str, separator: str = "") -> Callable[[str], str]:
    return lambda word: separator.join(pattern.format(c) for c in word.encode())


def _percent_once(word: str) -> str:
    return f"{word[:2]}%{ord(word[2]):02x}{word[3:]}"


def _units(pattern: str) -> Callable[[str], str]:
    """Each UTF-16 code unit."""

    def change(word: str) -> str:
        data = word.encode("utf-16-be")
        return "".join(pattern.format(int.from_bytes(data[at : at + 2])) for at in range(0, len(data), 2))

    return change


def _lines(text: str, width: int, end: str = "\n") -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


def _long_base64(word: str) -> str:
    return _base64(f"a sentence of some length, as letters have them, and then {word}, and so it goes on and on")


def _halves(word: str) -> list[str]:
    return [word[: len(word) // 2], word[len(word) // 2 :]]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


EVASIONS: dict[str, dict[str, Callable[[str], str]]] = {
    "case": {
        "as it is": lambda w: w,
        "upper": str.upper,
        "capital": str.capitalize,
        "alternating": lambda w: "".join(c.upper() if i % 2 == 0 else c for i, c in enumerate(w)),
    },
    "tokens": {
        "camelCase after": lambda w: "do" + w.capitalize(),
        "camelCase before": lambda w: w + "Mode",
        "snake_case": lambda w: f"x_{w}_y",
        "kebab-case": lambda w: f"set-{w.upper()}-on",
        "sentence": lambda w: f"please (do) {w}, now.",
    },
    "NFKC": {
        "fullwidth": lambda w: _letters(w, 0xFF41),
        "circled": lambda w: _letters(w, 0x24D0),
        "parenthesized": lambda w: _letters(w, 0x249C),
        "mathematical bold": lambda w: _letters(w, 0x1D41A),
        "mathematical fraktur": lambda w: _letters(w, 0x1D586),
        "mathematical monospace": lambda w: _letters(w, 0x1D670, upper=True),
    },
    "lookalikes": {
        "Cyrillic": lambda w: w.translate(CYRILLIC),
        "Greek": lambda w: w.translate(GREEK),
        "small capitals": lambda w: w.translate(SMALL_CAPITALS),
        "long s": lambda w: w.replace("f", "ſ").replace("s", "ſ"),
        "capital I for l": lambda w: w.replace("l", "I"),
        "rn for m": lambda w: w.replace("m", "rn"),
        "regional indicators": lambda w: _letters(w, 0x1F1E6, upper=True),
        "negative squared": lambda w: _letters(w, 0x1F170, upper=True),
        "one Cyrillic letter": lambda w: w.replace("o", "о", 1).replace("a", "а", 1),
    },
    "invisible": {
        "zero-width space": _between("\u200b"),
        "zero-width joiner": _between("\u200d"),
        "soft hyphen": _between("\u00ad"),
        "word joiner": _between("\u2060"),
        "variation selectors": _after_each("\ufe0f"),
        "tag characters between": _between("\U000e0041"),
        "tag characters": lambda w: "hi" + "".join(chr(0xE0000 + ord(c)) for c in w if 0x20 <= ord(c) < 0x7F),
    },
    "marks": {
        "acute": _after_each("\u0301"),
        "composed": lambda w: unicodedata.normalize("NFC", "".join(c + "\u0301" for c in w)),
        "stroke": _after_each("\u0336"),
        "enclosing": _after_each("\u20dd"),
    },
    "bidi": {
        "right-to-left override": lambda w: f"go \u202e{w[::-1]}\u202c on",
        "half reversed": lambda w: f"{w[:2]}\u202e{w[2:][::-1]}\u202c",
        "isolates between": _between("\u2066\u2069"),
    },
    "leet": {"digits": lambda w: w.translate(LEET), "signs": lambda w: w.translate(SIGNS)},
    "separators": {
        "hyphens": _between("-"),
        "dots": _between("."),
        "spaces": _between(" "),
        "underscores": _between("_"),
        "bars": _between("|"),
        "spaced bullets": _between(" • "),
        "newlines": _between("\n"),
        "quotes": _between('"'),
    },
    "percent": {
        "percent": _bytes("%{:02x}"),
        "one percent": _percent_once,
        "double percent": _bytes("%25{:02X}"),
        "triple percent": _bytes("%2525{:02X}"),
        "%u": _units("%u{:04x}"),
    },
    "entities": {
        "decimal": _each("&#{:d};"),
        "hexadecimal": _each("&#x{:x};"),
        "padded, no semicolon": lambda w: "".join(f"&#{ord(c):07d}" for c in w),
        "doubled": _each("&amp;#{:d};"),
    },
    "escapes": {
        "\\u": _each("\\u{:04x}"),
        "\\\\u": _each("\\\\u{:04x}"),
        "\\x": _bytes("\\x{:02x}"),
        "octal": _bytes("\\{:03o}"),
        "\\u{}": _each("\\u{{{:x}}}"),
    },
    "base64 and hex": {
        "base64": _base64,
        "base64, no padding": lambda w: _base64(w).rstrip("="),
        "base64 of a sentence": lambda w: f"run {_base64('now: ' + w + '!')}",
        "base64 of capitals": lambda w: _base64(w.upper()),
        "base64 twice": lambda w: _base64(_base64(w)),
        "hex": lambda w: w.encode().hex(),
        "hex capitals": lambda w: "0x" + w.upper().encode().hex().upper(),
        "base64, for addresses": lambda w: base64.urlsafe_b64encode(f"~~~ {w} ???".encode()).decode().rstrip("="),
        "base64 of UTF-16": lambda w: base64.b64encode(w.encode("utf-16-le")).decode(),
        "base64 of UTF-16 with a mark": lambda w: base64.b64encode(w.encode("utf-16")).decode(),
        "base64 of UTF-32": lambda w: base64.b64encode(w.encode("utf-32-be")).decode(),
        "base32": lambda w: base64.b32encode(w.encode()).decode(),
        "base32, no padding": lambda w: base64.b32encode(f"do {w}!".encode()).decode().rstrip("="),
        "hex of UTF-16": lambda w: w.encode("utf-16-be").hex(),
    },
    "broken lines": {
        "base64 of 64": lambda w: _lines(_long_base64(w), 64),
        "base64 of 76, CR LF": lambda w: _lines(_long_base64(w), 76, "\r\n"),
        "base64, indented": lambda w: "key:\n    " + _lines(_long_base64(w), 20, "\n    "),
        "base64 in words": lambda w: _lines(_long_base64(w), 8, " "),
        "base64 after a line of noise": lambda w: "yMnKy8zNzs/Q0dLT1NXW19jZ2tvc3d7f\n" + _base64(f"now {w} it"),
        "base64 after a line of zeros": lambda w: "A" * 32 + " " + _base64(f"now {w} it"),
        "base64 after another line": lambda w: "Attachment follows\n" + _lines(_long_base64(w), 64),
        "hex of 16 bytes": lambda w: _lines(f"run the pump and then {w} it all".encode().hex(), 32),
    },
    "quoted-printable": {
        "all": _bytes("={:02X}"),
        "lower case": _bytes("={:02x}"),
        "one letter": lambda w: f"{w[:2]}={ord(w[2]):02X}{w[3:]}" if w[2].isascii() else _bytes("={:02X}")(w),
        "soft line breaks": _between("=\n"),
        "soft line break of a mail": lambda w: f"Gr=C3=BC=C3=9Fe und {w[:3]}=\r\n{w[3:]} =E2=82=AC",
    },
    "numbers": {
        "hex bytes": _bytes("{:02x}", " "),
        "hex bytes, colons": _bytes("{:02X}", ":"),
        "hex bytes, commas": _bytes("{:02x}", ", "),
        "0x": _bytes("0x{:02x}", " "),
        "0x in C": lambda w: "{" + _bytes("0x{:02X}", ", ")(w) + "}",
        "xxd": lambda w: _lines(w.encode().hex(), 4, " "),
        "decimal": _bytes("{:d}", " "),
        "decimal, commas": lambda w: f"String.fromCharCode({_bytes('{:d}', ',')(w)})",
        "decimal, a line each": _bytes("{:d}", "\n"),
        "octal": _bytes("{:03o}", " "),
        "octal of C": _bytes("0{:03o}", ", "),
        "U+": lambda w: " ".join(f"U+{int.from_bytes(c.encode('utf-16-be')):04X}" for c in w),
    },
    "JSON in a string": {
        "value": lambda w: json.dumps({"mode": w}),
        "key": lambda w: json.dumps({w: 1}),
        "escaped": lambda w: '{"mode": "' + "".join(f"\\u{ord(c):04x}" for c in w) + '"}',
        "split over an array": lambda w: json.dumps({"steps": _halves(w)}),
        "split over key and value": lambda w: json.dumps(dict([_halves(w)])),
        "twice": lambda w: json.dumps([json.dumps({"mode": w})]),
        "four times": lambda w: json.dumps([json.dumps({"a": json.dumps([json.dumps({"mode": w})])})]),
        "string of a string": lambda w: json.dumps(json.dumps(json.dumps({"mode": w}))),
        "after a byte order mark": lambda w: "\ufeff" + json.dumps({w: 1}),
        "after odd spaces": lambda w: "\u00a0\u2003\u200b" + json.dumps({"steps": _halves(w)}),
        "numbers in an array": lambda w: json.dumps({"codes": list(w.encode())}),
    },
}

ALL_EVASIONS = {f"{group}: {name}": change for group, changes in EVASIONS.items() for name, change in changes.items()}
