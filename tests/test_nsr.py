"""The scanner's verdicts: which rule, at which path, and that it fails closed."""

import itertools
import json
import random
from typing import Any

import pytest
from nsr_messages import json_line, proto_message

from lexmesh.nsr import NsrPolicy, RuleSpec, Verdict

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def policy() -> NsrPolicy:
    return NsrPolicy.default()


def check(policy: NsrPolicy, event_type: str, metadata: dict[str, str] | None = None, data: Any = None) -> Verdict:
    return policy.check_json(json_line(event_type, metadata, data))


@pytest.mark.parametrize(
    ("event_type", "metadata", "data", "rule", "path"),
    [
        ("x", {"consent_override": "force"}, 1, "consent-override", "metadata.consent_override"),
        ("x", {"consentOverride": "yes"}, 1, "consent-override", "metadata.consentOverride"),
        ("x", {}, {"a": [1, {"override-consent": True}]}, "consent-override", "data.a[1].override-consent"),
        ("x", {}, {"consent_override": [0, {"b": "no"}, "on"]}, "consent-override", "data.consent_override"),
        ("x", {}, {"note": '{"consent_override": 1}'}, "consent-override", "data.note"),
        ("x", {"consent": "Withdrawn"}, 1, "consent-withdrawn", "metadata.consent"),
        ("x", {"consent": "r-e-v-o-k-e-d"}, 1, "consent-withdrawn", "metadata.consent"),
        ("x", {"mode": "please force it"}, 1, "marker-metadata", "metadata.mode"),
        ("x", {"harm": "1"}, 1, "marker-metadata", "metadata.harm"),
        ("force.x", {}, 1, "marker-metadata", "event_type"),
        ('["ha","rm"]', {}, 1, "marker-metadata", "event_type"),
        ("x", {"for": "ce"}, 1, "marker-metadata", "metadata.for"),
        ("x", {"note": 'f"o"r"c"e'}, 1, "marker-metadata", "metadata.note"),
        ("x", {"note": 'f" "o" "r" "c" "e'}, None, "marker-metadata", "metadata.note"),
        ("agent_x", {}, 'f"o"r"c"e', "marker-instruction", "data"),
        ("agent_x", {}, {"harm": {"=63onsent_override": 1}}, "consent-override", "data.harm.=63onsent_override"),
        ("agent_x", {}, {"steps": [0, 1, {"mode": "force"}]}, "marker-instruction", "data.steps[2].mode"),
        ("agent_x", {}, {"steps": ["ex", "plo", "it"]}, "marker-instruction", "data.steps"),
        ("agent_x", {}, {"steps": [["ha"], ["rm"]]}, "marker-instruction", "data.steps"),
        ("agent_x", {}, "harm", "marker-instruction", "data"),
        ("agent_x.y", {}, ["a", "harm"], "marker-instruction", "data[1]"),
        ("climate_control", {}, {"target": 21}, "authorization", "metadata.authorization"),
        ("climate_control", {"authorization": " \u200b"}, {}, "authorization", "metadata.authorization"),
    ],
)
def test_a_refusal_names_rule_and_path(
    policy: NsrPolicy, event_type: str, metadata: dict[str, str], data: Any, rule: str, path: str
) -> None:
    verdict = check(policy, event_type, metadata, data)
    assert (verdict.allowed, verdict.rule, verdict.path) == (False, rule, path)
    assert rule in verdict.reason


@pytest.mark.parametrize(
    "value", [None, False, 0, 0.0, "", "none", "No", " OFF ", "denied", [], {}, [0, {"a": [None, "false"]}]]
)
def test_an_explicit_negative_overrides_nothing(policy: NsrPolicy, value: Any) -> None:
    assert check(policy, "x", {}, {"consent_override": value}).allowed


@pytest.mark.parametrize("value", ["nо", "not now", 1, True, "0x0", 0.1, -1, ["no", "maybe"], {"a": {"b": "yes"}}])
def test_anything_else_overrides_consent(policy: NsrPolicy, value: Any) -> None:
    assert check(policy, "x", {}, {"consent_override": value}).rule == "consent-override"


def test_telemetry_may_speak_of_force(policy: NsrPolicy) -> None:
    assert check(policy, "sensor_reading", {}, {"force_n": 3.2, "status": "no harm detected"}).allowed


def test_a_verdict_never_repeats_the_text(policy: NsrPolicy) -> None:
    verdict = check(policy, "agent_x", {}, {"plan": "secret words then force"})
    assert "secret" not in repr(verdict)


