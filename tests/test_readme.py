"""The README's snippets run as they stand, each as a script of its own."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(script: str) -> str:
    process = start(script)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    return out


@pytest.fixture
def gateway() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The README's server on a free port, which stands in for 8765."""
    port = free_port()
    process = start(SNIPPETS["server"].replace("8765", str(port)))
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            assert time.monotonic() < deadline, "the README's server does not listen"
    yield port, process
    process.kill()
    process.communicate()


def test_every_python_snippet_is_run() -> None:
    assert README.count("```python") == len(SNIPPETS) == 14


def test_client_reaches_the_server_and_sigterm_ends_it_cleanly(gateway: tuple[int, subprocess.Popen[str]]) -> None:
    port, server = gateway
    run(SNIPPETS["client"].replace("8765", str(port)))
    server.terminate()
    out, err = server.communicate(timeout=30)
    assert "Bio-sync received: {'frequency': 0.0043, 'phase': 'synchronizing'" in out
    assert (server.returncode, err) == (0, "")


def test_grpc_client_reaches_the_grpc_server() -> None:
    port = str(free_port())
    server = start(SNIPPETS["grpc_server"].replace("50051", port))
    deadline = time.monotonic() + 30
    while "cannot connect" in (out := try_to_run(SNIPPETS["grpc_client"].replace("50051", port))):
        assert server.poll() is None, server.stderr.read()  # type: ignore[union-attr]
        assert time.monotonic() < deadline, "the README's gRPC server does not listen"
    assert out.splitlines() == [
        "True routed",
        "routed",
        "routed",
        "routed",
        "3 sent, 3 accepted",
        "denied: consent-override at metadata.consent_override",
    ]
    server.terminate()
    heard, complaints = server.communicate(timeout=30)
    assert (heard.count("Bio event received"), complaints, server.returncode) == (4, "", 0)


def try_to_run(script: str) -> str:
    """What a script prints, on both outputs."""
    process = start(script)
    out, err = process.communicate(timeout=60)
    return out + err


def test_requests_subscriptions_and_streams(gateway: tuple[int, subprocess.Popen[str]]) -> None:
    port, _ = gateway
    lines = run(SNIPPETS["stream"].replace("8765", str(port))).splitlines()
    assert sorted(lines) == sorted(
        [
            "greenhouse 21.5",
            "greenhouse 21.7",
            "greenhouse 22.0",
            "bio_sync_ack ok",
            "denied: consent-override at metadata.consent_override",
            "4 taken in, 4 routed",
        ]
    )


def test_a_mesh_of_two() -> None:
    assert run(SNIPPETS["mesh"].replace("8765", str(free_port()))).splitlines() == [
        "Received agent message: {'text': 'hello'}",
        "{'twice': 42}",
        "{'recursion_depth': 13} 1",
    ]


def test_the_bus_of_a_mesh() -> None:
    assert run(SNIPPETS["mesh_bus"].replace("8765", str(free_port()))).splitlines() == [
        "Ritual event: {'phase': 'ascending', 'ritual_type': 'golden_spiral', 'node_id': 'first'}",
        "1 heard of others",
    ]


def test_tasks_and_a_queue_group() -> None:
    *lines, one, two, three = run(SNIPPETS["tasks"].replace("8765", str(free_port()))).splitlines()
    readings = one, two, three
    assert lines == [
        "22.0",
        "task 'average': there are no values (tried shed)",
        "task 'irrigate': no node that is there takes such tasks; known are lab (none), shed (average)",
    ]
    assert sorted(readings) == ["reading 0", "reading 1", "reading 2"]


def test_a_simulated_mesh() -> None:
    assert run_quietly(SNIPPETS["simulation"]) == "1 True\n"


def run_quietly(script: str) -> str:
    """What a script prints on stdout; it may log that links are down."""
    process = start(script)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_pipeline_alone() -> None:
    assert run(SNIPPETS["pipeline"]) == ""


def test_refusals_are_heard_of() -> None:
    assert run(SNIPPETS["denied"]).splitlines() == ["consent-override at metadata.consent_override", "1 deny"]


def test_filters_and_transformers() -> None:
    lines = run(SNIPPETS["filters"]).splitlines()
    assert lines == ["{'fahrenheit': 68.0}", "Outcome(status='routed', rule='', path='')", "filtered"]


def test_the_parts_of_the_mesh_alone() -> None:
    assert run(SNIPPETS["event_bus"]) == "Recursion depth reached: 42\n"
    lines = run(SNIPPETS["mesh_parts"]).splitlines()
    assert lines == ["22.0", "spore_lab", "True 232558 ms"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the block waits with curl")
def test_the_reload_block_is_a_script(tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n([^`]*kill -HUP[^`]*)```", README)
    port = str(free_port())
    (tmp_path / "lexmesh").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lexmesh.cli "$@"\n')
    (tmp_path / "lexmesh").chmod(0o755)
    shutil.copy(ROOT / "lexmesh" / "nsr" / "default.toml", tmp_path / "my-policy.toml")
    script = block.replace("8765", port) + "kill -TERM $!\nwait $!\n"
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LEXMESH_WEBSOCKET_PORT": port}
    found = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert "stopped" in found.stdout
