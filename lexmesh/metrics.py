"""What an operator reads: a ledger snapshot as health JSON and as Prometheus text.

Pure functions of the snapshot, so that a gateway can answer ``GET /health`` and ``GET /metrics`` between two messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["HEALTH_CONTENT_TYPE", "METRICS_CONTENT_TYPE", "health_json", "prometheus_text"]

HEALTH_CONTENT_TYPE: Final = "application/json"
# The text format that every Prometheus since 2014 reads (prometheus.io/docs/instrumenting/exposition_formats).
METRICS_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Clients choose the subjects, and each is a time series for good: the busiest are named, the rest is summed.
MOST_SUBJECTS: Final = 200
OTHER_SUBJECTS: Final = "_other"

# Three policies' worth: an operator who reloads others again and again does not make time series without end.
MOST_RULES: Final = 200
OTHER_RULES: Final = "_other"

REDIS_LOSSES: Final = {
    "reconnects": "Connections to Redis that broke and were made again",
    "lost": "Messages published by other nodes that did not come through Redis",
    "refused": "Publications on Redis that no node of this mesh has made",
    "unpublished": "Messages that Redis did not let this node publish",
    "durable_lost": "Events for durable groups that were lost, by Redis or before it had them",
}

Ledger = Mapping[str, Any]


def health_json(ledger: Ledger, *, status: str = "active") -> bytes:
    """Answers a health check.

    Args:
        ledger: a snapshot, as a gateway's ``ledger()`` returns it.
        status: the node's state; anything but ``active`` is not healthy.

    Returns:
        One JSON object: ``healthy``, ``node_id``, ``status``, ``uptime`` (s), ``connections``, ``taken``, ``in_flight``
        and ``balanced``.
    """
    answer = {
        "healthy": status == "active",
        "node_id": ledger["node_id"],
        "status": status,
        "uptime": ledger["uptime"],
        "connections": ledger["connections"],
        "taken": ledger["taken"],
        "in_flight": ledger["egress"]["in_flight"],
        "balanced": ledger["balanced"],
    }
    return orjson.dumps(answer)


def prometheus_text(ledger: Ledger) -> bytes:
    """Renders a ledger for Prometheus.

    Args:
        ledger: a snapshot, as a gateway's ``ledger()`` returns it.

    Returns:
        The metrics in the text format, version 0.0.4.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(ledger))
    return generate_latest(registry)