def test_a_path_is_printable_and_short(policy: NsrPolicy) -> None:
    path = check(policy, "x", {"\x1b[31m force " + "k" * 500: "1"}).path
    assert path.isprintable()
    assert len(path) <= len("metadata.") + 64


def test_what_cannot_be_decoded_is_malformed(policy: NsrPolicy) -> None:
    verdict = policy.check_json(b'{"type": "x", "data": nope}')
    assert (verdict.allowed, verdict.rule) == (False, "malformed")
    assert "byte 22" in verdict.reason


def test_flagged_messages_pass_and_are_marked() -> None:
    rule = RuleSpec("watch", deny=False, scope=("metadata values",), markers=("rumour",))
    policy = NsrPolicy((rule, *NsrPolicy.default().rules))
    assert check(policy, "x", {"note": "a rumour"}) == Verdict(True, flag="watch")
    assert check(policy, "x", {"note": "rumour of force"}).rule == "marker-metadata"


def test_exceptions_cover_only_their_own_phrase() -> None:
    rule = RuleSpec("words", scope=("metadata values",), markers=("force",), exceptions=("force majeure",))
    policy = NsrPolicy((rule,))
    assert check(policy, "x", {"note": "clause: Force Majeure."}).allowed
    assert not check(policy, "x", {"note": "force majeure, then force"}).allowed
    assert not check(policy, "x", {"note": "force majeures"}).allowed


@pytest.mark.parametrize("denied", [False, True])
def test_opaque_payloads(denied: bool) -> None:
    policy = NsrPolicy(NsrPolicy.default().rules, opaque_denied=denied)
    allowed, rule, path, _ = policy.scanner.scan_proto(proto_message("sensor_reading", {}, b"\xff\x00\x01"))
    assert (allowed, rule, path) == ((False, "opaque", "data") if denied else (True, "", ""))


def test_raw_bytes_are_searched_when_asked() -> None:
    policy = NsrPolicy((RuleSpec("raw", scope=("raw bytes",), markers=("harm",)),))
    assert policy.scanner.scan_proto(proto_message("x", {}, b"\xff\xfe harm \x00"))[:3] == (False, "raw", "data")


WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("form", [*WIDE, "utf-8-sig"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_payload_in_another_unicode_form_is_read(policy: NsrPolicy, form: str, mark: str) -> None:
    def rule_of(event_type: str, text: str) -> str:
        message = proto_message(event_type, {}, (mark + text).encode(form))
        return str(policy.scanner.scan_proto(message)[1])

    assert rule_of("agent_x", "go, force it") == "marker-instruction"
    assert rule_of("agent_x", '{"mode": "ｆｏｒｃｅ"}') == "marker-instruction"
    assert rule_of("sensor_reading", '{"a": [1, {"consent_override": "yes"}]}') == "consent-override"
    assert rule_of("sensor_reading", '[{"consent_override": "no"}, "no harm detected"]') == ""
    assert rule_of("agent_x", "Die Wärme im Gewächshaus, 22 °C") == ""
    assert rule_of("agent_x", "температура в теплице, 22 градуса") == ""


def test_random_bytes_are_no_text(policy: NsrPolicy) -> None:
    pick = random.Random(4)
    for size in range(4, 2_000):
        payload = b"\xff" + pick.randbytes(size)
        assert policy.scanner.scan_proto(proto_message("agent_x", {}, payload))[0]
        assert policy.scanner.scan_proto(proto_message("agent_x", {}, b"\xff\xfe" + payload))[0]


def nested(text: str, times: int) -> str:
    for _ in range(times):
        text = json.dumps([text])
    return text


@pytest.mark.parametrize("times", range(12))
def test_json_in_strings_is_followed_and_then_refused(policy: NsrPolicy, times: int) -> None:
    """The payload's own strings, seven decodings of them, and no further."""
    too_deep = times > 7
    verdict = check(policy, "agent_x", {}, nested("force", times))
    assert verdict.rule == "marker-instruction"  # backslashes and quotes around a word hide nothing
    verdict = check(policy, "sensor_reading", {}, nested('{"consent_override": "yes"}', times))
    assert verdict.rule == ("unscannable" if times > 6 else "consent-override")
    verdict = check(policy, "sensor_reading", {}, nested("the sensor is calm", times))
    assert verdict.rule == ("unscannable" if too_deep else "")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"content_type": "text/plain; note=force them"}, "content_type"),
        ({"content_type": "text/aGFybQ=="}, "content_type"),
        ({"content_type": '["ha", "rm"]'}, "content_type"),
        ({"reply_to": "please f-o-r-c-e them"}, "reply_to"),
        ({"reply_to": '{"steps": ["ha", "rm"]}:01:2'}, "reply_to"),
        ({"reply_to": "force-sensor-3:1:2"}, ""),
        ({"source_node": "force-sensor-3", "target_node": "harm-index"}, ""),
        ({"content_type": "application/json", "reply_to": "node:1:2"}, ""),
    ],
)
def test_fields_beside_the_metadata(policy: NsrPolicy, fields: dict[str, str], path: str) -> None:
    allowed, rule, where, _ = policy.scanner.scan_proto(proto_message("sensor_reading", {}, b"1", **fields))
    assert (allowed, rule, where) == (not path, "marker-metadata" if path else "", path)


