"""The program itself: help, version, and every way to misuse it."""

import re
import resource
import subprocess
import sys

import pytest
from cli_process import assert_one_line, gateway, lexmesh

USAGE = [
    (("nope",), "no such command 'nope'"),
    (("--nope",), "no such option"),
    (("mesh",), "missing command"),
    (("mesh", "start", "--port", "99999"), "65535"),
    (("mesh", "start", "--port", "eighty"), "invalid value for '--port'"),
    (("mesh", "start", "--log-level", "loud"), "invalid value for '--log-level': 'loud' is not one of"),
    (("pub",), "missing argument 'URL'"),
    (("pub", "localhost:8765"), "'localhost:8765' has no scheme; write ws://localhost:8765"),
    (("pub", "http://localhost:8765"), "write ws://localhost:8765"),
    (("pub", "ws://"), "names no host"),
    (("pub", "ws://:8765"), "names no host"),
    (("pub", "ws://localhost:99999"), "Port out of range"),
    (("pub", "ws://[::1"), "no URL"),
    (("pub", "ws://localhost:1", "a.*"), "no message type"),
    (("pub", ""), "the URL is empty; write ws://HOST:PORT"),
    (("pub", "ws://\udcff"), "the URL 'ws://\\udcff' is not UTF-8"),
    (("pub", "ws://localhost:1", "\udcff"), "the type '\\udcff' is not UTF-8"),
    (("pub", "ws://localhost:1", "-m", "x=\udcff"), "metadata 'x=\\udcff' is not UTF-8"),
    (("sub", "ws://localhost:1", "\udcff"), "the subject '\\udcff' is not UTF-8"),
    (("pub", "ws://localhost:1", "é" * 128), "a message type has at most 255 bytes, and this one 256"),
    (("pub", "ws://localhost:1", "two words"), "no message type"),
    (("pub", "ws://localhost:1", "_lexmesh.subscribe"), "reserved"),
    (("pub", "ws://localhost:1", "-m", "novalue"), "KEY=VALUE"),
    (("sub", "ws://localhost:1"), "missing argument"),
    (("sub", "ws://localhost:1", "a", "--count", "0"), "--count"),
    (("sub", "ftp://localhost", "a"), "write ws://localhost"),
    (("policy",), "missing command"),
    (("policy", "check"), "missing argument"),
    (("demo", "--seconds", "0"), "--seconds"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), USAGE, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_misuse_is_one_line_and_code_2(arguments: tuple[str, ...], words: str) -> None:
    assert_one_line(lexmesh(*arguments), 2, words, "--help")


def test_version() -> None:
    result = lexmesh("--version")
    assert result.returncode == 0
    assert re.fullmatch(rb"lexmesh \d\S*\n", result.stdout)


def test_help_names_every_command() -> None:
    for arguments in ((), ("--help",)):
        result = lexmesh(*arguments)
        assert result.returncode == 0
        for command in (b"demo", b"mesh", b"pub", b"sub", b"policy"):
            assert command in result.stdout


def test_help_is_quick_because_it_imports_no_transport() -> None:
    heavy = "{'uvloop', 'picows', 'pydantic', 'psutil', 'prometheus_client'}"
    probe = f"import sys, lexmesh.cli.app; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
    assert _cpu_seconds_of_help() < 0.5


def _cpu_seconds_of_help() -> float:
    """Its processor time: a busy machine adds to the time on the wall, but not to this."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    lexmesh("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed(closed: str) -> None:
    with gateway() as running:
        for command in (f"pub {running.url} x", "policy scan", "--version", "mesh start --port 70000"):
            shell = f"exec {sys.executable} -m lexmesh.cli {command} {closed}"
            result = subprocess.run(["sh", "-c", shell], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            assert result.returncode == (2 if "70000" in command else 0), result.stderr
            assert b"Traceback" not in result.stderr
            assert b"internal error" not in result.stderr


def test_a_mistake_of_ours_is_one_line_too(tmp_path) -> None:
    breakage = tmp_path / "sitecustomize.py"
    breakage.write_text("import sys\nsys.modules['lexmesh.cli.policy'] = object()\n")
    import os

    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = lexmesh("policy", "check", "x.toml", env={"PYTHONPATH": path})
    assert_one_line(result, 1, "internal error", "LEXMESH_DEBUG=1")
    traced = lexmesh("policy", "check", "x.toml", env={"PYTHONPATH": path, "LEXMESH_DEBUG": "1"})
    assert b"Traceback" in traced.stderr
