"""`lexmesh sub`: one message a line, and every way to stop."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import orjson
import pytest
from cli_process import COMMAND, PATIENCE, Gateway, Running, gateway, lexmesh, subscriber, until


def connections(running) -> int:
    return orjson.loads(running.get("/health"))["connections"]


def test_subjects_with_wildcards_choose() -> None:
    with (
        gateway() as running,
        subscriber(running.url, "farm.*.air", "soil.>", "--count", "3") as sub,
    ):
        for event_type in ("farm.one.air", "farm.one.two.air", "soil", "soil.a", "soil.a.b", "farm.air"):
            assert lexmesh("pub", running.url, event_type, given=b"1\n").returncode == 0
        assert sub.end() == 0
        assert [orjson.loads(line)["type"] for line in sub.seen["stdout"]] == ["farm.one.air", "soil.a", "soil.a.b"]


def test_count_is_exact_even_when_more_comes() -> None:
    with gateway() as running, subscriber(running.url, "x", "--count", "10") as sub:
        lexmesh("pub", running.url, "x", given=b"1\n" * 5000)
        assert sub.end() == 0
        assert len(sub.seen["stdout"]) == 10
        assert "received 10, denied 0, lost 0, reconnects 0" in sub.text("stderr")


def test_summary_as_json() -> None:
    with gateway() as running, subscriber(running.url, "x", "--count", "1", "--json") as sub:
        lexmesh("pub", running.url, "x", given=b"1\n")
        assert sub.end() == 0
        assert orjson.loads(sub.seen["stderr"][-1]) == {
            "received": 1,
            "denied": 0,
            "lost": 0,
            "missing": 0,
            "reconnects": 0,
        }


def test_what_its_own_policy_denies_is_counted_and_told_up_to_100_a_second(lax_file: str) -> None:
    with (
        gateway("--policy", lax_file) as running,
        subscriber(running.url, ">", "--count", "1", "--json") as strict,
        subscriber(running.url, ">", "--count", "3001", "--policy", lax_file) as lax,
    ):
        given = b'"force"\n' * 3000
        lexmesh("pub", running.url, "agent_message", "--policy", lax_file, given=given)
        lexmesh("pub", running.url, "x", given=b"1\n")
        assert (strict.end(), lax.end()) == (0, 0)
        *told, summary = [line for line in strict.seen["stderr"] if b"subscribed" not in line]
        assert orjson.loads(summary)["denied"] == 3000
        assert 100 <= len(told) < 3000
        assert set(told) == {b"lexmesh: a message was denied: marker-instruction at data\n"}
        assert "received 3001, denied 0" in lax.text("stderr")


OTHERS = "denied, on other subjects or for other nodes"


def test_what_others_were_denied_is_not_lost(lax_file: str) -> None:
    given = b'1\n"force"\n2\n'
    with gateway() as running:
        for option, said in (
            ((), f"lexmesh: received 2, denied 0, lost 0, reconnects 0; 1 more did not come: {OTHERS}\n"),
            (("--json",), '{"received":2,"denied":0,"lost":0,"missing":1,"reconnects":0}\n'),
        ):
            with subscriber(running.url, ">", "--count", "2", *option) as sub:
                lexmesh("pub", running.url, "agent_message", "--policy", lax_file, given=given)
                assert sub.end() == 0
                assert sub.seen["stderr"][-1].decode() == said


@pytest.fixture
def stalled() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts `lexmesh sub`, whose output nobody reads until the test does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str) -> subprocess.Popen[bytes]:
        sub = subprocess.Popen([*COMMAND, "sub", url, "x", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(sub)
        assert b"subscribed" in sub.stderr.readline()
        return sub

    yield start
    for sub in started:
        sub.kill()
        sub.communicate()


def test_what_the_gateway_dropped_is_lost(stalled: Callable[[str], subprocess.Popen[bytes]]) -> None:
    env = {"LEXMESH_OVERFLOW": "drop_newest", "LEXMESH_OVERFLOW_BYTES": "65536"}
    with gateway(env=env) as running, Running("pub", running.url, "x") as pub:
        sub = stalled(running.url)
        while not dropped(running):
            pub.process.stdin.write((b'"' + b"." * 1000 + b'"\n') * 1000)
            pub.process.stdin.flush()
        reader = threading.Thread(target=read_until, args=(sub, b'"data":"end"'))
        reader.start()
        until(lambda: in_flight(running) == 0, "the subscriber to catch up")
        pub.process.stdin.write(b'"end"\n')
        assert pub.end() == 0
        reader.join(PATIENCE)
        sub.send_signal(signal.SIGINT)
        _, said = sub.communicate(timeout=PATIENCE)
        summary = orjson.loads(next(line for line in said.splitlines() if line.startswith(b"{")))
        assert summary["lost"] == summary["missing"] == dropped(running) > 0


def dropped(running: Gateway) -> int:
    lines = running.get("/metrics").decode().splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("lexmesh_dropped_total")))


def in_flight(running: Gateway) -> int:
    return orjson.loads(running.get("/health"))["in_flight"]


def read_until(process: subprocess.Popen[bytes], words: bytes) -> None:
    for line in process.stdout:
        if words in line:
            return


def test_after_a_reconnect_nobody_can_tell_what_was_lost(lax_file: str) -> None:
    with gateway() as first, subscriber(first.url, ">", "--count", "3") as sub:
        given = b'1\n"force"\n2\n'
        lexmesh("pub", first.url, "agent_message", "--policy", lax_file, given=given)
        sub.line(having=b'"data":2')
        first.end(signal.SIGKILL)
        sub.line(of="stderr", having=b"disconnected")
        with gateway(port=first.port) as second:
            sub.line(of="stderr", having=b"connected again")
            until(lambda: _published(second.url, sub), "a message after the reconnect")
        assert f"received 3, denied 0, missing 1 (lost or {OTHERS}), reconnects 1\n" in sub.text("stderr")


def test_ctrl_c() -> None:
    with gateway() as running, subscriber(running.url, "x") as sub:
        assert sub.end(signal.SIGINT) == 130
        assert "received 0, denied 0, lost 0" in sub.text("stderr")
        assert "Traceback" not in sub.text("stderr")
        until(lambda: connections(running) == 0, "the gateway to see it leave")


def test_a_reader_that_leaves_ends_it_quietly_with_and_without_traffic() -> None:
    with gateway() as running:
        for lines in (1, 20_000):
            sub = subprocess.Popen(
                [*COMMAND, "sub", running.url, "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            assert "subscribed" in sub.stderr.readline()
            lexmesh("pub", running.url, "x", given=b"1\n" * lines)
            assert orjson.loads(sub.stdout.readline())["data"] == 1
            sub.stdout.close()
            assert sub.wait(PATIENCE) == 0
            assert "Broken" not in sub.stderr.read()
            sub.stderr.close()


def test_a_gateway_that_dies_and_returns_is_subscribed_to_again() -> None:
    with gateway() as first, subscriber(first.url, "x", "--count", "2") as sub:
        lexmesh("pub", first.url, "x", given=b"1\n")
        assert orjson.loads(sub.line())["data"] == 1
        first.end(signal.SIGKILL)
        sub.line(of="stderr", having=b"disconnected")
        with gateway(port=first.port) as second:
            sub.line(of="stderr", having=b"connected again")
            until(lambda: _published(second.url, sub), "a message after the reconnect")
        assert "reconnects 1" in sub.text("stderr")


def _published(url: str, sub: Running) -> bool:
    lexmesh("pub", url, "x", given=b"2\n")
    return sub.process.poll() is not None
