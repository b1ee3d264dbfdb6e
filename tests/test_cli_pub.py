"""`lexmesh pub`: lines in, messages out, and an account of each."""

import contextlib
import signal
import subprocess
from pathlib import Path

import orjson
import pytest
from cli_process import COMMAND, PATIENCE, Running, assert_one_line, gateway, lexmesh, subscriber, until

from lexmesh.cli.line_numbers import MOST_JUMPS, LineNumbers

NOBODY = "ws://127.0.0.1:1"  # tcpmux: nothing listens there


def summary(result: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    return orjson.loads(result.stdout)


def test_every_kind_of_json_value_arrives_as_it_was(tmp_path: Path) -> None:
    values = [b"1", b"-0.5e3", b'"text"', b"null", b"true", b"[]", b'{"a":[1,{"b":"\\u00e9"}]}', '"é"'.encode()]
    file = tmp_path / "values.jsonl"
    file.write_bytes(b"\n".join(values))
    with gateway() as running, subscriber(running.url, "my.type", "--count", str(len(values))) as sub:
        result = lexmesh("pub", running.url, "my.type", str(file), "--node-id", "source-1", "-m", "a=b=c", "--json")
        assert result.returncode == 0, result.stderr
        assert summary(result)["routed"] == len(values)
        assert sub.end() == 0
        messages = [orjson.loads(line) for line in sub.seen["stdout"]]
        assert [message["data"] for message in messages] == [orjson.loads(value) for value in values]
        for message in messages:
            assert (message["type"], message["source_node"]) == ("my.type", "source-1")
            assert message["metadata"] == {"a": "b=c"}


def test_malformed_lines_are_reported_and_the_rest_goes_on() -> None:
    given = b'1\n{"a":\n\n  \n2\nNaN\n{"a":1,"a":2}\n"\xff"\n3 4\n"\\ud800"\n3\n'
    with gateway() as running:
        result = lexmesh("pub", running.url, "x", "-", "--json", given=given)
        assert result.returncode == 1
        reported = [line for line in result.stderr.decode().splitlines() if "line " in line]
        assert [line.split(":")[1].strip() for line in reported] == [f"line {n}" for n in (2, 6, 7, 8, 9, 10)]
        assert (summary(result)["sent"], summary(result)["malformed_lines"], summary(result)["lost"]) == (3, 6, 0)
        assert running.stop()["taken"] == 3


def test_a_line_that_is_too_long_does_not_break_the_connection() -> None:
    with gateway() as running:
        given = b'"' + b"a" * 2_000_000 + b'"\n1\n"' + b"b" * 1_000_000 + b'"\n'
        result = lexmesh("pub", running.url, "--json", given=given)
        assert result.returncode == 1
        assert b"line 1: longer than" in result.stderr
        assert (summary(result)["sent"], summary(result)["lost"], summary(result)["reconnects"]) == (2, 0, 0)


def test_denied_lines_are_reported_before_they_leave_and_the_rest_goes_on() -> None:
    given = b'1\n{"consent_override":true}\n2\n[{"a":{"consent_override":"s3cr3t"}}]\n'
    with gateway() as running:
        result = lexmesh("pub", running.url, "x", "--json", given=given)
        assert result.returncode == 1
        reported = [line for line in result.stderr.decode().splitlines() if "line " in line]
        assert reported == [
            "lexmesh: line 2: denied: consent-override at data.consent_override",
            "lexmesh: line 4: denied: consent-override at data[0].a.consent_override",
        ]
        assert "s3cr3t" not in result.stderr.decode()
        found = summary(result)
        assert (found["sent"], found["denied"], found["denied_before_sending"], found["lost"]) == (2, 2, 2, 0)
        assert found["denied_by_rule"] == {"consent-override": 2}
        text = lexmesh("pub", running.url, "climate_control", given=b"1\n").stderr.decode().splitlines()[-1]
        assert text.startswith(
            "lexmesh: sent 0, routed 0, denied 1 (authorization 1, 1 of them before sending), unroutable 0, lost 0 in "
        )
        ledger = running.stop()
        assert (ledger["taken"], ledger["ingress"]["denied"]) == (2, 0)


def test_what_a_laxer_policy_lets_leave_the_gateway_denies(lax_file: str) -> None:
    with gateway() as running:
        result = lexmesh("pub", running.url, "climate_control", "--json", "--policy", lax_file, given=b"1\n2\n")
        assert result.returncode == 1, "a denied message is a failure, wherever it was denied"
        found = summary(result)
        assert (found["denied"], found["denied_before_sending"]) == (2, 0)
        assert found["denied_by_rule"] == {"authorization": 2}
        text = lexmesh("pub", running.url, "climate_control", "--policy", lax_file, given=b"1\n").stderr.decode()
        assert text.splitlines()[-1].startswith(
            "lexmesh: sent 1, routed 0, denied 1 (authorization 1), unroutable 0, lost 0 in "
        )
        environment = {"LEXMESH_POLICY_FILE": lax_file}
        result = lexmesh("pub", running.url, "climate_control", "--json", given=b"1\n", env=environment)
        assert summary(result)["denied_before_sending"] == 0, "the configured policy is the default"


def test_what_the_gateway_denies_is_reported_with_its_line_and_id(tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text('[[rule]]\nname = "mild"\nscope = ["payload strings"]\nmarkers = ["swordfish"]\n')
    given = b'1\n\n"force"\nNaN\n"swordfish"\n"harm"\n2\n"exploit it"\n'
    with gateway() as running:
        arguments = ("agent_message", "--node-id", "node-1", "--policy", str(policy), "--json")
        result = lexmesh("pub", running.url, *arguments, given=given)
        assert result.returncode == 1
        said = [line.removeprefix("lexmesh: ") for line in result.stderr.decode().splitlines()]
        here = [line for line in said if "by the gateway" not in line and line.startswith("line ")]
        there = [line.rsplit(":", 2) for line in said if "by the gateway" in line]
        assert [line.partition(":")[0] for line in here] == ["line 4", "line 5"]
        assert [before for before, _, _ in there] == [
            f"line {line}: denied: marker-instruction at data (by the gateway, node-1" for line in (3, 6, 8)
        ]
        assert [seq for _, _, seq in there] == ["2)", "3)", "5)"]
        assert not any("exploit" in line for line in said)
        assert (summary(result)["sent"], summary(result)["denied"]) == (5, 4)


def test_lines_of_messages_are_known_while_they_are_under_way() -> None:
    lines = LineNumbers()
    for number in range(1, MOST_JUMPS + 11):  # every other line is blank
        lines.published(2 * number, f"a:b:7:{number}")
    assert [lines.line_of(f"a:b:7:{number}") for number in (1, 10)] == [None, None]
    assert [lines.line_of(f"a:b:7:{number}") for number in (11, 5000, MOST_JUMPS + 10)] == [
        22,
        10_000,
        2 * (MOST_JUMPS + 10),
    ]
    assert [lines.line_of(id) for id in ("", "a:b:7:", "a:b:7:x", "c:7:11", "a:b:8:11")] == [None] * 5


def test_no_such_policy(tmp_path: Path) -> None:
    assert_one_line(lexmesh("pub", NOBODY, "--policy", "no-such-policy"), 1, "no-such-policy: No such file")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("opaque = 3\n")
    assert_one_line(lexmesh("pub", NOBODY, "--policy", str(wrong)), 1, "wrong.toml:1: opaque must be")


def test_unroutable_messages_are_counted_and_no_failure() -> None:
    with gateway() as running:
        result = lexmesh("pub", running.url, "nobody.listens", "--json", given=b"1\n2\n3\n")
        assert result.returncode == 0
        assert (summary(result)["unroutable"], summary(result)["routed"]) == (3, 0)


def test_a_gateway_that_has_had_enough_is_not_asked_again(lax_file: str) -> None:
    command = ("climate_control", "--json", "--policy", lax_file)
    with gateway() as running, Running("pub", running.url, *command) as pub:
        lines = b"".join(b"%d\n" % n for n in range(20_000))
        with contextlib.suppress(BrokenPipeError):
            pub.process.stdin.write(lines)
            pub.process.stdin.close()
        assert pub.end() == 1
        assert "disconnected (1008)" in pub.text("stderr")
        assert orjson.loads(pub.text("stdout"))["reconnects"] == 0


def test_a_slow_input_leaves_line_by_line() -> None:
    with gateway() as running, subscriber(running.url, ">") as sub, Running("pub", running.url, "x") as pub:
        for value in (b"1", b"2", b"3"):
            pub.process.stdin.write(value + b"\n")
            pub.process.stdin.flush()
            assert orjson.loads(sub.line())["data"] == int(value)
        assert pub.end() == 0


def test_shows_progress_while_it_runs() -> None:
    with gateway() as running, Running("pub", running.url, "x") as pub:
        pub.process.stdin.write(b"1\n")
        pub.process.stdin.flush()
        assert b"1 sent" in pub.line(of="stderr", having=b" sent, ")


def test_what_comes_slowly_is_confirmed_before_its_input_ends() -> None:
    with gateway() as running, Running("pub", running.url, "x", "--json") as pub:
        pub.process.stdin.write(b"1\n2\n")
        pub.process.stdin.flush()
        pub.line(of="stderr", having=b"2 sent, 2 confirmed")
        running.end(signal.SIGKILL)
        pub.line(of="stderr", having=b"disconnected")
        pub.end(signal.SIGINT)
        assert orjson.loads(pub.text("stdout"))["lost"] == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (NOBODY, ("127.0.0.1:1", "refused")),
        ("ws://no-such-host.invalid:8765", ("no-such-host.invalid", "no such host")),
    ],
)
def test_no_gateway_there(url: str, words: tuple[str, ...]) -> None:
    assert_one_line(lexmesh("pub", url, given=b"1\n"), 1, *words)
    assert_one_line(lexmesh("sub", url, ">"), 1, *words)


