"""What happened in a simulation, in order."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

__all__ = ["Happening", "Trace"]

MOST_KEPT = 10_000


class Happening(NamedTuple):
    """One thing that happened.

    Args:
        time: seconds since the simulation began.
        kind: batch, open, answer, end and reset of connections; crash, pause and so on of the network.
        source, target: nodes.
        size: bytes.
    """

    time: float
    kind: str
    source: str
    target: str
    size: int

    def __str__(self) -> str:
        return f"{self.time:12.6f}  {self.kind:<10} {self.source} -> {self.target}  {self.size or ''}".rstrip()


class Trace:
    """The last happenings, and a digest of all.

    Attributes:
        last: the last ones.
        batches, bytes: by node, what it has sent that arrived.
    """

    def __init__(self) -> None:
        self.last: deque[Happening] = deque(maxlen=MOST_KEPT)
        self.batches: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._digest = blake2b(digest_size=16)

    def note(self, time: float, kind: str, source: str, target: str, content: bytes = b"") -> None:
        """Adds one happening.

        Args:
            time, kind, source, target: as in Happening.
            content: what was carried; only its size is kept, but all of it counts in the digest.
        """
        happening = Happening(time, kind, source, target, len(content))
        self.last.append(happening)
        if content:
            self.batches[source] += 1
            self.bytes[source] += len(content)
        self._digest.update(f"{time!r} {kind} {source} {target} {len(content)} {crc32(content)}\n".encode())

    def digest(self) -> str:
        """Stands for all that happened, to the last byte: 32 hexadecimal digits."""
        return self._digest.hexdigest()
