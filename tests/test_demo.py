"""`lexmesh demo`: three processes whose sums agree, and sums that can disagree."""

import copy
import os
import signal
from typing import Any

import orjson
import psutil
import pytest
from cli_process import PATIENCE, Running, lexmesh, until

from lexmesh.cli.demo_ledger import Accounts, checks
from lexmesh.cli.demo_roles import CONTROL, GATEWAY, SENSOR
from lexmesh.cli.demo_sensor import readings


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    done = lexmesh("demo", "--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr
    return orjson.loads(done.stdout)


def test_every_sum_agrees(result: dict[str, Any]) -> None:
    assert result["balanced"] is True
    assert [check["claim"] for check in result["checks"] if not check["agrees"]] == []
    assert len(result["checks"]) >= 10


def test_something_of_each_kind_happened(result: dict[str, Any]) -> None:
    assert result["sent"] > 40
    assert result["delivered"] > 40
    assert result["dropped"] == 0
    denied = result["denied_by_rule"]
    assert denied.keys() == {
        "authorization", "consent-override", "consent-withdrawn", "marker-metadata", "marker-instruction",
    }  # fmt: skip
    assert len(set(denied.values())) == 1
    assert sum(denied.values()) == result["denied"] == result["denied_before_sending"] > 0


def test_plain_lines_then_the_ledger() -> None:
    done = lexmesh("demo", "--seconds", "2")
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    lines = text.splitlines()
    assert any("taken" in line and "cpu" in line for line in lines)
    assert lines[-1] == "balanced"
    assert lines[-2].startswith("sent ")
    assert "\x1b" not in text


def test_readings_are_this_host_s() -> None:
    found = {data["sensor"]: data for _, data in readings()}
    assert 0 <= found["cpu"]["value"] <= 100
    assert found["memory"]["value"] == pytest.approx(psutil.virtual_memory().percent, abs=10)


def children(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children(recursive=True)


def talking(running: Running) -> list[psutil.Process]:
    running.line(having=b"cpu")
    found = children(running)
    assert len(found) == 3
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_nodes_end_with_their_parent(number: signal.Signals, code: int) -> None:
    with Running("demo", "--seconds", "60") as running:
        nodes = talking(running)
        assert running.end(number) == code
        _, alive = psutil.wait_procs(nodes, timeout=PATIENCE)
        assert alive == []
        assert "Traceback" not in running.text("stderr")


@pytest.mark.parametrize("role", [GATEWAY, SENSOR, CONTROL])
def test_a_node_that_dies_is_a_failure(role: str) -> None:
    with Running("demo", "--seconds", "3") as running:
        nodes = talking(running)
        next(node for node in nodes if role in node.cmdline()).kill()
        assert running.end() == 1
        assert "balanced" not in running.text("stdout")
        assert running.text("stderr").splitlines()[-1].startswith("lexmesh: ")
        assert "Traceback" not in running.text("stderr")


def test_three_processes_on_loopback() -> None:
    with Running("demo", "--seconds", "60") as running:
        nodes = talking(running)
        assert len({node.pid for node in nodes} | {os.getpid()}) == 4
        addresses = until(
            lambda: [c.raddr.ip for node in nodes for c in node.net_connections() if c.raddr], "connections"
        )
        assert set(addresses) == {"127.0.0.1"}


def agreeing() -> Accounts:
    """Final reports as a short demo would give them: 10 readings, 5 steps of the scenario, 2 denied at both ends."""
    rules = {"authorization": 2}
    ledger = {
        "taken": 16,
        "undecided": 0,
        "ingress": {"routed": 14, "denied": 2},
        "denied_by_rule": rules,
        "egress": {"offered": 15, "delivered": 14, "failed": 0, "dropped": {"overflow": 1}, "in_flight": 0},
        "links": [{"name": SENSOR, "egress": {"delivered": 1}}, {"name": CONTROL, "egress": {"delivered": 11}}],
        "balanced": True,
    }
    sensor = {
        "sent": 10,
        "published": 10,
        "received": 1,
        "handled": {"climate_control": 1},
        "receipt": {"taken": 10, "routed": 10, "denied": 0},
    }
    control = {
        "sent": 2,
        "published": 2,
        "received": 11,
        "handled": {"sensor_reading": 10},
        "expected_denials": rules.copy(),
        "denied_here": rules.copy(),
        "receipt": {"taken": 2, "routed": 2, "denied": 0},
        "unpoliced": {"sent": 3, "published": 3, "receipt": {"taken": 3, "routed": 1, "denied": 2}},
        "replies": 1,
    }
    return Accounts({"ledger": ledger, "handled": 2}, sensor, control)


CORRUPTIONS = [
    ("sensor", "sent"),
    ("sensor", "published"),
    ("sensor", "received"),
    ("sensor", "receipt", "taken"),
    ("sensor", "receipt", "denied"),
    ("sensor", "receipt", "routed"),
    ("sensor", "handled", "climate_control"),
    ("control", "sent"),
    ("control", "published"),
    ("control", "received"),
    ("control", "handled", "sensor_reading"),
    ("control", "expected_denials", "authorization"),
    ("control", "receipt", "taken"),
    ("control", "receipt", "routed"),
    ("control", "receipt", "denied"),
    ("control", "denied_here", "authorization"),
    ("control", "unpoliced", "sent"),
    ("control", "unpoliced", "published"),
    ("control", "unpoliced", "receipt", "taken"),
    ("control", "unpoliced", "receipt", "routed"),
    ("control", "replies"),
    ("gateway", "handled"),
    ("gateway", "ledger", "taken"),
    ("gateway", "ledger", "ingress", "routed"),
    ("gateway", "ledger", "ingress", "denied"),
    ("gateway", "ledger", "egress", "offered"),
    ("gateway", "ledger", "egress", "delivered"),
    ("gateway", "ledger", "egress", "failed"),
    ("gateway", "ledger", "egress", "in_flight"),
    ("gateway", "ledger", "egress", "dropped", "overflow"),
    ("gateway", "ledger", "denied_by_rule", "authorization"),
    ("gateway", "ledger", "links", 0, "egress", "delivered"),
]


def test_sums_agree_before_anything_is_changed() -> None:
    assert [check for check in checks(agreeing()) if not check.agrees] == []


@pytest.mark.parametrize("path", CORRUPTIONS, ids=lambda path: ".".join(map(str, path)))
def test_one_message_too_many_anywhere_is_noticed(path: tuple[Any, ...]) -> None:
    accounts = copy.deepcopy(agreeing())
    target: Any = getattr(accounts, path[0])
    for key in path[1:-1]:
        target = target[key]
    target[path[-1]] += 1
    assert [check for check in checks(accounts) if not check.agrees]