@pytest.mark.parametrize("name", ["source_node", "target_node", "reply_to"])
def test_names_are_searched_when_asked(name: str) -> None:
    policy = NsrPolicy((RuleSpec("names", scope=("names",), markers=("force",)),))
    assert check(policy, "force", {"force": "force"}, "force").allowed
    for text in ("force-sensor-3:1:2", "%66orce:1:2"):
        raw = json_line("x", {}, 1, **{name: text})
        assert policy.scanner.scan_json(raw)[:3] == (False, "names", name)
    assert policy.scanner.scan_json(json_line("x", {}, 1, **{name: "workforce-1:1:2"}))[0]


def test_the_place_of_a_word_in_payload_and_name_is_the_payload() -> None:
    policy = NsrPolicy((RuleSpec("words", scope=("payload strings", "names"), markers=("force",)),))
    raw = json_line("x", {}, ["force"], target_node="force")
    assert policy.scanner.scan_json(raw)[:3] == (False, "words", "data[0]")


def test_a_flag_for_a_name_hides_no_payload_that_is_too_deep() -> None:
    policy = NsrPolicy((RuleSpec("watch", deny=False, scope=("payload strings", "names"), markers=("farm",)),))
    raw = json_line("x", {}, nested("calm", 8), target_node="farm")
    assert policy.scanner.scan_json(raw)[:3] == (False, "unscannable", "")


def test_what_costs_too_much_work_is_refused(policy: NsrPolicy) -> None:
    """Disguise over disguise, each of which can be undone in more than one way."""
    text = "calm %26 &amp;lt; é 22 33 44 =41 " * 4_000
    assert check(policy, "agent_x", {}, text).allowed
    for _ in range(5):
        text = "é " + text.replace("=", "=3D").replace("&", "%26").replace("%", "&#37;")
    assert check(policy, "agent_x", {}, text).rule == "unscannable"


def letters(number: int) -> str:
    return "".join("bcdfghjklmnpqrstvwxz"[number // 20**place % 20] for place in range(5))


def test_five_thousand_markers_are_all_found() -> None:
    markers = tuple("q" + letters(number * 577 % 3_200_000) for number in range(5_000))
    policy = NsrPolicy((RuleSpec("many", scope=("metadata values",), markers=markers),))
    assert all(not check(policy, "x", {"note": f"a {marker.upper()}."}).allowed for marker in markers)
    assert check(policy, "x", {"note": " ".join(marker + "e" for marker in markers[:100])}).allowed


def test_every_vector_width_says_the_same() -> None:
    from lexmesh._nsr import Scanner

    rules = NsrPolicy.default().rules
    scanners = [Scanner("", rules, False, width) for width in (0, 1, 2)]
    texts = ("calm", "f-o-r-c-e", "aGFybQ", "I2hhcm0=", "6861726d", "%66orce", "h@rm", "é", "x|p", "force")
    for text, pad in itertools.product(texts, range(0, 140, 3)):
        raw = json_line("agent_x", {"n": "a " * pad + text}, {"t": " " * pad + text + " " * (pad % 70)})
        assert len({scanner.scan_json(raw) for scanner in scanners}) == 1


def test_a_withdrawn_rule_set_has_another_digest(policy: NsrPolicy) -> None:
    assert policy.digest == NsrPolicy.default().digest == policy.scanner.digest
    assert policy.digest != NsrPolicy(policy.rules[1:]).digest


def test_policy_check_takes_events(policy: NsrPolicy) -> None:
    class Event:
        def to_proto(self) -> bytes:
            return proto_message("agent_x", {}, json.dumps({"mode": "harm"}).encode())

    assert policy.check(Event()).path == "data.mode"
