"""`lexmesh pub` and `sub` over gRPC: the same options, messages and accounts as over WebSocket."""

import json
from typing import Any

import orjson
import pytest
from cli_process import Gateway, Running, assert_one_line, gateway, lexmesh, subscriber, until


def grpc_url(running: Gateway) -> str:
    """Where a gateway serves gRPC, as it has said itself."""
    return str(orjson.loads(running.seen["stdout"][0])["grpc"])


def grpc_gateway(*arguments: str, **options: Any):
    return gateway("--grpc-port", "0", *arguments, **options)


@pytest.mark.parametrize("over", ["grpc", "websocket"])
def test_lines_arrive_whatever_the_subscriber_speaks(over: str) -> None:
    count = 50_000
    with grpc_gateway() as running:
        url = grpc_url(running) if over == "grpc" else running.url
        with subscriber(url, "my.type", "--count", str(count)) as sub:
            given = b"\n".join(b'{"n":%d}' % n for n in range(count))
            result = lexmesh("pub", grpc_url(running), "my.type", "-", "--json", "-m", "a=b", given=given)
            assert result.returncode == 0, result.stderr
            found = orjson.loads(result.stdout)
            assert (found["sent"], found["routed"], found["lost"]) == (count, count, 0)
            assert sub.end() == 0
            messages = [orjson.loads(line) for line in sub.seen["stdout"]]
            assert [message["data"]["n"] for message in messages] == list(range(count))
            assert messages[0]["metadata"] == {"a": "b"}
            assert b"lost 0" in sub.seen["stderr"][-1]
        ledger = running.stop()
        assert ledger["balanced"]
        assert ledger["taken"] == count


def test_denied_lines_are_reported_here_and_by_the_gateway(lax_file: str) -> None:
    given = b'1\n{"consent_override":true}\n2\n'
    with grpc_gateway() as running:
        result = lexmesh("pub", grpc_url(running), "x", given=given)
        assert result.returncode == 1
        assert b"lexmesh: line 2: denied: consent-override at data.consent_override\n" in result.stderr
        result = lexmesh("pub", grpc_url(running), "x", "--policy", lax_file, "--json", given=given)
        assert result.returncode == 1
        assert b"line 2: denied: consent-override at data.consent_override (by the gateway, " in result.stderr
        found = orjson.loads(result.stdout)
        assert (found["sent"], found["denied"], found["denied_before_sending"]) == (3, 1, 0)


def test_nobody_there() -> None:
    assert_one_line(lexmesh("pub", "grpc://127.0.0.1:1"), 1, "cannot connect to grpc://127.0.0.1:1", "refused")
    assert_one_line(lexmesh("sub", "grpc://127.0.0.1:1", "x"), 1, "cannot connect to grpc://127.0.0.1:1", "refused")
    assert_one_line(lexmesh("sub", "http://127.0.0.1:1", "x"), 2, "grpc://")
    with gateway() as running:
        found = lexmesh("sub", running.url.replace("ws://", "grpc://"), "x")
        assert_one_line(found, 1, "cannot connect to grpc://")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("grpc:/localhost", "write grpc://HOST:PORT"),
        ("grpc:localhost:50056", "write grpc://HOST:PORT"),
        ("grpcs:localhost", "write grpcs://HOST:PORT"),
        ("grpc://", "names no host"),
        ("grpc://user:se@cret@localhost:1", "name or password"),
        ("grpc://localhost:1?x=secret", "query"),
        ("grpc://localhost:1/path", "path"),
        ("grpc://localhost:99999", "port is none"),
        ("grpc://localhost:0", "1 to 65535"),
        ("grpc://::1:50056", "[::1]:50056"),
    ],
)
def test_urls_that_are_none(url: str, said: str) -> None:
    found = lexmesh("pub", url)
    assert_one_line(found, 2, said, "grpc")
    assert b"ws://" not in found.stderr
    assert b"cret" not in found.stderr


def test_a_url_without_a_port_names_the_one_that_was_tried() -> None:
    assert_one_line(lexmesh("pub", "grpc://nowhere.invalid"), 1, "nowhere.invalid:50051")


def test_both_come_back_with_the_gateway() -> None:
    with grpc_gateway() as first:
        url = grpc_url(first)
        with Running("sub", url, "x", "--json") as sub, Running("pub", url, "x", "--json") as pub:
            sub.line(of="stderr", having=b"subscribed")
            pub.process.stdin.write(b"1\n")
            pub.process.stdin.flush()
            assert json.loads(sub.line())["data"] == 1
            first.process.kill()
            sub.line(of="stderr", having=b"trying again until it is back")
            pub.line(of="stderr", having=b"trying again until it is back")
            with gateway("--grpc-port", url.rpartition(":")[2]):
                sub.line(of="stderr", having=b"connected again")
                pub.line(of="stderr", having=b"connected again")
                until(lambda: say(pub, 2) or b'"data":2' in b"".join(sub.seen["stdout"]), "the message")
                pub.process.stdin.close()
                pub.end()
            found = orjson.loads(pub.seen["stdout"][-1])
            assert found["reconnects"] == 1
            assert found["lost"] <= 1


def say(pub: Running, value: int) -> bool:
    """Has a publisher send one more value; false, so that a wait goes on to look for it."""
    pub.process.stdin.write(b"%d\n" % value)
    pub.process.stdin.flush()
    return False