def test_no_such_input() -> None:
    assert_one_line(lexmesh("pub", NOBODY, "x", "no-such-file"), 1, "no-such-file: no such file or directory")
    assert_one_line(lexmesh("pub", NOBODY, "x", "/"), 1, "/: is a directory")


def test_ctrl_c_accounts_for_what_was_sent() -> None:
    with gateway() as running, Running("pub", running.url, "x", "--json") as pub:
        pub.process.stdin.write(b"1\n2\n")
        pub.process.stdin.flush()
        until(lambda: orjson.loads(running.get("/health"))["taken"] == 2, "two messages")
        assert pub.end(signal.SIGINT) == 130
        found = orjson.loads(pub.text("stdout"))
        assert (found["sent"], found["lost"]) == (2, 0)
        assert "Traceback" not in pub.text("stderr")


def test_a_gateway_that_dies_and_returns_is_found_again_and_the_loss_is_told() -> None:
    with gateway() as first, Running("pub", first.url, "x", "--json") as pub:
        pub.process.stdin.write(b"1\n")
        pub.process.stdin.flush()
        until(lambda: orjson.loads(first.get("/health"))["taken"] == 1, "the message")
        first.end(signal.SIGKILL)
        pub.line(of="stderr", having=b"disconnected")
        pub.process.stdin.write(b"2\n3\n")
        pub.process.stdin.flush()
        with gateway(port=first.port) as second:
            pub.line(of="stderr", having=b"connected again")
            code = pub.end()
            ledger = second.stop()
        found = orjson.loads(pub.text("stdout"))
        assert found["reconnects"] == 1
        assert found["sent"] == 3
        assert ledger["taken"] >= 2
        # the first one may have been confirmed before its gateway died
        assert found["lost"] in (3 - ledger["taken"], 2 - ledger["taken"])
        assert code == (1 if found["lost"] else 0)


