"""The compiled scanner and the slow reference agree: same verdict, same rule, same path."""

import json
import random
from typing import Any

import pytest
from nsr_evasions import ALL_EVASIONS, MARKERS
from nsr_messages import json_line, proto_message, reference_message
from reference_nsr import Reference

from lexmesh.nsr import NsrPolicy, RuleSpec

pytestmark = pytest.mark.core

NOISE = (
    "harmony",
    "charm",
    "pharmacy",
    "enforce",
    "workforce",
    "Salesforce",
    "unharmed",
    "reinforced",
    "sensor_reading",
    "status",
    "the",
    "ok",
    "node-01",
    "22.5",
    "consent",
    "override",
    "consent_override",
    "overrideConsent",
    "for",
    "ce",
    "f",
    "o",
    "r",
    "c",
    "e",
    "ha",
    "rm",
    "no",
    "false",
    "denied",
    "Zm9y",
    "сила",
    "жизнь",
    "λόγος",
    "مرحبا",
    "强制",
    "naïve",
    "über",
    "force majeure",
    "!",
    "$",
    "|",
    "%25",
    "%",
    "&amp;",
    "&",
    "\\",
    "\\\\",
    "{",
    "[",
    '"',
    "}",
    "]",
    ":",
    ",",
    "aGFybQ",
    "DEADBEEFCAFE",
    "6861726d",
    "\u202e",
    "\u202c",
    "\u200b",
    "\u0301",
    "\U000e0068",
    "\n",
    "\x00",
    "\ufffd",
    "ﬀ",
    "㎜",
    "Ⅷ",
    "ǅ",
    "İ",
    "ß",
    "™",
    "①",
    "²",
    "=66",
    "=\n",
    "=",
    "66 6f",
    "0x72",
    "114 99",
    "2026-11-22 08:56",
    "MZXXEY3F",
    "\\x66\\146",
    "%u0066",
    "\u00a0",
    "\ufeff",
    "Zm9yY2U gaGFybQ",
    "\x00",
    "U+0066",
    " | ",
)
TYPES = (
    "sensor_reading",
    "climate_control",
    "agent_message",
    "agent_x.y",
    "ritual_start.now",
    "force_update",
    "Agent_A",
    "x",
)
KEYS = (
    "mode",
    "note",
    "consent",
    "authorization",
    "consent_override",
    "override-consent",
    "consentOverride",
    "k",
    "for",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    0.0,
    -0.0,
    1,
    22.5,
    1e30,
    [],
    {},
    "",
    "no",
    "None",
    " off ",
    "yes",
    "denied",
    "Withdrawn",
)

FLAGGING = RuleSpec(
    "flagged",
    deny=False,
    scope=("metadata values", "payload strings", "raw bytes", "names"),
    markers=("farm", "no way"),
    exceptions=("no way out",),
)
EXCEPTING = RuleSpec(
    "excepting",
    scope=("metadata keys", "metadata values", "event type", "payload keys", "payload strings", "names"),
    markers=("force", "harm", "exploit"),
    exceptions=("force majeure", "no harm", "enforce force"),
    subjects=("x", "agent_*"),
)


def policies() -> list[NsrPolicy]:
    default = NsrPolicy.default()
    return [default, NsrPolicy((FLAGGING, EXCEPTING, *default.rules), opaque_denied=True)]