class _Snapshot:
    """The collector that prometheus_client asks for its metrics."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        yield from _gauges(self._ledger)
        yield from _ingress(self._ledger)
        yield from _policy(self._ledger)
        yield from _egress(self._ledger)
        yield from _by_subject(self._ledger)
        if (redis := self._ledger.get("redis")) is not None:
            yield from _redis(redis)


def _gauges(ledger: Ledger) -> Iterator[Metric]:
    info = GaugeMetricFamily("lexmesh_node", "Always 1; the label names the node", labels=["node_id"])
    info.add_metric([ledger["node_id"]], 1)
    yield info
    yield GaugeMetricFamily("lexmesh_uptime_seconds", "Seconds since the gateway started", value=ledger["uptime"])
    yield GaugeMetricFamily("lexmesh_connections", "Clients connected now", value=ledger["connections"])
    yield GaugeMetricFamily(
        "lexmesh_egress_in_flight", "Messages routed, but not yet written out", value=ledger["egress"]["in_flight"]
    )
    yield GaugeMetricFamily("lexmesh_balanced", "1 while the ledger's sums agree", value=int(ledger["balanced"]))


def _ingress(ledger: Ledger) -> Iterator[Metric]:
    yield CounterMetricFamily("lexmesh_taken", "Messages taken in", value=ledger["taken"])
    outcomes = CounterMetricFamily("lexmesh_ingress", "Messages taken in, by their one outcome", labels=["outcome"])
    for outcome, count in ledger["ingress"].items():
        outcomes.add_metric([outcome], count)
    yield outcomes


def _policy(ledger: Ledger) -> Iterator[Metric]:
    yield _by_rule("lexmesh_denied", "Messages refused by the consent policy, by rule", ledger["denied_by_rule"])
    yield _by_rule("lexmesh_flagged", "Messages that passed, but that a rule flags", ledger["flagged_by_rule"])
    policy, audit = ledger["policy"], ledger["audit"]
    info = GaugeMetricFamily("lexmesh_policy", "Always 1; the label is the digest of the policy", labels=["digest"])
    info.add_metric([policy["digest"]], 1)
    yield info
    reloads = CounterMetricFamily("lexmesh_policy_reloads", "Times the policy was to be reloaded", labels=["result"])
    for result, count in policy["reloads"].items():
        reloads.add_metric([result], count)
    yield reloads
    yield CounterMetricFamily("lexmesh_audit_records", "Refusals and flags recorded", value=audit["total"])
    yield CounterMetricFamily("lexmesh_audit_lost", "Records that did not reach the audit file", value=audit["lost"])
    yield CounterMetricFamily(
        "lexmesh_audit_unheard", "Refusals that handlers of _lexmesh.denied were not told", value=audit["unheard"]
    )


def _by_rule(name: str, help: str, counts: Mapping[str, int]) -> Metric:
    """A counter by rule. Rules of every policy so far are in the ledger; the busiest are named, the rest is summed."""
    family = CounterMetricFamily(name, help, labels=["rule"])
    busiest = sorted(counts, key=lambda rule: -counts[rule])
    for rule in busiest[:MOST_RULES]:
        family.add_metric([rule], counts[rule])
    if rest := busiest[MOST_RULES:]:
        family.add_metric([OTHER_RULES], sum(counts[rule] for rule in rest))
    return family


def _egress(ledger: Ledger) -> Iterator[Metric]:
    egress = ledger["egress"]
    yield CounterMetricFamily("lexmesh_egress_offered", "Recipients that routed messages had", value=egress["offered"])
    outcomes = CounterMetricFamily("lexmesh_egress", "Offers to recipients, by their one outcome", labels=["outcome"])
    for outcome in ("delivered", "failed"):
        outcomes.add_metric([outcome], egress[outcome])
    outcomes.add_metric(["dropped"], sum(egress["dropped"].values()))
    yield outcomes
    dropped = CounterMetricFamily(
        "lexmesh_dropped", "Offers to recipients that were dropped, by reason", labels=["reason"]
    )
    for reason, count in egress["dropped"].items():
        dropped.add_metric([reason], count)
    yield dropped


def _redis(redis: Mapping[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily("lexmesh_redis_up", "1 while Redis is connected", value=int(redis["up"]))
    yield GaugeMetricFamily("lexmesh_redis_nodes", "Other nodes heard through Redis", value=len(redis["nodes"]))
    yield CounterMetricFamily("lexmesh_redis_publications", "Publications of other nodes", value=redis["publications"])
    for name, help in REDIS_LOSSES.items():
        yield CounterMetricFamily(f"lexmesh_redis_{name}", f"{help}, over all starts of this node", value=redis[name])


def _by_subject(ledger: Ledger) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "lexmesh_subject_messages",
        "Messages by subject, direction and outcome",
        labels=["subject", "direction", "outcome"],
    )
    for (subject, direction, outcome), count in _subject_counts(ledger["subjects"]).items():
        family.add_metric([subject, direction, outcome], count)
    yield family


def _subject_counts(subjects: Mapping[str, Any]) -> dict[tuple[str, str, str], int]:
    busiest = sorted(subjects, key=lambda subject: -_total(subjects[subject].get("ingress", {})))
    named = set(busiest[:MOST_SUBJECTS])
    counts: dict[tuple[str, str, str], int] = {}
    for subject in busiest:
        label = subject if subject in named else OTHER_SUBJECTS
        for direction, outcomes in subjects[subject].items():
            for outcome, count in outcomes.items():
                key = (label, direction, outcome)
                counts[key] = counts.get(key, 0) + _total(count)
    return counts


def _total(count: Any) -> int:
    """A count, or the sum of a dict of them, such as `dropped` by reason."""
    return sum(map(_total, count.values())) if isinstance(count, Mapping) else int(count)
