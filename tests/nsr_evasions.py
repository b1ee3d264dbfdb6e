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


def _each(pattern: str) -> Callable[[str], str]:
    return lambda word: "".join(pattern.format(ord(c)) for c in word)


def _percent_once(word: str) -> str:
    return f"{word[:2]}%{ord(word[2]):02x}{word[3:]}"


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
    },
    "percent": {
        "percent": _each("%{:02x}"),
        "one percent": _percent_once,
        "double percent": _each("%25{:02X}"),
        "triple percent": _each("%2525{:02X}"),
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
        "\\x": _each("\\x{:02x}"),
    },
    "base64 and hex": {
        "base64": _base64,
        "base64, no padding": lambda w: _base64(w).rstrip("="),
        "base64 of a sentence": lambda w: f"run {_base64('now: ' + w + '!')}",
        "base64 of capitals": lambda w: _base64(w.upper()),
        "base64 twice": lambda w: _base64(_base64(w)),
        "hex": lambda w: w.encode().hex(),
        "hex capitals": lambda w: "0x" + w.upper().encode().hex().upper(),
    },
    "JSON in a string": {
        "value": lambda w: json.dumps({"mode": w}),
        "key": lambda w: json.dumps({w: 1}),
        "escaped": lambda w: '{"mode": "' + "".join(f"\\u{ord(c):04x}" for c in w) + '"}',
        "split over an array": lambda w: json.dumps({"steps": _halves(w)}),
        "split over key and value": lambda w: json.dumps(dict([_halves(w)])),
        "twice": lambda w: json.dumps([json.dumps({"mode": w})]),
    },
}

ALL_EVASIONS = {f"{group}: {name}": change for group, changes in EVASIONS.items() for name, change in changes.items()}
