"""Patterns of subjects: which match, and which are covered by others; held against a plain reading of the rules."""

from hypothesis import given
from hypothesis import strategies as st

from lexmesh.transports.subject_patterns import PatternTree, without_covered

TOKENS = st.sampled_from(["a", "b"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
HEADS = st.lists(st.sampled_from(["a", "b", "*"]), max_size=3)
PATTERNS = st.sets(
    st.tuples(HEADS, st.sampled_from(["a", "*", ">"])).map(lambda parts: ".".join([*parts[0], parts[1]])), max_size=8
)


def matches(pattern: str, subject: str) -> bool:
    tokens, found = pattern.split("."), subject.split(".")
    if tokens[-1] == ">":
        tokens, found = tokens[:-1], found[: len(tokens) - 1] if len(found) >= len(tokens) else []
        if not found and tokens:
            return False
    return len(tokens) == len(found) and all(one in ("*", other) for one, other in zip(tokens, found, strict=True))


@given(PATTERNS, SUBJECTS)
def test_a_tree_finds_what_matches(patterns: set[str], subject: str) -> None:
    assert sorted(PatternTree(patterns).matching(subject)) == sorted(one for one in patterns if matches(one, subject))


@given(PATTERNS, st.lists(SUBJECTS, max_size=20))
def test_what_is_covered_is_not_missed(patterns: set[str], subjects: list[str]) -> None:
    plain, wildcards = without_covered(patterns)
    assert plain | wildcards <= patterns
    for subject in subjects:
        kept = [one for one in plain | wildcards if matches(one, subject)]
        assert bool(kept) == any(matches(one, subject) for one in patterns)
    for one in wildcards:
        assert PatternTree(wildcards).covering(one) == [one]


def test_covering() -> None:
    assert without_covered(["a.>", "a.*", "a.b", "a.*.>", "b.*"]) == (set(), {"a.>", "b.*"})
    assert without_covered([">", "a", "*"]) == (set(), {">"})
    assert without_covered(["a.*", "a.>", "a"]) == ({"a"}, {"a.>"})
    assert without_covered(["*.>", "a.>", "*"]) == (set(), {"*.>", "*"})
    assert without_covered(["a.*", "*.b", "a.b.c"]) == ({"a.b.c"}, {"a.*", "*.b"})
