"""`lexmesh policy check` and `policy scan`."""

import subprocess
from pathlib import Path

import orjson
from cli_process import COMMAND, PATIENCE, Running, assert_one_line, lexmesh

ALLOWED = b'{"type":"sensor_reading","data":{"force_n":3}}'
MESSAGES = [
    (ALLOWED, True, None),
    (b'{"type":"climate_control","data":{}}', False, "authorization"),
    (b'{"type":"climate_control","data":{},"metadata":{"authorization":"key"}}', True, None),
    (b'{"type":"bio_sync","data":{"consent_override":"force"}}', False, "consent-override"),
    (b'{"type":"sensor_reading","metadata":{"note":"exploit"}}', False, "marker-metadata"),
    (b'{"type":"agent_message","data":"force it"}', False, "marker-instruction"),
    (b"{nonsense", False, "malformed"),
    (b'{"type":"a","type":"b"}', False, "malformed"),
    (b"", False, "malformed"),
]


def test_one_verdict_a_line_in_order(tmp_path: Path) -> None:
    messages = b"\n".join(message for message, _, _ in MESSAGES) + b"\n"
    file = tmp_path / "messages.jsonl"
    file.write_bytes(messages)
    for result in (lexmesh("policy", "scan", given=messages), lexmesh("policy", "scan", str(file))):
        assert result.returncode == 0, result.stderr
        verdicts = [orjson.loads(line) for line in result.stdout.splitlines()]
        assert [verdict["allowed"] for verdict in verdicts] == [allowed for _, allowed, _ in MESSAGES]
        denials = [verdict["rule"] for verdict in verdicts if not verdict["allowed"]]
        assert denials == [rule for _, allowed, rule in MESSAGES if not allowed]
        assert all(verdict.keys() == {"allowed", "rule", "path", "reason", "flag"} for verdict in verdicts)


def test_a_message_that_passes_with_a_flag_says_which(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text('[[rule]]\nname = "urgent"\naction = "flag"\nscope = ["payload strings"]\nmarkers = ["urgent"]\n')
    messages = b'{"type":"note","data":"urgent"}\n{"type":"note","data":"calm"}\n'
    result = lexmesh("policy", "scan", "--policy", str(policy), given=messages)
    verdicts = [orjson.loads(line) for line in result.stdout.splitlines()]
    assert [(verdict["allowed"], verdict["flag"]) for verdict in verdicts] == [(True, "urgent"), (True, "")]


def test_a_refusal_never_repeats_the_text() -> None:
    result = lexmesh("policy", "scan", given=b'{"type":"x","metadata":{"note":"exploit the swordfish"}}\n')
    assert orjson.loads(result.stdout)["allowed"] is False
    assert b"swordfish" not in result.stdout


def test_answers_while_the_input_is_still_open() -> None:
    with Running("policy", "scan") as scan:
        for _ in range(3):
            scan.process.stdin.write(ALLOWED + b"\n")
            scan.process.stdin.flush()
            assert orjson.loads(scan.line())["allowed"] is True
        assert scan.end() == 0


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_bytes((ALLOWED + b"\n") * 100_000)
    scan = subprocess.Popen([*COMMAND, "policy", "scan", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    scan.stdout.readline()
    scan.stdout.close()
    assert scan.wait(PATIENCE) == 0
    assert scan.stderr.read() == b""
    scan.stderr.close()


def test_missing_input_file() -> None:
    assert_one_line(lexmesh("policy", "scan", "no-such-file"), 1, "no-such-file: no such file or directory")
    assert_one_line(lexmesh("policy", "scan", "/"), 1, "/: is a directory")


def test_check_names_file_line_and_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("version = 1\nrule = = 2\n")
    assert_one_line(lexmesh("policy", "check", str(bad)), 1, f"{bad}:2: ")
    missing = tmp_path / "none.toml"
    assert_one_line(lexmesh("policy", "check", str(missing)), 1, str(missing))
    assert_one_line(lexmesh("policy", "scan", "--policy", str(bad), given=ALLOWED), 1, f"{bad}:2: ")


def test_check_accepts_the_policy_that_ships() -> None:
    from importlib.resources import files

    shipped = str(files("lexmesh.nsr") / "default.toml")
    result = lexmesh("policy", "check", shipped)
    assert result.returncode == 0, result.stderr
    assert result.stdout.decode().startswith(f"{shipped}: ok")