class Generator:
    """Random messages that mix markers, disguises, lookalikes and noise.

    Args:
        seed: makes them the same each time.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        pick = self.random
        parts = []
        for _ in range(pick.choice((1, 1, 1, 2, 3, 5))):
            word = pick.choice((pick.choice(MARKERS), pick.choice(NOISE), self.character(), "farm"))
            for _ in range(pick.choice((0, 0, 1, 1, 2))):
                word = pick.choice(CHANGES)(word) if len(word) > 2 else word
            parts.append(self.damaged(word))
        if pick.random() < 0.02:
            return self.nested(pick.choice(("", " ")).join(parts))
        return pick.choice(("", " ", "_", "", "-", "/", "+")).join(parts)

    def nested(self, text: str) -> str:
        """One disguise over another, past what the scanner undoes; few are long, which is what costs time."""
        most = self.random.choice((500, 500, 500, 3_000))
        for _ in range(self.random.randrange(3, 12)):
            text = self.random.choice(NESTING)(text) if 2 < len(text) < most else text
        return text

    def names(self) -> dict[str, str]:
        """Some of the other text fields."""
        pick = self.random
        if pick.random() < 0.8:
            return {}
        fields = {"source_node": self.text(), "target_node": self.text(), "reply_to": self.text()}
        fields["reply_to"] += pick.choice(("", ":1:2", ":0:18446744073709551615", ":01:2", ":1:"))
        return {name: text for name, text in fields.items() if pick.random() < 0.5 and len(text.encode()) <= 255}

    def payload(self) -> bytes:
        """Bytes that are no JSON, but may be text of some kind."""
        pick = self.random
        text = self.text()
        if pick.random() < 0.5:
            ends = (b"", b"", b"\xff", b"\xc3(", pick.randbytes(5))
            return b"- " + text.encode() + pick.choice(ends)
        form = pick.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"))
        text = pick.choice((text, json.dumps({"consent_override": text}), json.dumps([text, {"mode": text}]), "\x01x"))
        return text.encode(form) + pick.choice((b"", b"", b"\0", pick.randbytes(3)))

    def character(self) -> str:
        point = self.random.choice((self.random.randrange(0x20, 0x250), self.random.randrange(0x250, 0x11000)))
        point = self.random.choice((point, self.random.randrange(0x1D000, 0x1F800)))
        return chr(point) if not 0xD800 <= point <= 0xDFFF else "x"

    def damaged(self, word: str) -> str:
        pick = self.random
        if word and pick.random() < 0.15:
            at = pick.randrange(len(word))
            word = word[:at] + pick.choice(("", self.character(), "-", "A", "1", "%")) + word[at + 1 :]
        return word

    def value(self, depth: int = 0) -> Any:
        pick = self.random
        kind = pick.randrange(8 if depth < 4 else 5)
        if kind < 3:
            return self.text()
        if kind < 5:
            return pick.choice(VALUES)
        if kind == 5:
            return [self.value(depth + 1) for _ in range(pick.randrange(4))]
        if kind == 6:
            return [pick.choice(NOISE) for _ in range(pick.randrange(5))]
        return {self.key(): self.value(depth + 1) for _ in range(pick.randrange(3))}

    def key(self) -> str:
        return self.random.choice((self.random.choice(KEYS), self.text()))

    def metadata(self) -> dict[str, str]:
        pairs = {}
        for _ in range(self.random.randrange(3)):
            value = self.random.choice(VALUES)
            pairs[self.key()] = self.random.choice((value if isinstance(value, str) else "x", self.text()))
        return pairs

    def event_type(self) -> str:
        return self.random.choice(TYPES)


CHANGES = tuple(ALL_EVASIONS.values())
NESTING = (
    json.dumps,
    lambda text: json.dumps([text]),
    lambda text: json.dumps({"mode": text}),
    ALL_EVASIONS["percent: one percent"],
    ALL_EVASIONS["base64 and hex: base64"],
    ALL_EVASIONS["quoted-printable: soft line breaks"],
)


def agree_on(said: tuple[bool, str, str], meant: tuple[bool, str, str]) -> bool:
    """The reference does not reckon how much is searched: what it refuses may have been too much for the scanner."""
    return said == meant or (said == (False, "unscannable", "") and not meant[0])


def disagreement(policy: NsrPolicy, reference: Reference, generator: Generator) -> str:
    """Checks one random message in both formats; says how the two disagree."""
    event_type, metadata, data = generator.event_type(), generator.metadata(), generator.value()
    names = generator.names()
    escaped = generator.random.random() < 0.5
    payload = json.dumps(data, ensure_ascii=escaped).encode()
    line = json_line(event_type, metadata, data, ascii_only=escaped, **names)
    said = policy.scanner.scan_json(line)[:3]
    if said[1] == "malformed":
        return f"{line!r} is malformed: {said}"
    meant = reference.check(reference_message(event_type, metadata, payload, **names))
    if not agree_on(said, meant):
        return f"{line!r}: compiled {said}, reference {meant}"
    if names and generator.random.random() < 0.5:
        names["content_type"] = generator.text()[:60]
        meant = reference.check(reference_message(event_type, metadata, payload, **names))
    if generator.random.random() < 0.3:
        payload = generator.payload()
        meant = reference.check(reference_message(event_type, metadata, payload, is_json=False, **names))
    said = policy.scanner.scan_proto(proto_message(event_type, metadata, payload, **names))[:3]
    if agree_on(said, meant):
        return ""
    return f"{event_type} {metadata} {names} {payload!r}: compiled {said}, reference {meant}"


def agree(seed: int, count: int) -> None:
    generator = Generator(seed)
    pairs = [(policy, Reference(policy.rules, policy.opaque_denied)) for policy in policies()]
    wrong = []
    for number in range(count):
        difference = disagreement(*pairs[number % len(pairs)], generator)
        if difference:
            wrong.append(difference)
            if len(wrong) >= 5:
                break
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", range(4))
def test_compiled_and_reference_agree(seed: int) -> None:
    agree(seed, 500)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1010))
def test_compiled_and_reference_agree_on_a_million(seed: int) -> None:
    agree(seed, 100_000)
