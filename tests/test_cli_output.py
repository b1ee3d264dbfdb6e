"""Lines to a real pipe: whole, in order, and quiet when the reader has left."""

import os
import threading

import pytest

from lexmesh.cli.output import CHUNK, LineOutput


def test_lines_arrive_whole_and_in_order() -> None:
    read_end, write_end = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(read_end, "rb") as pipe:
            got.extend(pipe)

    reader = threading.Thread(target=read)
    reader.start()
    output = LineOutput(write_end)
    lines = [b"%d" % n * 50 for n in range(20_000)]
    for line in lines:
        output.add(line)
    output.finish()
    os.close(write_end)
    reader.join()
    assert got == [line + b"\n" for line in lines]


def test_a_full_pipe_in_non_blocking_mode_is_waited_for() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    got: list[bytes] = []

    def read() -> None:
        with os.fdopen(read_end, "rb") as pipe:
            got.append(pipe.read())

    reader = threading.Thread(target=read)
    output = LineOutput(write_end)
    output.add(b"x" * (CHUNK - 1))
    reader.start()
    output.finish()
    os.close(write_end)
    reader.join()
    assert got == [b"x" * (CHUNK - 1) + b"\n"]


def test_nothing_is_written_before_a_flush_or_a_full_chunk() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    output = LineOutput(write_end)
    output.add(b"one")
    with pytest.raises(BlockingIOError):
        os.read(read_end, 10)
    output.flush()
    assert os.read(read_end, 10) == b"one\n"
    os.close(read_end)
    os.close(write_end)


def test_a_reader_that_has_gone_is_noticed_without_writing_and_when_writing() -> None:
    read_end, write_end = os.pipe()
    idle, busy = LineOutput(write_end), LineOutput(write_end)
    assert not idle.reader_gone()
    os.close(read_end)
    assert idle.reader_gone()
    busy.add(b"one")
    busy.finish()
    assert busy.closed
    os.close(write_end)


def test_any_other_failure_is_raised_at_the_end() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        output = LineOutput(full.fileno())
        output.add(b"one")
        output.flush()
        assert output.closed
        with pytest.raises(OSError, match="No space left"):
            output.finish()
