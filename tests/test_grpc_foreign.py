"""Node's @grpc/grpc-js with the published .proto, against the gateway's process."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import PATIENCE, Gateway
from foreign_clients import FOREIGN
from grpc_process import grpc_address, grpc_gateway
from requirements import absent

EVENTS = 10_000
FORCED = "denied: consent-override at metadata.consent_override"
CALL_FORCED = "denied: marker-metadata at metadata.x-note"


@pytest.fixture(scope="module")
def found(root: Path) -> Any:
    """What the client saw, and the gateway's ledger after it."""
    if (node := shutil.which("node")) is None:
        absent("no node: apt-get install nodejs npm")
    if subprocess.run([node, "-e", "require.resolve('@grpc/grpc-js')"], cwd=FOREIGN, capture_output=True).returncode:
        absent(f"node has no @grpc/grpc-js: npm ci --prefix {os.path.relpath(FOREIGN)}")
    with grpc_gateway() as running:
        return _seen_by(node, root, running)


def _seen_by(node: str, root: Path, running: Gateway) -> dict[str, Any]:
    proto = root / "protos/lexmesh/v1/internode.proto"
    command = [node, FOREIGN / "grpc_client.js", proto, grpc_address(running), str(EVENTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "ledger": running.stop()}


def test_health(found: Any) -> None:
    assert (found["health"]["healthy"], found["health"]["status"]) == (True, "active")
    assert found["health"]["node_id"] == found["ledger"]["node_id"]


def test_unary(found: Any) -> None:
    assert (found["reading"]["success"], found["reading"]["message"]) == (True, "unroutable")
    assert found["reading"]["response_id"].startswith(found["ledger"]["node_id"] + ":")
    for name, said in [("denied", FORCED), ("denied_call", CALL_FORCED), ("denied_bytes", CALL_FORCED + "-bin")]:
        assert (found[name]["success"], found[name]["message"], found[name]["response_id"]) == (False, said, "")


def test_ten_thousand_events_with_every_tenth_denied(found: Any) -> None:
    assert found["stream"]["code"] == "OK"
    assert found["stream"]["answers"] == [
        [False, FORCED] if n % 10 == 9 else [True, "unroutable"] for n in range(EVENTS)
    ]


def test_ten_megabytes_are_refused(found: Any) -> None:
    assert found["too_big"]["code"] == "RESOURCE_EXHAUSTED"
    assert found["too_big_in_stream"]["code"] == "RESOURCE_EXHAUSTED", "grpc itself cuts the call, answers and all"


def test_what_is_no_message_is_refused(found: Any) -> None:
    assert found["undecodable"]["code"] == "INVALID_ARGUMENT"
    assert found["undecodable"]["details"].startswith("malformed message: ")


def test_the_ledger(found: Any) -> None:
    ledger = found["ledger"]
    assert ledger["balanced"]
    assert ledger["ingress"]["denied"] == EVENTS // 10 + 3
    assert ledger["ingress"]["unroutable"] - EVENTS * 9 // 10 in (1, 2), "the one before the large one may be cut too"
    assert ledger["ingress"]["malformed"] == 1
