"""A text that a message decodes to again is not searched again, and nothing passes for that."""

import sys
from base64 import b64encode
from typing import Any

import pytest
from nsr_messages import INSTRUCTION, json_line

from lexmesh._nsr_memo import siphash
from lexmesh.nsr import NsrPolicy

pytestmark = pytest.mark.core


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def said(event_type: str, data: Any, metadata: dict[str, str] | None = None) -> tuple[str, str]:
    _, rule, path, _ = NsrPolicy.default().scanner.scan_json(json_line(event_type, metadata, data))
    return rule, path


@pytest.mark.skipif(sys.byteorder != "little", reason="words are read as the machine has them")
@pytest.mark.parametrize(
    ("length", "hashed"),
    [
        (0, "a3817f04ba25a8e66df67214c7550293"),
        (1, "da87c1d86b99af44347659119b22fc45"),
        (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
        (63, "5150d1772f50834a503e069a973fbd7c"),
    ],
)
def test_the_hash_is_siphash(length: int, hashed: str) -> None:
    """Vectors of the reference implementation, github.com/veorq/SipHash, vectors.h."""
    assert siphash(bytes(range(16)), bytes(range(length))).hex() == hashed


def test_a_secret_has_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes is needed, not 3"):
        siphash(b"abc", b"")


@pytest.mark.parametrize("key", ["consent_override", "%63onsent_override", base64("consent_override")])
def test_a_key_seen_before_is_a_key_again(key: str) -> None:
    path = f"data[2].{key}"
    assert said("sensor_reading", [key, {key: "no"}, {key: "yes"}]) == ("consent-override", path)
    inner = f'[{{"{key}": "no"}}, {{"{key}": "yes"}}]'
    assert said("sensor_reading", {"note": inner}) == ("consent-override", "data.note")
    assert said("sensor_reading", {"note": inner.replace("yes", "no")}) == ("", "")


def test_a_value_seen_before_is_a_value_again() -> None:
    metadata = {"note": "%64enied", "%63onsent": "yes", "%43onsent": "%64enied"}
    assert said("sensor_reading", 1, metadata) == ("consent-withdrawn", "metadata.%43onsent")


def test_words_are_looked_for_where_only_keys_were() -> None:
    hidden = base64("force them all")
    assert said(INSTRUCTION, [{hidden: 1}]) == ("marker-instruction", f"data[0].{hidden}")
    assert said("sensor_reading", {hidden: hidden}, {"note": hidden}) == ("marker-metadata", "metadata.note")


@pytest.mark.parametrize("times", range(9))
def test_what_was_left_too_deep_is_searched_further_up(times: int) -> None:
    hidden = base64("run " + base64("force it, now"))
    wrapped = hidden
    for _ in range(times):
        wrapped = base64(wrapped)
    rule, path = said(INSTRUCTION, [wrapped, hidden])
    assert (rule, path) == ("marker-instruction", "data[0]" if times + 2 < 8 else "data[1]")


def test_what_would_be_too_deep_is_so_if_it_was_seen_further_up() -> None:
    calm = base64("run " + base64("the pump, now"))
    wrapped = calm
    for _ in range(6):
        wrapped = base64(wrapped)
    assert said(INSTRUCTION, [calm]) == ("", "")
    assert said(INSTRUCTION, [wrapped]) == said(INSTRUCTION, [calm, wrapped]) == ("unscannable", "")


def test_more_texts_than_it_keeps() -> None:
    texts = [base64(f"the pump of unit {number} is calm") for number in range(6_000)]
    assert said(INSTRUCTION, texts + texts) == ("", "")
    hidden = base64("force them all")
    assert said(INSTRUCTION, [*texts, *texts, hidden]) == ("marker-instruction", "data[12000]")


def test_what_repeats_costs_little() -> None:
    """Each of these wrappings is undone twice, as it is and as ASCII, which comes to the same text."""
    text = "the pump of unit 7 is calm, " * 4_000
    for _ in range(6):
        text = "é " + base64(text)
    assert said(INSTRUCTION, text) == ("", "")
