"""`lexmesh sub`: one message a line, and every way to stop."""

import signal
import subprocess

import orjson
from cli_process import COMMAND, PATIENCE, Running, gateway, lexmesh, subscriber, until


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
        assert "received 10, lost 0, reconnects 0" in sub.text("stderr")


def test_summary_as_json() -> None:
    with gateway() as running, subscriber(running.url, "x", "--count", "1", "--json") as sub:
        lexmesh("pub", running.url, "x", given=b"1\n")
        assert sub.end() == 0
        assert orjson.loads(sub.seen["stderr"][-1]) == {"received": 1, "lost": 0, "reconnects": 0}


def test_ctrl_c() -> None:
    with gateway() as running, subscriber(running.url, "x") as sub:
        assert sub.end(signal.SIGINT) == 130
        assert "received 0, lost 0" in sub.text("stderr")
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
