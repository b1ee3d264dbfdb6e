"""The prefilter's proofs, each by itself: where a stage of the scanner can find something, the prefilter must say so.

A text of each kind is one that a single stage finds. It stands at every offset from a block of 64 bytes and ends at
every length around one, for each vector width. `refused` shows that the stage was run, whatever its bit is called.
"""

import base64
import itertools
import random
import re
from collections.abc import Iterator

import pytest
from nsr_evasions import CYRILLIC, MARKERS
from nsr_messages import INSTRUCTION, json_line, proto_message
from reference_nsr import Message, Reference

from lexmesh._nsr import Scanner
from lexmesh._nsr_codes import holds_codes, may_hold_codes
from lexmesh._nsr_filter import NOT_ALNUM, READINGS, Prefilter
from lexmesh._nsr_rules import Program, letters_of
from lexmesh.nsr import RuleSpec

pytestmark = pytest.mark.core

WIDTHS = (0, 1, 2)
CALM = "bamboo in a dim nook, on a hill: a bud "  # trips nothing today
EDGES = (*range(60, 70), *range(124, 132), 191, 192, 193, 256)
ONE_CAPITAL = ("thank", "plank")  # base64 of these has one capital and no digit
DIGITS_ONLY = ("spit", "rightist", "asphyxia")  # hex of these has no letter


def rules() -> tuple[RuleSpec, ...]:
    return (
        RuleSpec(
            "words",
            scope=("metadata keys", "metadata values", "payload keys", "payload strings"),
            markers=(*MARKERS, *DIGITS_ONLY, *ONE_CAPITAL),
        ),
    )


PATTERNS = [letters for letters, *_ in Program(rules(), 60).patterns]
SCANNERS = [Scanner("", rules(), False, width) for width in WIDTHS]
FILTERS = [Prefilter(PATTERNS, PATTERNS, width) for width in WIDTHS]


def refused(scanner: Scanner, payload: bytes) -> bool:
    allowed, rule, _, _ = scanner.scan_proto(proto_message(INSTRUCTION, {}, payload))
    assert rule in ("", "words")
    return not allowed


def plain_words(pick: random.Random) -> Iterator[str]:
    """Every letter of a marker written in each ASCII way that it can be read from."""
    for marker in (*MARKERS, *DIGITS_ONLY):
        choices = [sorted(READINGS[letter] - NOT_ALNUM) for letter in letters_of(marker)]
        yield marker.upper()
        for _ in range(4):
            yield "".join(chr(pick.choice(letter)) if letter else "_" for letter in choices)


def symbolic_words(pick: random.Random) -> Iterator[str]:
    """The same with punctuation that can pass for letters."""
    for marker in ("exploit", "harms", "harmful", "forcibly", "spit"):
        choices = [sorted(READINGS[letter]) for letter in letters_of(marker)]
        for _ in range(6):
            yield "".join(chr(pick.choice(letter)) for letter in choices)


def high_bytes(pick: random.Random) -> Iterator[str]:
    for marker in ("force", "harm", "exploited"):
        yield marker.translate(CYRILLIC)
        yield "".join(chr(0xFF41 + ord(c) - ord("a")) for c in marker)
        yield "\u200b".join(marker)
        yield "".join(chr(0xE0000 + ord(c)) for c in marker)
        yield "".join(c + "\u0301" for c in marker)


def escapes(pick: random.Random) -> Iterator[str]:
    """Of each of the characters \\ % & there is one that stands alone."""
    for marker in ("force", "harm", "exploited"):
        at = len(marker) // 2 - 1
        for pattern in ("%{:02x}", "%25{:02X}", "&#{:d};", "&#x{:x};", "&amp;#{:d};", "\\u{:04x}", "\\x{:02x}"):
            yield marker[:at] + pattern.format(ord(marker[at])) + marker[at + 1 :]
            yield "".join(pattern.format(ord(c)) for c in marker)


def spaced(pick: random.Random) -> Iterator[str]:
    """Gaps of one to seven separators; an apostrophe is none of JSON's."""
    for marker in ("force", "harm", "exploited", "spit"):
        for width in range(1, 8):
            yield ("-_. ,~'" * 2)[width : width + width].join(marker)
        yield "".join(c + pick.choice(("-", " . ", "   ~   ")) for c in marker).rstrip(" .~-")


