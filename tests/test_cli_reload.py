"""SIGHUP and the audit file of `lexmesh mesh start`, as an operator has them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
from cli_process import PATIENCE, Gateway, gateway, lexmesh, until
from prometheus_client.parser import text_string_to_metric_families

RULE = '[[rule]]\nname = "no-{marker}"\nscope = ["metadata values"]\nmarkers = ["{marker}"]\n'
SECRET = "swordfish"


def write(path: Path, marker: str) -> None:
    path.write_text(RULE.format(marker=marker))


def denied_by_rule(url: str, *colours: str, options: tuple[str, ...] = ()) -> dict[str, int]:
    """Publishes one message for each colour; how many of them each rule refused."""
    found: dict[str, int] = {}
    for colour in colours:
        result = lexmesh("pub", url, *options, "-m", f"note={colour} {SECRET}", "--json", given=b'"swordfish"\n')
        for rule, count in orjson.loads(result.stdout)["denied_by_rule"].items():
            found[rule] = found.get(rule, 0) + count
    return found


def hang_up(running: Gateway) -> str:
    """Sends SIGHUP; what the gateway says to it."""
    running.process.send_signal(signal.SIGHUP)
    return running.line(of="stderr", having=b"lexmesh.policy").decode()


def samples(running: Gateway) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(running.get("/metrics").decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_reload_with_good_and_bad_files(tmp_path: Path) -> None:
    policy, audit = tmp_path / "p.toml", tmp_path / "audit.ndjson"
    write(policy, "red")
    checked = lexmesh("policy", "check", str(policy)).stdout.decode().split()
    with gateway("--policy", str(policy), "--audit-file", str(audit)) as running:
        assert denied_by_rule(running.url, "red", "blue") == {"no-red": 1}
        write(policy, "blue")
        said = hang_up(running)
        assert f"policy reloaded from {policy}: {checked[-1][:12]} -> " in said
        assert denied_by_rule(running.url, "red", "blue") == {"no-blue": 1}

        policy.write_text("[[rule]]\nname = = 3\n")
        said = hang_up(running)
        assert "ERROR" in said
        assert f"stays in force: {policy}:2: not TOML" in said
        assert denied_by_rule(running.url, "red", "blue") == {"no-blue": 1}
        policy.unlink()
        assert f"stays in force: {policy}: No such file" in hang_up(running)
        assert denied_by_rule(running.url, "red", "blue") == {"no-blue": 1}
        write(policy, "red")
        hang_up(running)
        assert denied_by_rule(running.url, "red", "blue") == {"no-red": 1}

        found = samples(running)
        assert found["lexmesh_policy", checked[-1]] == 1
        assert (found["lexmesh_policy_reloads_total", "ok"], found["lexmesh_policy_reloads_total", "failed"]) == (2, 2)
        assert (found["lexmesh_audit_records_total",], found["lexmesh_audit_lost_total",]) == (5, 0)
        assert "Traceback" not in running.text("stderr")
        ledger = running.stop()
        assert ledger["denied_by_rule"] == {"no-red": 2, "no-blue": 3}
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [record["rule"] for record in records] == ["no-red", "no-blue", "no-blue", "no-blue", "no-red"]
    assert records[0]["policy"] == records[-1]["policy"] == checked[-1] != records[1]["policy"]
    assert all(record["source"].startswith("pub_") and record["id"].endswith(":1") for record in records)
    assert all(record["link"].startswith("127.0.0.1:") and record["path"] == "metadata.note" for record in records)
    assert SECRET not in audit.read_text()


def test_hangup_without_a_policy_file_changes_nothing() -> None:
    with gateway() as running:
        assert "came from no file" in hang_up(running)
        assert denied_by_rule(running.url, "force") == {"marker-metadata": 1}
        running.stop()


def test_the_audit_file_is_rotated_and_set_by_the_environment(tmp_path: Path, lax_file: str) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    env = {
        "LEXMESH_AUDIT_FILE": str(directory / "audit.ndjson"),
        "LEXMESH_AUDIT_FILE_BYTES": "4096",
        "LEXMESH_AUDIT_FILES": "2",
    }
    with gateway(env=env) as running:
        lexmesh("pub", running.url, "--policy", lax_file, "-m", f"note=force {SECRET}", given=b"1\n" * 100)
        until(lambda: samples(running)["lexmesh_audit_records_total",] == 100, "the records")
        running.stop()
    assert sorted(os.listdir(directory)) == ["audit.ndjson", "audit.ndjson.1", "audit.ndjson.2"]
    lines = [line for path in directory.iterdir() for line in path.read_text().splitlines()]
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) < 100
    assert all(path.stat().st_size <= 4096 for path in directory.iterdir())
    assert not any(SECRET in line for line in lines)


def test_a_disk_that_is_full_stops_neither_policing_nor_the_node(lax_file: str) -> None:
    with gateway("--audit-file", "/dev/full") as running:
        assert denied_by_rule(running.url, "force", "force", options=("--policy", lax_file)) == {"marker-metadata": 2}
        until(lambda: samples(running)["lexmesh_audit_lost_total",] == 2, "the lost records")
        assert running.stop()["audit"]["lost"] == 2
        assert running.text("stderr").count("no space left on device") == 1


SCRIPT = """
import logging
from lexmesh import WebSocketServer

class Told(WebSocketServer):
    async def start(self):
        await super().start()
        print(f"ws://127.0.0.1:{self.port}", flush=True)

logging.basicConfig(level="INFO")
Told("script", port=0).run()
"""


def test_a_plain_script_hears_it_too(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    write(policy, "red")
    env = {**os.environ, "LEXMESH_POLICY_FILE": str(policy)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True
    )
    try:
        url = process.stdout.readline().strip()
        write(policy, "blue")
        process.send_signal(signal.SIGHUP)
        while "policy reloaded" not in process.stderr.readline():
            assert process.poll() is None
        assert denied_by_rule(url, "red", "blue") == {"no-blue": 1}
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
