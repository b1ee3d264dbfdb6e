"""No disguise gets through, and no honest text is refused."""

import pytest
from nsr_evasions import ALL_EVASIONS, EVASIONS, MARKERS
from nsr_honest import HONEST, WORD_LIST
from nsr_messages import json_line
from nsr_table import false_alarms, missed, pair_rate
from requirements import absent

from lexmesh.nsr import NsrPolicy

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def policy() -> NsrPolicy:
    return NsrPolicy.default()


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(MARKERS) >= 8
    assert len(ALL_EVASIONS) >= 40


@pytest.mark.parametrize("group", EVASIONS)
def test_no_disguise_gets_through(policy: NsrPolicy, group: str) -> None:
    assert missed(policy, group) == []


def test_most_pairs_of_disguises_are_caught(policy: NsrPolicy) -> None:
    rate, lost = pair_rate(policy, 3_000)
    assert rate > 0.93, lost.most_common(10)


@pytest.mark.parametrize("group", HONEST)
def test_honest_text_passes(policy: NsrPolicy, group: str) -> None:
    texts = HONEST[group]()
    if group == "words that hold a marker" and not texts:
        absent(f"no {WORD_LIST}: apt-get install wamerican")
    assert texts
    assert false_alarms(policy, texts) == []


@pytest.mark.parametrize(
    ("event_type", "metadata", "data"),
    [
        ("sensor_reading", {}, {"force_n": 3.2, "status": "no harm detected"}),
        ("system_metric", {"unit": "N"}, {"harmful": False, "text": "brute force attack stopped"}),
        (
            "bio_sync",
            {},
            {"frequency": 0.0043, "phase": "synchronizing", "mycelium_nodes": ["node_01", "node_02", "node_03"]},
        ),
        ("sensor_reading", {"sensor_id": "bio_sensor_01", "consent": "granted"}, "temperature:22.5C,humidity:65%"),
        ("climate_control", {"authorization": "token-7"}, {"target": 21.5}),
        ("ritual_start", {}, {"ritual_type": "fibonacci_recursion"}),
        ("agent_message", {}, {"agent_id": "fibonacci_agent", "message": "Recursion depth reached: 42"}),
    ],
)
def test_what_the_seeds_allow_passes(
    policy: NsrPolicy, event_type: str, metadata: dict[str, str], data: object
) -> None:
    assert policy.check_json(json_line(event_type, metadata, data)).allowed


def test_a_marker_is_found_at_any_position(policy: NsrPolicy) -> None:
    for at in [*range(0, 200), 4_095, 65_535, 900_000]:
        text = " ".join(["calm"] * (at // 5)) + "." * (at % 5) + " force "
        assert not policy.check_json(json_line("agent_message", {}, {"text": text + "calm " * 9})).allowed