def spaced_symbols(pick: random.Random) -> Iterator[str]:
    """Punctuation as letters set apart, and as what sets them apart."""
    for marker in ("exploit", "harms", "spit"):
        text = marker.translate(str.maketrans("aist", "@!$+"))
        yield from (separator.join(text) for separator in (".", " ", " - ", "_~_~_~_"))
        yield from (separator.join(marker) for separator in ("|", "+", "$", "!", "@", "|+|"))


def base64_runs(pick: random.Random) -> Iterator[str]:
    seen = set()
    for marker, before, after in itertools.product(
        ("harm", "force", "exploits"), ("", ".", "..", "now "), ("", ".", " now", "!!")
    ):
        for text in (before + marker + after, before + marker.upper() + after):
            data = base64.b64encode(text.encode()).decode().rstrip("=")
            seen.update((data, data.replace("+", "-").replace("/", "_")))
    return iter(sorted(seen))


def base64_by_digit(pick: random.Random) -> Iterator[str]:
    """Runs with a capital and a digit, but no capital right after a letter or digit."""
    signs = [bytes(pair) for pair in itertools.product(b" .,:;-_!?(~>?", repeat=2)] + [b""]
    for marker, before, after in itertools.product((b"harm", b"HARM", b"spit"), signs, signs):
        run = base64.b64encode(before + marker + after).decode().rstrip("=")
        if re.search("[A-Z]", run) and re.search("[0-9]", run) and not re.search("[A-Za-z0-9][A-Z]", run):
            yield run


def base64_by_one_capital(pick: random.Random) -> Iterator[str]:
    for marker in ONE_CAPITAL:
        run = base64.b64encode(marker.encode()).decode().rstrip("=")
        assert len(re.findall("[A-Z0-9]", run)) == 1
        yield run


def hex_runs(pick: random.Random) -> Iterator[str]:
    for marker in ("harm", "force", "exploits"):
        for text in (marker, "to " + marker, marker.upper() + "."):
            yield text.encode().hex()
            yield text.encode().hex().upper()
            yield "f" + text.encode().hex()


def hex_of_digits(pick: random.Random) -> Iterator[str]:
    for marker in DIGITS_ONLY:
        yield marker.encode().hex()
        yield marker.upper().encode().hex()
        yield "5" + marker.encode().hex()


def by_number(pick: random.Random) -> Iterator[str]:
    for marker in ("harm", "force", "exploits", *DIGITS_ONLY):
        data = marker.encode()
        yield from (data.hex(separator) for separator in (" ", ":", "-", "\n"))
        yield from (before + data.hex(" ", -2) for before in (".", "v.", "cafe."))
        yield from (data.hex(" ", 2), data.hex(",", 4) if len(data) > 4 else data.hex(" "))
        for pattern in ("0x{:02X}", "{:d}", "{:03o}", "0{:03o}", "U+{:04X}"):
            yield from (gap.join(pattern.format(byte) for byte in data) for gap in (" ", ", ", ",\n" + " " * 20))


def quoted(pick: random.Random) -> Iterator[str]:
    for marker in ("harm", "force", "exploits", *DIGITS_ONLY):
        for at in range(1, len(marker)):
            yield marker[:at] + "=\n" + marker[at:]
            yield marker[:at] + f"={ord(marker[at]):02X}" + marker[at + 1 :]
        yield "".join(f"={ord(c):02x}" for c in marker)


STAGES = {
    stage.__name__: stage
    for stage in (
        plain_words, symbolic_words, high_bytes, escapes, spaced, spaced_symbols,
        base64_runs, base64_by_digit, base64_by_one_capital, hex_runs, hex_of_digits, by_number, quoted,
    )
}  # fmt: skip


def texts_of(stage: str) -> list[bytes]:
    """At most sixty texts that the reference refuses."""
    reference = Reference(rules())
    pick = random.Random(3)
    texts = sorted({text.encode() for text in STAGES[stage](pick)})
    found = [text for text in texts if not reference.check(Message(INSTRUCTION, (), text, "text"))[0]]
    assert len(found) >= 0.8 * len(texts), (stage, set(texts) - set(found))
    return found if len(found) <= 60 else pick.sample(found, 60)


