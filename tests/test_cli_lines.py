"""Lines cut from blocks: the same whole or one byte at a time, and never held without bound."""

import asyncio
import os
import threading
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmesh.cli.lines import BLOCK_SIZE, BLOCKS_AHEAD, read_lines, split_lines

CASES = [
    (b"", []),
    (b"\n", [b""]),
    (b"one", [b"one"]),
    (b"one\n", [b"one"]),
    (b"one\ntwo", [b"one", b"two"]),
    (b"one\n\ntwo\n", [b"one", b"", b"two"]),
    (b"\r\n1\r\n", [b"\r", b"1\r"]),
]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(("data", "lines"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_do_not_depend_on_where_blocks_end(data: bytes, lines: list[bytes], size: int) -> None:
    assert list(chain(*split_lines(cut(data, size), 100))) == lines


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", b"\x00"])).map(b"".join), size=st.integers(1, 9))
def test_agrees_with_python(data: bytes, size: int) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert list(chain(*split_lines(cut(data, size), 1000))) == expected


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_line_without_end_keeps_just_enough_to_be_refused(size: int) -> None:
    lines = list(chain(*split_lines(cut(b"x" * 1000 + b"\nshort\n" + b"y" * 11, size), 10)))
    assert [len(line) > 10 for line in lines] == [True, False, True]
    assert lines[1] == b"short"
    assert all(len(line) <= max(11, size) for line in lines)


async def test_reads_a_pipe_in_order_and_to_its_end() -> None:
    read_end, write_end = os.pipe()
    sent = b"".join(b"%d\n" % n for n in range(200_000))

    def write() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(sent)

    threading.Thread(target=write).start()
    got = [line async for lines in read_lines(read_end, 100) for line in lines]
    os.close(read_end)
    assert b"\n".join(got) + b"\n" == sent


async def test_the_reader_runs_only_so_far_ahead(tmp_path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"1234567\n" * (BLOCK_SIZE // 8) * 40)
    with path.open("rb", buffering=0) as file:
        reader = read_lines(file.fileno(), 100)
        await anext(reader)
        for _ in range(100):
            await asyncio.to_thread(os.sched_yield)
        assert file.tell() <= BLOCK_SIZE * (BLOCKS_AHEAD + 2)
        await reader.aclose()


async def test_unreadable_input_raises() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _ = [lines async for lines in read_lines(read_end, 100)]
    os.close(write_end)
