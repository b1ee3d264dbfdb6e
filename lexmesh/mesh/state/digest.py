"""Digests of a category: equal ones mean equal keys and writes, and they do not grow with the number of keys."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from lexmesh.mesh.state.register import Register

__all__ = ["BUCKETS", "Digest", "bucket_of"]

BUCKETS = 256
_ALL_BUCKETS = Struct(f">{BUCKETS}Q")


def bucket_of(key: str) -> int:
    """The bucket of a key, below BUCKETS; the same on every node."""
    return blake2b(key.encode(), digest_size=1).digest()[0]


def _hash(key: str, register: Register) -> int:
    hashed = blake2b(key.encode(), digest_size=8)
    for stamp, node, _, value in register.writes:
        hashed.update(b"\0%d %d %s %d %s" % (*stamp, node.encode(), value is None, value or b""))
    return int.from_bytes(hashed.digest(), "big")


class Digest:
    """The digests of one category, kept up to date change by change.

    Attributes:
        buckets: for each bucket the exclusive or of the hashes of its keys.
    """

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS

    def replace(self, key: str, old: Register, new: Register) -> None:
        """Takes a key's old register out and its new one in."""
        change = _hash(key, new)
        if old.writes:
            change ^= _hash(key, old)
        self.buckets[bucket_of(key)] ^= change

    def root(self) -> str:
        """One digest of all buckets: 16 hex digits."""
        return blake2b(_ALL_BUCKETS.pack(*self.buckets), digest_size=8).hexdigest()

    def bucket_texts(self) -> list[str]:
        """Each bucket's digest in hex digits; empty for one that is zero."""
        return [f"{bucket:x}" if bucket else "" for bucket in self.buckets]

    def differing(self, texts: list[str]) -> list[int]:
        """The buckets whose digests are not those of another replica, as `bucket_texts` gave them."""
        return [number for number, text in enumerate(self.bucket_texts()) if text != texts[number]]
