"""A server for protocol suites, and a report on meshes of many simulated nodes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lexmesh.testing.echo import EchoServer
from lexmesh.testing.many_nodes import report
from lexmesh.transports.loop import run_until_signal


def main() -> None:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m lexmesh.testing", description=__doc__)
    tools = parser.add_subparsers(dest="tool", required=True, metavar="TOOL")
    echo = tools.add_parser("echo", help="a WebSocket server that sends back what it gets, on the gateway's own links")
    echo.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    echo.add_argument("--port", type=int, default=0, help="TCP port (default: any free one, which is printed)")
    mesh = tools.add_parser(
        "mesh", help="simulates many nodes in virtual time; tells how fast they converge, and the cost"
    )
    mesh.add_argument("--nodes", type=int, default=500, help="how many (default: %(default)s)")
    mesh.add_argument("--seed", type=int, default=1, help="of all chance (default: %(default)s)")
    mesh.add_argument("--learned-links", type=int, default=4, help="as in MeshConfig (default: %(default)s)")
    mesh.add_argument("--heartbeat-interval", type=float, default=30.0, help="seconds (default: %(default)s)")
    mesh.add_argument("--json", action="store_true", help="as one JSON object")
    options = parser.parse_args()
    if options.tool == "mesh":
        if options.nodes < 1 or options.learned_links < 0 or not options.heartbeat_interval > 0:
            parser.error("--nodes and --heartbeat-interval must be more than 0, --learned-links 0 or more")
        found = report(options.nodes, options.seed, options.learned_links, options.heartbeat_interval)
        print(json.dumps(found) if options.json else _lines(found))
        return
    run_until_signal(EchoServer(options.host, options.port, announce=True))


def _lines(found: dict[str, Any], indent: str = "") -> str:
    lines = []
    for name, value in found.items():
        told = f"\n{_lines(value, indent + '  ')}" if isinstance(value, dict) else f" {value}"
        lines.append(f"{indent}{name.replace('_', ' ')}:{told}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
