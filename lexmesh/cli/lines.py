"""Lines of a file or pipe, read in large blocks by a thread, so that the event loop never waits for input."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

__all__ = ["read_blocks", "read_lines", "split_lines"]

BLOCK_SIZE: Final = 256 * 1024  # a pipe on Linux holds 64 KiB, a file gives all of this
BLOCKS_AHEAD: Final = 4  # read, but not yet taken by the loop: bounds memory when the gateway is the slower one


def read_blocks(fd: int) -> Iterator[bytes]:
    """Reads until the end, as much at a time as there is: a slow pipe gives short blocks, but gives them at once."""
    while block := os.read(fd, BLOCK_SIZE):
        yield block


def split_lines(blocks: Iterable[bytes], longest: int) -> Iterator[list[bytes]]:
    """Cuts blocks into lines, without their line feeds.

    Args:
        blocks: the input, cut anywhere.
        longest: most bytes of one line; of a longer one only the first `longest` + 1 are kept, to be refused by length.

    Yields:
        The lines that each block completes; at the end the last one, if no line feed follows it.
    """
    begun: list[bytes] = []  # parts of a line whose end has not come yet
    room = longest + 1
    for block in blocks:
        lines = block.split(b"\n")
        if len(lines) > 1:
            begun.append(lines[0][:room])
            lines[0] = b"".join(begun)
            begun, room = [], longest + 1
        rest = lines.pop()[:room]
        if rest:
            begun.append(rest)
            room -= len(rest)
        if lines:
            yield lines
    if begun:
        yield [b"".join(begun)]


async def read_lines(fd: int, longest: int) -> AsyncIterator[list[bytes]]:
    """Reads lines in a thread, at most `BLOCKS_AHEAD` blocks ahead of whoever takes them.

    The thread is a daemon: one that waits for a terminal does not keep the process from ending.

    Args:
        fd: an open file descriptor.
        longest: as in `split_lines`.

    Yields:
        Some lines at a time, in order.

    Raises:
        OSError: the input cannot be read.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[list[bytes] | OSError | None] = asyncio.Queue()
    slots = threading.Semaphore(BLOCKS_AHEAD)

    def hand_over(item: list[bytes] | OSError | None) -> None:
        loop.call_soon_threadsafe(ready.put_nowait, item)

    def read() -> None:
        try:
            for lines in split_lines(read_blocks(fd), longest):
                slots.acquire()
                hand_over(lines)
            hand_over(None)
        except OSError as error:
            hand_over(error)
        except RuntimeError:  # the loop has been closed: nobody waits for more
            pass

    threading.Thread(target=read, name="lexmesh-lines", daemon=True).start()
    while (item := await ready.get()) is not None:
        if isinstance(item, OSError):
            raise item
        yield item
        slots.release()
