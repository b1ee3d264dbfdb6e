"""grpc, loaded so that a server's messages cross as few threads as can be; whoever needs grpc takes it from here.

Without its event engine's listener the thread that waits for grpc's completions polls the sockets itself, as it did
before there was one. Each message of a stream then crosses two threads rather than three, and costs a third less CPU.
grpc reads that switch from the environment once, when it is loaded: so it stands there only meanwhile, and not at all
if the user has set it. If the program has loaded grpc before, nothing changes.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

__all__ = ["grpc"]

EXPERIMENTS = "GRPC_EXPERIMENTS"
WITHOUT_LISTENER = "-event_engine_listener"

LAST_KNOWN = (1, 85)
"""The latest grpc that has the switch; one that does not know it would complain on stderr."""


def _knows_the_switch() -> bool:
    return tuple(int(part) for part in version("grpcio").split(".")[:2]) <= LAST_KNOWN


if EXPERIMENTS not in os.environ and "grpc" not in sys.modules and _knows_the_switch():
    os.environ[EXPERIMENTS] = WITHOUT_LISTENER
    import grpc

    del os.environ[EXPERIMENTS]
else:
    import grpc
