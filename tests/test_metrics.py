"""Health JSON and Prometheus text from a ledger snapshot, read back by other parsers."""

import copy
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families

from lexmesh.metrics import MOST_RULES, MOST_SUBJECTS, health_json, prometheus_text

LEDGER: dict[str, Any] = {
    "node_id": 'edge "1"\\a',
    "uptime": 12.5,
    "connections": 3,
    "taken": 11,
    "ingress": {
        "routed": 6,
        "denied": 2,
        "filtered": 0,
        "expired": 0,
        "duplicate": 1,
        "looped": 0,
        "malformed": 1,
        "unroutable": 1,
    },
    "egress": {
        "offered": 12,
        "delivered": 7,
        "failed": 1,
        "dropped": {"overflow": 2, "disconnected": 1},
        "in_flight": 1,
    },
    "denied_by_rule": {"consent-override": 2},
    "flagged_by_rule": {"watched": 5},
    "audit": {"total": 8, "lost": 3, "unheard": 1},
    "policy": {"digest": "abc123", "reloads": {"ok": 4, "failed": 6}},
    "subjects": {
        "bio_sync": {
            "ingress": {"routed": 6, "denied": 2},
            "egress": {"delivered": 7, "dropped": {"overflow": 2, "disconnected": 1}},
        }
    },
    "links": [],
    "balanced": True,
}


def samples(ledger: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """Metric name and label values to value, by prometheus_client's own parser."""
    families = text_string_to_metric_families(prometheus_text(ledger).decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_health_names_the_node_and_its_state() -> None:
    assert orjson.loads(health_json(LEDGER)) == {
        "healthy": True,
        "node_id": 'edge "1"\\a',
        "status": "active",
        "uptime": 12.5,
        "connections": 3,
        "taken": 11,
        "in_flight": 1,
        "balanced": True,
    }


def test_not_healthy_when_draining_but_when_out_of_balance_it_only_says_so() -> None:
    draining = orjson.loads(health_json(LEDGER, status="draining"))
    assert (draining["healthy"], draining["status"]) == (False, "draining")
    unbalanced = orjson.loads(health_json({**LEDGER, "balanced": False}))
    assert (unbalanced["healthy"], unbalanced["balanced"]) == (True, False)


def test_every_outcome_is_a_sample() -> None:
    found = samples(LEDGER)
    for outcome, count in LEDGER["ingress"].items():
        assert found["lexmesh_ingress_total", outcome] == count
    assert found["lexmesh_taken_total",] == 11
    assert found["lexmesh_egress_offered_total",] == 12
    assert found["lexmesh_egress_total", "delivered"] == 7
    assert found["lexmesh_egress_total", "dropped"] == 3
    assert found["lexmesh_egress_total", "failed"] == 1
    assert found["lexmesh_dropped_total", "overflow"] == 2
    assert found["lexmesh_egress_in_flight",] == 1
    assert found["lexmesh_denied_total", "consent-override"] == 2
    assert found["lexmesh_balanced",] == 1


def test_the_sums_agree_in_what_prometheus_reads() -> None:
    found = samples(LEDGER)
    ingress = sum(value for key, value in found.items() if key[0] == "lexmesh_ingress_total")
    egress = sum(value for key, value in found.items() if key[0] == "lexmesh_egress_total")
    assert ingress == found["lexmesh_taken_total",]
    assert egress + found["lexmesh_egress_in_flight",] == found["lexmesh_egress_offered_total",]


def test_the_policy_and_its_audit() -> None:
    found = samples(LEDGER)
    assert found["lexmesh_flagged_total", "watched"] == 5
    assert found["lexmesh_policy", "abc123"] == 1
    assert found["lexmesh_policy_reloads_total", "ok"] == 4
    assert found["lexmesh_policy_reloads_total", "failed"] == 6
    assert found["lexmesh_audit_records_total",] == 8
    assert found["lexmesh_audit_lost_total",] == 3
    assert found["lexmesh_audit_unheard_total",] == 1


def test_rules_of_many_policies_do_not_multiply_without_end() -> None:
    counts = {f"rule-{n}": n + 1 for n in range(MOST_RULES + 10)}
    found = samples({**LEDGER, "denied_by_rule": counts})
    by_rule = {key[-1]: value for key, value in found.items() if key[0] == "lexmesh_denied_total"}
    assert len(by_rule) == MOST_RULES + 1
    assert by_rule["_other"] == sum(range(1, 11))


def test_labels_are_escaped() -> None:
    assert samples(LEDGER)["lexmesh_node", 'edge "1"\\a'] == 1


def test_subjects_that_clients_make_up_do_not_multiply_without_end() -> None:
    ledger = copy.deepcopy(LEDGER)
    count = MOST_SUBJECTS + 50
    ledger["subjects"] = {f"made.up.{n}": {"ingress": {"routed": n + 1}} for n in range(count)}
    by_subject = {
        key[-1]: value for key, value in samples(ledger).items() if key[0] == "lexmesh_subject_messages_total"
    }
    assert len(by_subject) == MOST_SUBJECTS + 1
    assert by_subject[f"made.up.{count - 1}"] == count
    assert by_subject["_other"] == sum(range(1, 51))


def test_redis_shows_where_a_node_uses_it() -> None:
    state = {
        "up": True,
        "nodes": ["a", "b"],
        "publications": 7,
        "reconnects": 1,
        "lost": 2,
        "refused": 3,
        "unpublished": 4,
        "durable_lost": 5,
    }
    families = text_string_to_metric_families(prometheus_text({**LEDGER, "redis": state}).decode())
    found = {sample.name: sample.value for family in families for sample in family.samples if "redis" in sample.name}
    assert found == {
        "lexmesh_redis_up": 1,
        "lexmesh_redis_nodes": 2,
        "lexmesh_redis_publications_total": 7,
        "lexmesh_redis_reconnects_total": 1,
        "lexmesh_redis_lost_total": 2,
        "lexmesh_redis_refused_total": 3,
        "lexmesh_redis_unpublished_total": 4,
        "lexmesh_redis_durable_lost_total": 5,
    }
    assert b"redis" not in prometheus_text(LEDGER)
