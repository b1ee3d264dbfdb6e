"""The audit of a node: a record of each message that its policy refused or flagged, never of its text."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

__all__ = ["DEFAULT_RING", "Audit", "AuditRecord"]

DEFAULT_RING = 1024
"""Records that a node keeps in memory."""

LONGEST_PATH = 256
"""Characters of a path, whose keys are the sender's words; names and subjects are short already on the wire."""


class AuditRecord(NamedTuple):
    """What a policy said of one message.

    Args:
        time: milliseconds since 1970-01-01 UTC.
        id: the message's `source:epoch:seq`; empty if it came without one, or could not be decoded.
        source: the node that the message names as its source; empty if it names none.
        link: where it came from, `host:port` or a node's name; empty for this process.
        subject: the message's type; empty if it could not be decoded.
        rule: the rule it broke or matched; `malformed` if it could not be decoded, `unscannable` if not scanned.
        path: the field that did, such as `metadata.note`; for `malformed`, what is wrong and at which byte.
        action: `deny` if it was refused, `flag` if it passed.
        policy: digest of the policy that said so.
    """

    time: int
    id: str
    source: str
    link: str
    subject: str
    rule: str
    path: str
    action: str
    policy: str


class Audit:
    """The latest records in a ring, and how many there have been.

    Args:
        ring: records to keep; the oldest go first.

    Attributes:
        total: records made.
        lost: records that did not reach the audit file, because the disk failed or was too slow.
        unheard: refusals that no handler of `_lexmesh.denied` was told, because too many waited or it caused them.
    """

    def __init__(self, ring: int = DEFAULT_RING) -> None:
        self.total = self.lost = self.unheard = 0
        self._ring: deque[AuditRecord] = deque(maxlen=ring)
        self._sink: Callable[[AuditRecord], None] | None = None

    def __len__(self) -> int:
        return len(self._ring)

    def recent(self, count: int | None = None) -> list[AuditRecord]:
        """The latest records, oldest first.

        Args:
            count: how many at most; all that are kept when None.

        Returns:
            The records.
        """
        kept = len(self._ring)
        first = 0 if count is None else max(0, kept - max(0, count))
        return list(islice(self._ring, first, kept))

    def write_to(self, sink: Callable[[AuditRecord], None] | None) -> None:
        """Has every further record handed to a sink, which must neither raise nor wait; None ends that."""
        self._sink = sink

    def record(
        self,
        now: int,
        *,
        id: str,
        source: str,
        link: str,
        subject: str,
        rule: str,
        path: str,
        denied: bool,
        policy: str,
    ) -> AuditRecord:
        """Keeps what a policy said of a message; a path is cut to LONGEST_PATH.

        Args:
            now: milliseconds since 1970-01-01 UTC.
            id, source, link, subject, rule, path, policy: as in AuditRecord.
            denied: whether the message was refused.

        Returns:
            The record.
        """
        record = AuditRecord(
            now,
            id,
            source,
            link,
            subject,
            rule,
            path if len(path) <= LONGEST_PATH else path[: LONGEST_PATH - 1] + "…",
            "deny" if denied else "flag",
            policy,
        )
        self.total += 1
        self._ring.append(record)
        if self._sink is not None:
            self._sink(record)
        return record

    def counts(self) -> dict[str, int]:
        """The counters as plain numbers."""
        return {"total": self.total, "lost": self.lost, "unheard": self.unheard}
