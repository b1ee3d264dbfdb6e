"""A gateway's process that serves gRPC too."""

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from cli_process import Gateway, gateway


@contextmanager
def grpc_gateway(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Gateway]:
    """A gateway with gRPC on any free port."""
    with gateway("--grpc-port", "0", *arguments, env=env) as running:
        yield running


def grpc_address(running: Gateway) -> str:
    """Where its gRPC is, as host:port."""
    return orjson.loads(running.seen["stdout"][0])["grpc"].partition("://")[2]
