"""What a replica knows of one key: the latest writes that no other has seen, and all that they have seen.

A register is a join semilattice, so replicas agree whatever reaches them, how often, and in which order. Concurrent
writes are known for certain by the dots that each register has seen, not guessed from times (dotted version vectors:
Preguiça, Baquero, Almeida, Fonte and Gonçalves, 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lexmesh.mesh.state.stamp import MOST_COUNT, NEVER, Stamp

__all__ = ["EMPTY", "Register", "Write", "by_time", "by_version", "join", "written"]


class Write(NamedTuple):
    """One write to a key.

    Args:
        stamp: when.
        node: by whom; no node uses a stamp twice.
        version: changes of the key that led here, this one included.
        value: JSON text; None for a deletion.
    """

    stamp: Stamp
    node: str
    version: int
    value: bytes | None

    @property
    def dot(self) -> tuple[str, Stamp]:
        """What tells the write from all others."""
        return self.node, self.stamp


Rank = Callable[[Write], Any]


def by_time(write: Write) -> Any:
    """Order of writes under `latest_wins`: total, and a write that has seen another ranks over it."""
    return write.stamp, write.node, write.value is None, write.value or b""


def by_version(write: Write) -> Any:
    """Order of writes under `highest_version`, likewise."""
    return write.version, *by_time(write)


@dataclass(frozen=True, slots=True)
class Register:
    """The state of a key.

    Args:
        writes: concurrent ones, in the order of their stamps; one where a rank decides.
        seen: of each node that ever wrote the key, the stamp of its latest write that led here.
    """

    writes: tuple[Write, ...] = ()
    seen: Mapping[str, Stamp] | None = None

    @property
    def version(self) -> int:
        """Changes of the key so far; 0 for one never written."""
        return max((write.version for write in self.writes), default=0)

    @property
    def is_deleted(self) -> bool:
        """Whether the key has no value."""
        return all(write.value is None for write in self.writes)

    def has_seen(self, write: Write) -> bool:
        """Whether a write is here, or was here and was overwritten."""
        return self.seen is not None and self.seen.get(write.node, NEVER) >= write.stamp


EMPTY = Register()


def written(register: Register, stamp: Stamp, node: str, value: bytes | None) -> Register:
    """A register after this node has written it, knowing all of it.

    Args:
        register: before.
        stamp: a new stamp of this node's clock.
        node: this node.
        value: JSON text; None to delete.
    """
    version = min(register.version + 1, MOST_COUNT - 1)  # one that no other node takes would part it from them for good
    write = Write(stamp, node, version, value)
    return Register((write,), {**(register.seen or {}), node: stamp})


def join(a: Register, b: Register, rank: Rank | None) -> tuple[Register, tuple[Write, ...]]:
    """The least register that has seen all that two have seen.

    Args:
        a, b: the registers, in either order.
        rank: by which one of concurrent writes wins; None to keep them all.

    Returns:
        The register, and the writes that lost to another which had not seen them.
    """
    if not a.writes and (rank is None or len(b.writes) == 1):  # what a node that has just come gets
        return b, ()
    kept = {write.dot: write for write in _survivors(a, b)}
    for write in _survivors(b, a):
        other = kept.get(write.dot)
        # a node whose clock went back over a restart may have used a stamp twice; the order of values decides
        kept[write.dot] = write if other is None else max(write, other, key=by_time)
    seen = _joined(a.seen or {}, b.seen or {})
    writes = sorted(kept.values(), key=by_time)
    if rank is None or len(writes) < 2:
        return Register(tuple(writes), seen), ()
    winner = max(writes, key=rank)
    return Register((winner,), seen), tuple(write for write in writes if write is not winner)


def _survivors(of: Register, other: Register) -> Iterable[Write]:
    present = {write.dot for write in other.writes}
    return (write for write in of.writes if write.dot in present or not other.has_seen(write))


def _joined(a: Mapping[str, Stamp], b: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
    if not a or a == b:
        return b
    return {**a, **{node: max(stamp, a.get(node, NEVER)) for node, stamp in b.items()}}
