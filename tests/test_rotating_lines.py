"""Lines on disk: rotation by bytes, and every way in which a disk or its owner gets in between."""

import errno
import os
import resource
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lexmesh.store.rotating_lines import RotatingLines


def lines(*numbers: int, size: int = 10) -> list[bytes]:
    return [str(number).encode().rjust(size - 1, b".") + b"\n" for number in numbers]


def numbers_in(path: Path) -> list[int]:
    return [int(line.strip(b".")) for line in path.read_bytes().splitlines()]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """A disk on which no file can grow beyond a size: the write that would is cut off."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rotation_keeps_so_many_files_of_so_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    file = RotatingLines(path, 50, 2)
    for start in (0, 3, 10):  # in batches that fit none, one and several files
        assert file.append(lines(*range(start, 3 if start == 0 else 10 if start == 3 else 23))) == (0, None)
    file.close()
    assert sorted(os.listdir(tmp_path)) == ["a.ndjson", "a.ndjson.1", "a.ndjson.2"]
    assert [numbers_in(tmp_path / name) for name in ("a.ndjson.2", "a.ndjson.1", "a.ndjson")] == [
        [10, 11, 12, 13, 14],
        [15, 16, 17, 18, 19],
        [20, 21, 22],
    ]


def test_without_older_files_it_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = RotatingLines(path, 50, 0)
    file.append(lines(*range(7)))
    file.close()
    assert os.listdir(tmp_path) == ["a"]
    assert numbers_in(path) == [5, 6]


def test_a_line_larger_than_a_file_gets_one_of_its_own(tmp_path: Path) -> None:
    file = RotatingLines(tmp_path / "a", 50, 9)
    assert file.append(lines(1) + lines(2, size=80) + lines(3)) == (0, None)
    file.close()
    assert [numbers_in(tmp_path / name) for name in ("a.2", "a.1", "a")] == [[1], [2], [3]]


def test_it_goes_on_where_the_last_process_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(lines(1)[0] + b"cut o")
    file = RotatingLines(path, 1000, 1)
    file.append(lines(2))
    file.close()
    assert path.read_bytes().splitlines(True) == [*lines(1), b"cut o\n", *lines(2)]


@pytest.mark.parametrize("how", ["delete", "move"])
def test_a_file_that_is_taken_away_is_made_again(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a"
    file = RotatingLines(path, 1000, 1)
    file.append(lines(1))
    if how == "delete":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
    assert file.append(lines(2)) == (0, None)
    file.close()
    assert numbers_in(path) == [2]


def test_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "later" / "a"
    file = RotatingLines(path, 1000, 1)
    lost, error = file.append(lines(1, 2))
    assert (lost, error.errno) == (2, errno.ENOENT)
    path.parent.mkdir()
    assert file.append(lines(3)) == (0, None)
    file.close()
    assert numbers_in(path) == [3]


def test_a_full_disk_loses_what_it_is_said_to_and_ends_the_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = RotatingLines(path, 1000, 1)
    with files_at_most(25):
        assert file.append(lines(1, 2)) == (0, None)
        lost, error = file.append(lines(3, 4, 5))
        assert (lost, error.errno) == (3, errno.EFBIG)
        assert file.append(lines(6))[0] == 1
    assert file.append(lines(7)) == (0, None)
    file.close()
    assert path.read_bytes().splitlines(True) == [*lines(1, 2), b"....\n"[:4] + b".\n", *lines(7)]


def test_a_device_is_never_rotated(tmp_path: Path) -> None:
    reader, terminal = os.openpty()
    tty.setraw(terminal)
    path = tmp_path / "device"
    path.symlink_to(os.ttyname(terminal))
    file = RotatingLines(path, 50, 3)
    assert file.append(lines(*range(20))) == (0, None)
    assert os.read(reader, 1000) == b"".join(lines(*range(20)))
    file.close()
    os.close(reader)
    os.close(terminal)
    assert os.listdir(tmp_path) == ["device"]


def test_a_pipe_is_refused_at_the_start_and_when_it_takes_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "a"
    file = RotatingLines(path, 1000, 1)
    file.append(lines(1))
    path.unlink()
    os.mkfifo(path)
    lost, error = file.append(lines(2, 3))
    assert (lost, error.errno, error.strerror) == (2, errno.EINVAL, "Not a regular file")
    with pytest.raises(OSError, match="Not a regular file"):
        RotatingLines(path, 1000, 1).check()
    path.unlink()
    assert file.append(lines(4)) == (0, None)
    file.close()
    assert numbers_in(path) == [4]


@pytest.fixture
def nobodys_directory() -> Iterator[Path]:
    """A directory that this process cannot write to, whoever runs the tests; a file in it that it can."""
    with TemporaryDirectory() as name:
        directory, me = Path(name), os.geteuid()
        (directory / "a.ndjson").touch()
        (directory / "a.ndjson").chmod(0o666)
        directory.chmod(0o555)
        if me == 0:
            os.seteuid(65534)
        try:
            yield directory
        finally:
            os.seteuid(me)
            directory.chmod(0o755)


def test_a_file_that_could_not_be_rotated_is_told_before_it_is_full(nobodys_directory: Path) -> None:
    for name in ("a.ndjson", "new.ndjson"):
        with pytest.raises(PermissionError):
            RotatingLines(nobodys_directory / name, 50, 2).check()