@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_many_lines_lose_nothing_and_keep_their_order(count: int) -> None:
    with gateway() as running, subscriber(running.url, "sensor_reading", "--count", str(count)) as sub:
        numbers = b"".join(b"%d\n" % n for n in range(count))
        pub = subprocess.run(
            [*COMMAND, "pub", running.url, "--json"], input=numbers, capture_output=True, timeout=PATIENCE
        )
        assert pub.returncode == 0, pub.stderr
        assert sub.end() == 0
        assert b"".join(b"%d\n" % orjson.loads(line)["data"] for line in sub.seen["stdout"]) == numbers
        assert f"received {count}, denied 0, lost 0, reconnects 0" in sub.text("stderr")
        found = orjson.loads(pub.stdout)
        assert (found["sent"], found["routed"], found["lost"]) == (count, count, 0)
        ledger = running.stop()
        assert (ledger["taken"], ledger["egress"]["delivered"], ledger["balanced"]) == (count, count, True)


@pytest.mark.soak
def test_a_kill_amid_a_million_lines_loses_no_more_than_is_told(tmp_path: Path) -> None:
    count = 1_000_000
    file = tmp_path / "numbers"
    file.write_bytes(b"".join(b"%d\n" % n for n in range(count)))
    with (
        gateway() as first,
        subscriber(first.url, ">", "--json") as sub,
        Running("pub", first.url, "x", str(file), "--json") as pub,
    ):
        until(lambda: orjson.loads(first.get("/health"))["taken"] > count // 10, "a tenth of it")
        first.end(signal.SIGKILL)
        with gateway(port=first.port) as second:
            assert pub.end() == 1
            sub.line(having=b'"data":%d}' % (count - 1))
            assert sub.end(signal.SIGINT) == 130
            assert second.stop()["balanced"] is True
    found = orjson.loads(pub.text("stdout"))
    got = [orjson.loads(line)["data"] for line in sub.seen["stdout"]]
    assert got == sorted(set(got))
    told = orjson.loads(next(line for line in reversed(sub.seen["stderr"]) if line.startswith(b"{")))
    assert told == {"received": len(got), "denied": 0, "lost": None, "missing": count - len(got), "reconnects": 1}
    assert found["sent"] == count
    # Unroutable is what came while the subscriber was not back yet. At most two windows and a turn are under way.
    assert 0 < count - len(got) <= found["lost"] + found["unroutable"]
    assert found["lost"] <= 3 * 4096
