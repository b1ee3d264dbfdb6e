"""``lexmesh mesh status`` and ``mesh nodes``: what a running node says of its mesh."""

from __future__ import annotations

import sys
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ConnectError, DisconnectedError, HandshakeError, RequestTimeoutError, TransportError
from ..mesh.membership import STATUS
from ..metrics import REDIS_LOSSES
from ..transports.clients import client_of
from .arguments import made_up_name
from .exits import OK

__all__ = ["show_nodes", "show_status"]

ANSWER_SECONDS: Final = 10.0
NARROWEST: Final = 100  # columns, where the output is no terminal


async def show_status(url: str, *, as_json: bool) -> int:
    """Prints how a mesh stands.

    Args:
        url: of one of its nodes.
        as_json: the node's answer as it came, else a table.

    Returns:
        0.

    Raises:
        TransportError: nothing answers there, or no node.
    """
    status = await _asked(url)
    if as_json:
        _print_json(status)
        return OK
    table = Table(show_header=False)
    for name, value in _summary(status):
        table.add_row(Text(name), Text(value))
    _console().print(table)
    return OK


async def show_nodes(url: str, *, as_json: bool) -> int:
    """Prints the nodes of a mesh; arguments and errors as for show_status."""
    status = await _asked(url)
    if as_json:
        _print_json(status["nodes"])
        return OK
    table = Table()
    for heading in ("node", "status", "heartbeat", "rtt", "messages", "queue", "cpu", "links", "capabilities"):
        table.add_column(heading)
    for node in sorted(status["nodes"], key=lambda node: str(node["node_id"])):
        table.add_row(*(Text(cell) for cell in _cells(node)))
    _console().print(table)
    return OK


async def _asked(url: str) -> dict[str, Any]:
    client = client_of(made_up_name("view"), url)
    await client.connect(ANSWER_SECONDS)
    try:
        answer = await client.ask(STATUS, timeout=ANSWER_SECONDS)
    except (ConnectError, HandshakeError, DisconnectedError, RequestTimeoutError):
        raise
    except TransportError:
        raise HandshakeError(url, "what answers there is a gateway, and no node of a mesh") from None
    finally:
        await client.disconnect()
    if not isinstance(answer, dict) or not isinstance(answer.get("nodes"), list):
        raise HandshakeError(url, "its answer is not that of a node")
    return answer


def _summary(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("node", str(status["node_id"])),
        ("mesh", str(status["mesh_name"])),
        ("status", str(status["status"])),
        ("uptime", f"{status['uptime']:.0f} s"),
        ("connected nodes", str(status["connected_nodes"])),
        ("links", ", ".join(status["links"]) or "none"),
        *_redis(status.get("redis")),
        ("average entropy", f"{status['average_entropy']:.2f}"),
        ("total recursion depth", str(status["total_recursion_depth"])),
        *((f"no link to {url}", str(fault)) for url, fault in status["faults"].items()),
    ]


def _redis(state: Any) -> list[tuple[str, str]]:
    """A line about Redis, where the node uses it."""
    if not isinstance(state, dict):
        return []
    losses = ", ".join(f"{name} {state[name]}" for name in REDIS_LOSSES if state.get(name))
    how = f"up, {len(state['nodes'])} other nodes" if state["up"] else f"down: {state['fault'] or 'connecting'}"
    return [("Redis", f"{state['url']}, {how}{'; ' if losses else ''}{losses}")]


def _cells(node: dict[str, Any]) -> tuple[str, ...]:
    rtt = node["rtt"]
    return (
        str(node["node_id"]),
        str(node["status"]),
        f"{node['heartbeat_age']:.1f} s ago",
        "" if rtt is None else f"{rtt:.1f} ms",
        str(node["total_messages"]),
        str(node["queue_depth"]),
        f"{node['cpu']:.0%}",
        ", ".join(node["links"]),
        ", ".join(node["capabilities"]),
    )


def _console() -> Console:
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=NARROWEST)


def _print_json(data: Any) -> None:
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
