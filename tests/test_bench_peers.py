"""The comparison with peers: a quick run of it works, it leaves nothing behind, and it cannot be fooled."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from raw_ws import eventually
from requirements import absent

import lexmesh

BENCH = Path(__file__).resolve().parent.parent / "bench"
PACKAGES = os.pathsep.join([str(BENCH), str(Path(lexmesh.__file__).parents[1])])
MISSING = 2
INTERRUPTED = 130
RELAYED = {"bare relay", "lexmesh", "lexmesh proto", "lexmesh proto x64", "nats-server", "redis-server"}


def command(*options: str, **env: str) -> dict[str, Any]:
    return {
        "args": [sys.executable, "-m", "peers", *options],
        "env": {**os.environ, "PYTHONPATH": PACKAGES, **env},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


@pytest.fixture
def peers() -> None:
    """Skips where the peers are not installed; `make bench` installs them."""
    found = subprocess.run(**command("--check"))
    if found.returncode == MISSING:
        absent(found.stderr.strip())


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def test_a_missing_peer_ends_the_run_and_names_what_to_install() -> None:
    found = subprocess.run(**command("--quick", PATH="/nowhere"))
    assert found.returncode == MISSING
    assert "no redis-server; install it: apt install redis-server" in found.stderr
    assert not found.stdout


def test_a_quick_relay_has_everybody_in_it(peers: None, tmp_path: Path) -> None:
    found = subprocess.run(**command("--quick", "--only", "relay", "--json", "--record", str(tmp_path)))
    assert found.returncode == 0, found.stderr
    run = json.loads(found.stdout)
    assert {name for row in run["rows"] for name in row["figures"]} == RELAYED
    assert all(figure["min"] > 0 for row in run["rows"] for figure in row["figures"].values())
    assert all(target["against"] for row in run["rows"] for target in row["targets"])
    assert [json.loads(path.read_text()) for path in tmp_path.iterdir()] == [run]


async def test_an_interrupted_run_leaves_no_process(peers: None) -> None:
    with subprocess.Popen(**command("--only", "memory")) as bench:  # noqa: ASYNC220 (nothing else runs here)
        started = psutil.Process(bench.pid)
        await eventually(lambda: len(started.children()) == 2, "a gateway and the load generator")
        children = started.children()
        bench.send_signal(signal.SIGINT)
        _, complaint = bench.communicate(timeout=20)
    assert bench.returncode == INTERRUPTED
    assert complaint.splitlines()[-1] == "bench: interrupted"
    assert not [child for child in children if child.is_running()]


@pytest.mark.parametrize("fault", ["none", "lost", "changed"])
def test_the_load_generator_finds_what_a_server_loses_or_changes(package: None, fault: str) -> None:
    from peers.generator import Generator, LoadError
    from peers.lane import Incoming, Lane, Outgoing

    publisher, server_in = socket.socketpair()
    server_out, subscriber = socket.socketpair()
    message = b"number 000000000 of many\n"

    def serve() -> None:
        with contextlib.suppress(OSError), server_in.makefile("rb") as lines:
            for number, line in enumerate(lines):
                if number == 500 and fault == "lost":
                    continue
                server_out.sendall(line.replace(b"many", b"MANY") if number == 500 and fault == "changed" else line)

    lane = Lane(publisher, [subscriber], Outgoing(message, 7), Incoming("fixed", message, 7))
    server = threading.Thread(target=serve)
    server.start()
    try:
        with Generator() as generator:
            if fault == "none":
                assert generator.run(lane, 1000).messages == 1000
            else:
                with pytest.raises(LoadError, match="not what was sent" if fault == "changed" else "502, not .*501"):
                    generator.run(lane, 1000)
    finally:
        publisher.close()
        subscriber.close()
        server_in.shutdown(socket.SHUT_RDWR)
        server.join()
        server_in.close()
        server_out.close()


def test_a_ratio_is_taken_round_by_round_to_the_best_of_the_others(package: None) -> None:
    from peers.figures import Row, Target

    samples = {"lexmesh": [10.0, 20.0, 30.0], "a": [40.0, 100.0, 60.0], "b": [50.0, 80.0, 400.0]}
    row = Row("s", "w", "ns", samples, [Target("at most", 0.25, ("a", "b")), Target("at least", 0.3, ("a",))])
    assert row.targets[0].values(samples) == [0.25, 0.25, 0.5]
    assert [target["holds"] for target in row.as_json()["targets"]] == [True, False]
    assert row.as_json()["figures"]["lexmesh"]["median"] == 20.0
