"""`lexmesh mesh start`: listening, health, metrics, signals, and what stops it from starting."""

import signal
import socket
import subprocess
import urllib.error
from pathlib import Path

import orjson
import pytest
from cli_process import COMMAND, PATIENCE, Running, assert_one_line, gateway, lexmesh, subscriber, until
from prometheus_client.parser import text_string_to_metric_families


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_it_and_the_ledger_is_its_last_word(number: signal.Signals) -> None:
    with gateway("--node-id", "edge-1") as running:
        assert lexmesh("pub", running.url, given=b"1\n2\n3\n").returncode == 0
        ledger = running.stop(number)
        assert (ledger["node_id"], ledger["taken"], ledger["balanced"]) == ("edge-1", 3, True)
        assert running.text("stderr") == ""


def test_says_in_one_line_where_it_listens() -> None:
    with Running("mesh", "start", "--port", "0", "--host", "127.0.0.1", "--node-id", "edge-1") as running:
        assert running.line().startswith(b"edge-1 listening on ws://127.0.0.1:")
        assert running.end(signal.SIGTERM) == 0
        assert len(running.seen["stdout"]) == 2
        assert running.seen["stdout"][1].startswith(b"edge-1 stopped: taken 0")
        assert b"balanced" in running.seen["stdout"][1]


def test_clients_of_a_stopping_gateway_learn_that_it_goes_away() -> None:
    with gateway() as running, subscriber(running.url, ">") as sub:
        running.stop()
        assert b"1001" in sub.line(of="stderr", having=b"disconnected")


def test_health_and_metrics_on_the_same_port(lax_file: str) -> None:
    with gateway("--node-id", "edge-1") as running:
        health = orjson.loads(running.get("/health"))
        assert (health["healthy"], health["node_id"], health["status"]) == (True, "edge-1", "active")
        lexmesh("pub", running.url, "climate_control", "--policy", lax_file, given=b"1\n2\n")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(running.get("/metrics").decode())
            for sample in family.samples
        }
        assert samples["lexmesh_taken_total",] == 2
        assert samples["lexmesh_denied_total", "authorization"] == 2
        with pytest.raises(urllib.error.HTTPError, match="404"):
            running.get("/nothing")


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_one_line(lexmesh("mesh", "start", "--port", str(port)), 1, f"port {port} on 127.0.0.1 is in use")


def test_an_address_that_is_not_ours() -> None:
    assert_one_line(lexmesh("mesh", "start", "--port", "0", "--host", "203.0.113.1"), 1, "203.0.113.1")
    assert_one_line(
        lexmesh("mesh", "start", "--port", "0", "--host", "no-such-host.invalid"), 1, "no-such-host.invalid"
    )


def test_bad_settings(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text('host = "127.0.0.1"\nwebsocket_port = = 1\n')
    assert_one_line(lexmesh("mesh", "start", "--config", str(file)), 1, f"{file}:2: not TOML")
    file.write_text('\n\ncolour = "red"\n')
    assert_one_line(lexmesh("mesh", "start", "--config", str(file)), 1, f"{file}:3: colour: unknown option")
    file.write_text("enable_websocket = false\n")
    assert_one_line(lexmesh("mesh", "start", "--config", str(file)), 1, "enable_websocket")
    assert_one_line(lexmesh("mesh", "start", "--config", "none.toml"), 1, "none.toml: no such file")
    result = lexmesh("mesh", "start", env={"LEXMESH_OVERFLOW": "explode"})
    assert_one_line(result, 1, "LEXMESH_OVERFLOW: overflow = 'explode'")


def test_bad_policy(tmp_path: Path) -> None:
    file = tmp_path / "nsr.toml"
    file.write_text("version = = 1\n")
    assert_one_line(lexmesh("mesh", "start", "--port", "0", "--policy", str(file)), 1, f"{file}:1: ")


def test_an_error_about_a_policy_names_what_named_the_file(tmp_path: Path) -> None:
    file, mesh = tmp_path / "nsr.toml", tmp_path / "mesh.toml"
    file.write_text("version = = 1\n")
    mesh.write_text('host = "127.0.0.1"\npolicy_file = "nsr.toml"\n')
    start = ("mesh", "start", "--port", "0")
    assert_one_line(lexmesh(*start, "--policy", str(file)), 1, f"lexmesh: --policy: {file}:1: ")
    assert_one_line(lexmesh(*start, "--config", str(mesh)), 1, f"lexmesh: {mesh}:2: {file}:1: ")
    environment = {"LEXMESH_POLICY_FILE": str(file)}
    for command in (start, ("pub", "ws://127.0.0.1:1"), ("sub", "ws://127.0.0.1:1", ">")):
        assert_one_line(lexmesh(*command, env=environment), 1, f"lexmesh: LEXMESH_POLICY_FILE: {file}:1: ")
    for command in (("pub", "ws://127.0.0.1:1"), ("policy", "scan")):
        assert_one_line(lexmesh(*command, "--policy", str(file)), 1, f"lexmesh: --policy: {file}:1: ")


def test_an_audit_file_that_cannot_be_written(tmp_path: Path) -> None:
    file, mesh = tmp_path / "none" / "audit.ndjson", tmp_path / "mesh.toml"
    mesh.write_text(f"websocket_port = 0\naudit_file = '{file}'\n")
    words = f"audit_file = '{file}': no such file or directory; name a file in a directory"
    start = ("mesh", "start", "--port", "0")
    assert_one_line(lexmesh(*start, "--audit-file", str(file)), 1, f"lexmesh: --audit-file: {words}")
    assert_one_line(lexmesh("mesh", "start", "--config", str(mesh)), 1, f"lexmesh: {mesh}:2: {words}")
    environment = {"LEXMESH_AUDIT_FILE": str(file)}
    assert_one_line(lexmesh(*start, env=environment), 1, f"lexmesh: LEXMESH_AUDIT_FILE: {words}")


def test_a_bad_option_is_named_as_it_was_given() -> None:
    result = lexmesh("mesh", "start", "--host", "", "--port", "0")
    assert_one_line(result, 1, "lexmesh: --host: host = '': ")


def test_options_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text('node_id = "of-file"\nwebsocket_port = 1\nmax_message_size = 2048\n')
    env = {"LEXMESH_NODE_ID": "of-environment"}
    with gateway("--config", str(file), env=env) as running:
        assert running.port != 1
        assert orjson.loads(running.get("/health"))["node_id"] == "of-environment"


def test_it_outlives_the_pipe_that_its_start_was_read_from() -> None:
    command = [*COMMAND, "mesh", "start", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    url = orjson.loads(process.stdout.readline())["listening"]
    process.stdout.close()
    assert lexmesh("pub", url, given=b"1\n").returncode == 0
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_connection_that_breaks_is_gone_from_the_health_report() -> None:
    with gateway() as running:
        with subscriber(running.url, ">") as sub:
            assert orjson.loads(running.get("/health"))["connections"] == 1
            sub.end(signal.SIGKILL)
        until(lambda: orjson.loads(running.get("/health"))["connections"] == 0, "the gateway to notice")
