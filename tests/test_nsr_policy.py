"""Policies as data: what is read, and how mistakes are told."""

from pathlib import Path

import pytest

from lexmesh.errors import PolicyError
from lexmesh.nsr import NsrPolicy

RULE = '[[rule]]\nname = "r"\nscope = ["metadata values"]\nmarkers = ["force"]\n'


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[[rule]\n", 1, "not TOML"),
        ("", 0, "needs rules"),
        ('colour = "red"\n' + RULE, 1, "unknown key 'colour'"),
        ("# mine\n" + RULE.replace("[[rule]]", "[[rules]]"), 2, "unknown key 'rules'"),
        ("# mine\n" + RULE.replace("[[rule]]", "[rule]"), 2, "write each as a [[rule]] table"),
        ('[[rule]]\nname = "r"\nrequires = "x"\nscope = ["payload keys"]\n', 4, "'scope' does not go with 'requires'"),
        ('opaque = "maybe"\n' + RULE, 1, "opaque must be"),
        (RULE + "severity = 3\n", 5, "unknown key 'severity'"),
        (RULE.replace('"force"', '"force", " "'), 4, "is empty"),
        (RULE.replace('"force"', '"--"'), 4, "normalises to nothing"),
        (RULE.replace('"force"', '"сила"'), 4, "no Latin reading"),
        (RULE.replace('markers = ["force"]', "markers = []"), 4, "'markers' is empty"),
        (RULE.replace('"metadata values"', '"metadata"'), 3, "unknown scope 'metadata'"),
        (RULE.replace('scope = ["metadata values"]\n', ""), 1, "needs a scope"),
        (RULE + 'action = "log"\n', 5, "action must be"),
        (RULE + 'subjects = ["a..b"]\n', 5, "not a subject"),
        (RULE + 'keys = ["x"]\n', 1, "exactly one of"),
        (RULE + 'unless = ["no"]\n', 5, "only goes with 'keys'"),
        (RULE + RULE, 6, "two rules are called 'r'"),
        (RULE.replace('"r"', '"malformed"'), 2, "lexmesh itself"),
        (RULE.replace('"r"', '"A b"'), 2, "lower-case"),
        (RULE + 'except = [\n  "force majeure",\n  "force"]\n', 7, "overlaps the marker"),
        (RULE + 'except = ["good morning"]\n', 5, "holds none"),
        (RULE + 'except = ["force majeure", "by force majeure"]\n', 5, "overlaps the exception 'force majeure'"),
        (RULE + 'except = ["force majeure", "Force-Majeure"]\n', 5, "the exception 'Force-Majeure' is there twice"),
        (RULE + "about = 3\n", 5, "must be a string"),
    ],
)
def test_a_bad_policy_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(PolicyError) as caught:
        NsrPolicy.loads(text, "p.toml")
    assert caught.value.file == "p.toml"
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_markers_with_inflections(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        '[[rule]]\nname = "r"\nscope = ["event type"]\n[rule.markers]\nharm = ["harms"]\noverride_consent = []\n'
    )
    policy = NsrPolicy.load(file)
    assert policy.rules[0].markers == ("harm", "harms", "override_consent")
    assert not policy.check_json(b'{"type": "override.consent"}').allowed


@pytest.mark.parametrize("key", ["except", "subjects", "about", "name"])
def test_a_key_of_the_rule_is_no_marker(key: str) -> None:
    header = '[[rule]]\nname = "r"\nscope = ["payload strings"]\n'
    with pytest.raises(PolicyError) as caught:
        NsrPolicy.loads(f'{header}[rule.markers]\nforce = ["forced"]\n{key} = ["force majeure"]\n', "p.toml")
    assert str(caught.value).startswith(f"p.toml:6: {key!r} stands under [rule.markers]; move it above that line")
    policy = NsrPolicy.loads(f'{header}markers = ["force", "{key}"]\n')  # as the error says it is done
    assert not policy.check_json(b'{"type": "a", "data": "%s"}' % key.encode()).allowed


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        NsrPolicy.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="not UTF-8"):
        NsrPolicy.load(tmp_path / "bad.toml")


def test_a_byte_order_mark_is_no_part_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(RULE, "utf-8-sig")
    assert NsrPolicy.load(tmp_path / "p.toml").digest == NsrPolicy.loads(RULE).digest


def test_the_default_policy_has_the_five_rules() -> None:
    names = [rule.name for rule in NsrPolicy.default().rules]
    assert names == ["consent-override", "consent-withdrawn", "marker-metadata", "marker-instruction", "authorization"]


def test_the_digest_ignores_layout_and_explanations() -> None:
    spaced = RULE.replace("=", " = ") + 'about = "words"\n# a comment\n'
    assert NsrPolicy.loads(RULE).digest == NsrPolicy.loads(spaced).digest


def test_a_laxer_policy_is_a_policy() -> None:
    default = NsrPolicy.default()
    laxer = default.without("authorization", "marker-instruction")
    line = b'{"type":"climate_control","data":"force it"}'
    assert (default.check_json(line).allowed, laxer.check_json(line).allowed) == (False, True)
    assert not laxer.check_json(b'{"type":"a","metadata":{"consent":"denied"}}').allowed
    assert laxer.digest != default.digest
    assert default.without().digest == default.digest


def test_no_policy_is_without_rules() -> None:
    default = NsrPolicy.default()
    with pytest.raises(ValueError, match="no rule is called 'authorisation'; there are consent-override, "):
        default.without("authorisation")
    with pytest.raises(ValueError, match="needs rules"):
        default.without(*(rule.name for rule in default.rules))
    with pytest.raises(ValueError, match="needs rules"):
        NsrPolicy(())
