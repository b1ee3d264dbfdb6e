"""Subjects to recipients: against a naive matcher, while subscriptions come and go, and past every bound."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh import StreamPipeline, SubjectError
from lexmesh._router import Endpoint, check_pattern

pytestmark = pytest.mark.core

MAX_SUBJECTS = 16384


class Listeners:
    """A pipeline whose handlers write down which of them ran."""

    def __init__(self, *patterns: str) -> None:
        self.pipeline = StreamPipeline("node")
        self.source = Endpoint()
        self.ran: list[str] = []
        self.endpoints = {pattern: self.add(pattern) for pattern in patterns}

    def add(self, pattern: str):
        return self.pipeline.subscribe(pattern, None, lambda _event, _source: self.ran.append(pattern))

    def send(self, subject: str, **fields: object) -> str | None:
        message = json.dumps({"type": subject, **fields}).encode()
        return self.pipeline.core.feed(message, "json", self.source, 1)

    def heard(self, subject: str) -> list[str]:
        self.ran.clear()
        outcome = self.send(subject)
        assert outcome == ("routed" if self.ran else "unroutable")
        return list(self.ran)


def naive(pattern: str, subject: str) -> bool:
    """NATS' rules, token by token."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(given) < len(wanted):
            return False
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(w in {"*", g} for w, g in zip(wanted, given, strict=True))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a", ["a"], ["b", "a.b", "aa", "A"]),
        ("*", ["a", "b-", "é"], ["a.b", "a.b.c"]),
        (">", ["a", "a.b", "a.b.c"], []),
        ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.b"]),
        ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
        ("*.b", ["a.b", "b.b"], ["b", "a.c", "a.b.b"]),
        ("*.*", ["a.b"], ["a", "a.b.c"]),
        ("*.>", ["a.b", "a.b.c"], ["a"]),
        ("a.*.c.>", ["a.b.c.d", "a.x.c.d.e"], ["a.b.c", "a.c.d", "a.b.x.d"]),
        ("a.b", ["a.b"], ["a.b.c", "a", "ab", "a.bb"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    listeners = Listeners(pattern)
    for subject in matching:
        assert listeners.heard(subject) == [pattern], subject
    for subject in others:
        assert listeners.heard(subject) == [], subject


tokens = st.sampled_from(["a", "b", "c", "aa"])
subjects = st.lists(tokens, min_size=1, max_size=4).map(".".join)
patterns = st.tuples(st.lists(st.one_of(tokens, st.just("*")), min_size=0, max_size=4), st.sampled_from(["", ">"])).map(
    lambda parts: ".".join([*parts[0], *([">"] if parts[1] or not parts[0] else [])])
)


@given(st.lists(patterns, max_size=8, unique=True), st.lists(subjects, min_size=1, max_size=8))
def test_agrees_with_a_naive_matcher(subscribed: list[str], sent: list[str]) -> None:
    listeners = Listeners(*subscribed)
    for subject in sent:
        assert sorted(listeners.heard(subject)) == sorted(p for p in subscribed if naive(p, subject)), subject


@given(st.lists(st.tuples(st.booleans(), patterns, subjects), max_size=30))
def test_changes_take_effect_at_once(changes: list[tuple[bool, str, str]]) -> None:
    listeners = Listeners()
    router = listeners.pipeline.core.router
    live: dict[str, Endpoint] = {}
    for subscribe, pattern, subject in changes:
        if subscribe and pattern not in live:
            live[pattern] = listeners.add(pattern)
        elif not subscribe and pattern in live:
            assert router.unsubscribe(pattern, live.pop(pattern))
        assert sorted(listeners.heard(subject)) == sorted(p for p in live if naive(p, subject))


def test_an_endpoint_gets_a_message_once_however_many_patterns_match() -> None:
    listeners = Listeners("a.b")
    endpoint = listeners.endpoints["a.b"]
    router = listeners.pipeline.core.router
    for pattern in ("a.*", ">", "*.b", "a.b"):
        router.subscribe(pattern, endpoint)
    assert listeners.heard("a.b") == ["a.b"]
    assert router.unsubscribe("a.b", endpoint)
    assert not router.unsubscribe("a.b", endpoint)
    assert listeners.heard("a.b") == ["a.b"]
    router.forget(endpoint)
    assert listeners.heard("a.b") == []


def test_recipients_of_a_pattern_in_the_order_they_subscribed() -> None:
    listeners = Listeners()
    order: list[int] = []
    for i in range(20):
        listeners.pipeline.subscribe("a", None, lambda _event, _source, i=i: order.append(i))
    listeners.send("a")
    assert order == list(range(20))


@pytest.mark.parametrize(
    "pattern",
    ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "\x00", "a\x7f", ">.a", "a.>.b", "x" * 256, "é" * 128],
)
def test_what_is_not_a_pattern(pattern: str) -> None:
    with pytest.raises(SubjectError):
        check_pattern(pattern)
    listeners = Listeners()
    with pytest.raises(SubjectError):
        listeners.add(pattern)
    assert listeners.heard("a") == []


def test_the_longest_pattern() -> None:
    longest = "x" * 255
    assert Listeners(longest).heard(longest) == [longest]


def test_handlers_may_change_subscriptions_while_they_run() -> None:
    listeners = Listeners()
    router = listeners.pipeline.core.router
    ran: list[str] = []

    def first(_event: object, _source: object) -> None:
        ran.append("first")
        router.forget(second)
        listeners.pipeline.subscribe("a", None, lambda _e, _s: ran.append("late"))

    listeners.pipeline.subscribe("a", None, first)
    second = listeners.pipeline.subscribe("a", None, lambda _e, _s: ran.append("second"))
    listeners.send("a")
    assert ran == ["first", "second"], "a route in use is finished as it was"
    ran.clear()
    listeners.send("a")
    assert ran == ["first", "late"]


def test_more_subjects_than_have_entries() -> None:
    listeners = Listeners("s.*", "t.*.x")
    total = MAX_SUBJECTS + 500
    for i in range(total):
        assert listeners.send(f"s.{i}") == "routed"
    assert len(listeners.ran) == total
    assert listeners.heard("t.1.x") == ["t.*.x"], "subjects that share an entry still have their own route"
    assert listeners.heard("t.1.y") == []
    late = listeners.add("s.late")
    assert sorted(listeners.heard("s.late")) == ["s.*", "s.late"]
    listeners.pipeline.core.router.forget(late)
    assert listeners.heard("s.late") == ["s.*"]
    ledger = listeners.pipeline.ledger()
    assert len(ledger["subjects"]) == MAX_SUBJECTS + 1
    assert ledger["subjects"]["(other)"]["ingress"]["routed"] == total - MAX_SUBJECTS + 3
    assert ledger["balanced"]


def test_reserved_types_stay_reserved_past_the_bound() -> None:
    listeners = Listeners(">")
    for i in range(MAX_SUBJECTS + 1):
        listeners.send(f"_lexmesh.{i}")
    assert listeners.ran == [], "reserved types are never routed"
    for i in range(MAX_SUBJECTS + 1):
        listeners.send(f"s.{i}")
    before = len(listeners.ran)
    listeners.send("_lexmesh.subscribe")
    assert len(listeners.ran) == before == MAX_SUBJECTS + 1
    ledger = listeners.pipeline.ledger()
    assert ledger["taken"] == MAX_SUBJECTS + 1
    assert not any(subject.startswith("_lexmesh.") for subject in ledger["subjects"])


def test_the_latest_bearer_of_a_name_has_it() -> None:
    listeners = Listeners()
    router = listeners.pipeline.core.router
    first, second = listeners.add("first"), listeners.add("second")
    router.name(first, "n")
    assert listeners.send("x", target_node="n") == "routed"
    assert listeners.ran == ["first"]
    router.name(second, "n")
    router.forget(first)
    assert listeners.send("x", target_node="n") == "routed"
    assert listeners.ran == ["first", "second"]
    router.name(second, "m")
    assert listeners.send("x", target_node="n") == "unroutable"
    assert listeners.send("x", target_node="m") == "routed"
    router.forget(second)
    assert listeners.send("x", target_node="m") == "unroutable"
    assert listeners.pipeline.ledger()["balanced"]
