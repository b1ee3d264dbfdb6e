"""Servers for protocol suites and experiments; each runs until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse

from lexmesh.testing.echo import EchoServer
from lexmesh.transports.loop import run_until_signal


def main() -> None:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m lexmesh.testing", description=__doc__)
    tools = parser.add_subparsers(dest="tool", required=True, metavar="TOOL")
    echo = tools.add_parser("echo", help="a WebSocket server that sends back what it gets, on the gateway's own links")
    echo.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    echo.add_argument("--port", type=int, default=0, help="TCP port (default: any free one, which is printed)")
    options = parser.parse_args()
    run_until_signal(EchoServer(options.host, options.port, announce=True))


if __name__ == "__main__":
    main()
