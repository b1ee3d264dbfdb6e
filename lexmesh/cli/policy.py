"""``lexmesh policy``: check a policy file; ask a policy for its verdicts on messages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from ..nsr import NsrPolicy
from ..nsr.configured import named_policy
from .exits import OK
from .lines import read_blocks, split_lines
from .output import LineOutput

if TYPE_CHECKING:
    from ..nsr import Verdict

__all__ = ["check_policy", "scan_messages"]

LONGEST_MESSAGE: Final = 64 * 1024 * 1024  # the most that any gateway can be told to take


def check_policy(file: Path) -> int:
    """Validates a policy and says so, with the digest that audit records and metrics call it by.

    Args:
        file: the policy, TOML.

    Returns:
        0.

    Raises:
        PolicyError: with file, line and reason.
    """
    policy = NsrPolicy.load(file)
    print(f"{file}: ok, digest {policy.digest}")
    return OK


def scan_messages(source: int, target: int, policy_file: Path | None) -> int:
    """Writes one verdict a line for one JSON message a line, in the same order.

    Args:
        source: file descriptor to read.
        target: file descriptor to write.
        policy_file: the policy; None for the one that ships with lexmesh.

    Returns:
        0, whatever the verdicts: they are the answer, not a failure.

    Raises:
        PolicyError: with file, line and reason.
        OSError: reading or writing failed.
    """
    policy = NsrPolicy.default() if policy_file is None else named_policy(policy_file, "--policy")
    output = LineOutput(target)
    for lines in split_lines(read_blocks(source), LONGEST_MESSAGE):
        for line in lines:
            output.add(_as_json(policy.check_json(line)))
        output.flush()  # whoever types or pipes slowly sees each verdict at once
        if output.closed:
            break
    output.finish()
    return OK


def _as_json(verdict: Verdict) -> bytes:
    return orjson.dumps(asdict(verdict))
