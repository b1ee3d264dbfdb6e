"""What the tests start ends with them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from cli_process import PATIENCE, until

TESTS = Path(__file__).parent
RUN = """
import pathlib, time
from cli_process import gateway

def test_that_hangs():
    with gateway() as running:
        pathlib.Path({told!r}).write_text(str(running.process.pid))
        {then}
"""


def start(directory: Path, then: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Starts a run of one test, which writes down the process of its gateway."""
    told = directory / "pid"
    (directory / "test_hangs.py").write_text(RUN.format(told=str(told), then=then))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_hangs.py"]
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL), told


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only watched there")
def test_a_gateway_ends_with_tests_that_are_killed(tmp_path: Path) -> None:
    run, told = start(tmp_path, "time.sleep(3600)")
    try:
        pid = int(until(lambda: told.exists() and told.read_text(), "the gateway"))
        assert is_running(pid)
        run.send_signal(signal.SIGKILL)
        assert run.wait(PATIENCE) == -signal.SIGKILL
        until(lambda: not is_running(pid), "the gateway to end")
    finally:
        run.kill()
        run.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only watched there")
def test_tests_that_end_by_themselves_end_as_they_would(tmp_path: Path) -> None:
    run, told = start(tmp_path, "running.stop()")
    assert run.wait(PATIENCE) == 0
    assert not is_running(int(told.read_text()))
