"""Files that operators name: read whole, or refused in one line, and never waited for."""

import os
from pathlib import Path

import pytest
from cli_process import assert_one_line, lexmesh

from lexmesh import MeshConfig, NsrPolicy
from lexmesh.errors import ConfigError, PolicyError
from lexmesh.settings_file import MOST_BYTES, read_settings

RULE = '[[rule]]\nname = "r"\nscope = ["metadata values"]\nmarkers = ["force"]\n'


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def padded(path: Path, text: str, size: int) -> Path:
    path.write_text(text + "#" * (size - len(text)))
    return path


def test_as_much_as_may_be_is_read(tmp_path: Path) -> None:
    assert len(read_settings(padded(tmp_path / "p.toml", RULE, MOST_BYTES))) == MOST_BYTES
    assert NsrPolicy.load(tmp_path / "p.toml").digest == NsrPolicy.loads(RULE).digest


def test_more_is_refused(tmp_path: Path) -> None:
    path = padded(tmp_path / "p.toml", RULE, MOST_BYTES + 1)
    with pytest.raises(PolicyError, match=rf"p\.toml: Larger than {MOST_BYTES} bytes"):
        NsrPolicy.load(path)
    with pytest.raises(ConfigError, match=rf"p\.toml: larger than {MOST_BYTES} bytes"):
        MeshConfig.load(path)


def test_what_may_never_end_is_not_begun(pipe: Path) -> None:
    for path in (pipe, Path("/dev/zero"), Path("/dev/tty"), Path("/dev/null")):
        with pytest.raises(PolicyError):
            NsrPolicy.load(path)
        with pytest.raises(ConfigError):
            MeshConfig.load(path)


def test_commands_say_so_in_one_line(pipe: Path) -> None:
    for path in (str(pipe), "/dev/zero"):
        words = f"{path}: Not a regular file; give the path of a TOML file"
        assert_one_line(lexmesh("policy", "check", path), 1, words)
        assert_one_line(lexmesh("policy", "scan", "--policy", path), 1, words)
        assert_one_line(lexmesh("mesh", "start", "--port", "0", "--policy", path), 1, words)
        assert_one_line(
            lexmesh("mesh", "start", "--port", "0", "--config", path),
            1,
            path,
            "not a regular file; give the path of a TOML",
        )


def test_what_is_nested_too_deeply_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000 + "\n")
    words = f"{path}: not TOML that can be read: nested too deeply"
    assert_one_line(lexmesh("policy", "check", str(path)), 1, words)
    assert_one_line(lexmesh("mesh", "start", "--port", "0", "--config", str(path)), 1, words)
