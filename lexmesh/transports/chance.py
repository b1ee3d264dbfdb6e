"""Where chance comes from, for parts that may also be given another one."""

from __future__ import annotations

import os
import random
from contextvars import ContextVar

__all__ = ["CHANCE", "chance"]

CHANCE: ContextVar[random.Random] = ContextVar("lexmesh_chance")
"""A node's own source of chance, where it must be known: a simulation sets it in the context that the node runs in."""

_OF_THIS_PROCESS = random.Random()  # noqa: S311 - no secret is drawn from it
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_OF_THIS_PROCESS.seed)


def chance() -> random.Random:
    """The source of chance of the running context; not for secrets."""
    return CHANCE.get(_OF_THIS_PROCESS)
