"""A node's entropy level."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["entropy_level"]


def entropy_level(counts: Iterable[int]) -> float:
    """How evenly a node's messages spread over their event types: Shannon's entropy over its greatest value.

    Args:
        counts: messages of each type; zeros count for nothing.

    Returns:
        0 for messages of one type or none, 1 for as many of each.
    """
    counted = [count for count in counts if count > 0]
    if len(counted) < 2:
        return 0.0
    total = sum(counted)
    # fsum: the same whatever order the types come in
    entropy = -math.fsum(count / total * math.log(count / total) for count in counted)
    return min(1.0, entropy / math.log(len(counted)))