def placed_everywhere(text: bytes) -> Iterator[bytes]:
    """At every offset 0..130 with and without something after it, and ending at each of EDGES."""
    calm = CALM.encode() * 8
    for pad in range(131):
        before = calm[:pad][:-1] + b" " if pad else b""
        yield before + text
        yield before + text + b" " + calm[: (pad * 7) % 150]
    for length in EDGES:
        if length > len(text):
            yield calm[: length - len(text) - 1] + b" " + text
            yield text + b" " + calm[: length - len(text) - 1]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_can_find_something_is_run(stage: str) -> None:
    for text in texts_of(stage):
        for whole in placed_everywhere(text):
            for is_json in (False, True):
                trips = [one.trips_of(whole, is_json) for one in FILTERS]
                assert all(trips), (whole, trips)
    for text in texts_of(stage)[::6]:
        for whole in placed_everywhere(text):
            if whole.strip().isdigit():  # a JSON number, which is no text
                continue
            said = [refused(one, whole) for one in SCANNERS]
            assert all(said), (whole, said)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_run_in_metadata_too(stage: str) -> None:
    """There the texts of a message are looked at side by side."""
    for text in texts_of(stage)[::9]:
        for pad in range(131):
            metadata = {"a": "b" * (pad // 2), "k": (CALM * 4)[: pad - pad // 2], "note": text.decode()}
            raw = json_line("sensor_reading", metadata)
            assert not any(one.scan_json(raw)[0] for one in SCANNERS), raw


@pytest.mark.parametrize("size", [0, 3000])
def test_quotes_set_letters_of_a_text_apart(size: int) -> None:
    """In JSON they end a string; not in text, nor where JSON is searched as it stands."""
    filling = (CALM.encode() * 80)[:size]
    as_it_stands = (RuleSpec("words", scope=("raw bytes",), markers=("force",)),)
    raw = [Scanner("", as_it_stands, False, width) for width in WIDTHS]
    for gap in (b'"', b'""', b'" "', b'":[],"'):
        text = gap.join([b"f", b"o", b"r", b"c", b"e"])
        for one in SCANNERS:
            assert refused(one, b"a bud " + text + b" on a hill " + filling), text
    for one in raw:
        assert refused(one, b'{"f":[],"o":[],"r":[],"c":[],"e":[]}' + b" " * size)


def test_a_capital_and_a_digit_may_be_far_apart() -> None:
    """The run of base64 has its capital in one block and its digit in another; a word before it has a capital too."""
    for gap in (2, 3, 61, 62, 63, 64, 65, 127, 128, 200):
        for first, last in ("A5", "5A"):
            body = ("b+c/d" * 60)[:gap]
            for pad in range(0, 130):
                text = b" " * pad + f"{first}+{body}+{last}".encode()
                assert all(one.trips_of(text) for one in FILTERS), text


# -- what spans two strings ---------------------------------------------------------------------------------------


def splits() -> list[tuple[str, str]]:
    halves = [(marker[:at], marker[at:]) for marker in MARKERS for at in range(1, len(marker))]
    leet = str.maketrans("aeiost", "431057")
    return halves + [(left.upper(), right.translate(leet)) for left, right in halves]


def test_a_split_word_is_suspected() -> None:
    for left, right in splits():
        for before, after in (("", ""), ("do ", " it"), ("do-", "."), ("so, ", "")):
            for one in FILTERS:
                assert one.may_be_split((before + left).encode(), (right + after).encode()), (left, right)


@pytest.mark.parametrize("shape", ['{{"pad":"{pad}","{left}":"{right}"}}', '["{pad}","{left}","{right}"]',
                                   '{{"pad":"{pad}","steps":[["{left}"] ,\n["{right}"]]}}'])  # fmt: skip
def test_a_word_split_over_strings_is_found_everywhere(shape: str) -> None:
    for number, (left, right) in enumerate(splits()):
        for pad in range(number % 5, 131, 5):
            payload = shape.format(pad=(CALM * 4)[:pad], left=left, right=right).encode()
            assert [refused(one, payload) for one in SCANNERS] == [True] * 3, payload


@pytest.mark.parametrize("behind", [0, 5_000, 20_000])
def test_a_split_word_is_found_behind_any_stretch_without_quotes(behind: int) -> None:
    for before in [*range(3_960, 4_290), *range(12_200, 12_360)]:
        pads = [(CALM * 600)[:size] for size in (before, behind)]
        payload = '["{}","ha","rm","{}"]'.format(*pads).encode()
        assert [refused(one, payload) for one in SCANNERS] == [True] * 3, (before, behind)


def test_an_equals_sign_is_noticed_everywhere() -> None:
    for before in [*range(130), *range(4_090, 4_290)]:
        text = (CALM * 120)[:before].encode() + b"=" + CALM.encode() * 120
        assert all(one.trips_of(text) and one.trips_of(text[: before + 1]) for one in FILTERS), before


def test_a_word_split_over_a_key_and_its_value_is_found_in_metadata() -> None:
    for left, right in splits():
        raw = json_line("sensor_reading", {"unit": "celsius", left: right})
        assert not any(one.scan_json(raw)[0] for one in SCANNERS), raw


# -- whatever the text ----------------------------------------------------------------------------------------------

ALPHABETS = (
    "force harm", "FORCEforceharm", "h4rmHARM f0rc3", "f-o-r-c-e h.a.r.m", "h@rm$ |sp!t+", "aGFybQ Zm9yY2U",
    "6861726d 6172", "73706974 ", "%6861726d", "&#104;97", "\\u0068arm", "harmé\u200b", 'harm"[]:,{} ', "spit+|!$",
    "68 61 72 6d", "104, 97 114 109", "=68arm=\n",
)  # fmt: skip


def random_text(pick: random.Random) -> bytes:
    alphabet = pick.choice(ALPHABETS)
    parts = [pick.choice((alphabet, pick.choice(alphabet), pick.choice(alphabet.split()))) for _ in range(6)]
    parts.append(CALM[: pick.randrange(40)] * pick.randrange(3))
    pick.shuffle(parts)
    text = pick.choice(("", " ", "-")).join(parts)
    return text[pick.randrange(4) :].encode()


def test_nothing_is_found_where_the_prefilter_is_silent() -> None:
    reference = Reference(rules())
    pick = random.Random(11)
    for _ in range(4_000):
        text = random_text(pick)
        if not may_hold_codes(text) and not all(one.trips_of(text) for one in FILTERS):
            assert reference.check(Message(INSTRUCTION, (), text, "text"))[0], text


NUMBERS = (
    "66", "6f", "7", "102", "111", "0x66", "0X6f", "0o146", "0146", "146", "U+0066", "u+006f", "666f7263", "0x666f7263",
    "d0", "3.5", ".66", "66.", "666f72636", "x66", "and", "é", "66ox", "0x", "x",
)  # fmt: skip
OF_LETTERS = ("be", "ce", "BF", "u+be")  # bytes of lookalikes; three of them spell no word
GAPS = (" ", ", ", '","', "-", "; ", "\n" + " " * 20, " " * 24, " " * 25, "((((", "(((((", ".", " u+", "+", "'", "")


def random_numbers(pick: random.Random) -> bytes:
    parts = [pick.choice(NUMBERS) for _ in range(pick.randrange(2, 9))]
    for _ in range(pick.randrange(3)):
        parts.insert(pick.randrange(len(parts) + 1), pick.choice(OF_LETTERS))
    text = pick.choice(GAPS).join(parts) if pick.random() < 0.5 else "".join(part + pick.choice(GAPS) for part in parts)
    return (CALM[: pick.randrange(20)] + text).encode()


def test_numbers_that_are_characters_are_suspected() -> None:
    pick = random.Random(13)
    texts = [random_numbers(pick) for _ in range(60_000)]
    holding = [text for text in texts if holds_codes(text)]
    assert len(holding) > 5_000
    assert all(may_hold_codes(text) for text in holding)
    spelling = [text for text in holding if not re.search(rb"(?i)\b(be|ce|bf)+\b", text)]
    assert len(spelling) > 1_000
    assert all(one.trips_of(text) for text in spelling for one in FILTERS)


def test_every_width_finds_the_same() -> None:
    pick = random.Random(12)
    for _ in range(20_000):
        text = random_text(pick)
        assert len({refused(one, text) for one in SCANNERS}) == 1, text
