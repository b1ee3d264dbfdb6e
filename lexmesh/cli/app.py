"""The commands and their options, as typer reads them; the work is in the module that each command imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .arguments import input_file, made_up_name, message_type, node_name, pairs, subject_texts
from .durable_app import durable_app
from .urls import gateway_url

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="A message mesh and gateway that polices every message.")
mesh_app = typer.Typer(help="Run a node of the mesh.")
policy_app = typer.Typer(help="Work with consent policies.")
app.add_typer(mesh_app, name="mesh")
app.add_typer(policy_app, name="policy")
app.add_typer(durable_app, name="durable")

LogLevel = Literal["debug", "info", "warning", "error"]
Url = Annotated[
    str, typer.Argument(metavar="URL", help="The gateway: ws://HOST:PORT or grpc://HOST:PORT", callback=gateway_url)
]
DEFAULT_URL = "ws://127.0.0.1:8765"
NodeUrl = Annotated[
    str, typer.Option("--url", metavar="URL", help="A node: ws://HOST:PORT or grpc://HOST:PORT", callback=gateway_url)
]
AnswerAsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
NodeId = Annotated[
    str | None, typer.Option(callback=node_name, help="This node's name in the mesh; made up when left out.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]
PolicyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Consent policy (TOML) instead of the one that ships with lexmesh.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__  # noqa: PLC0415 - only for this option

        print(f"lexmesh {__version__}")
        raise typer.Exit


@app.callback()
def lexmesh(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long the three nodes talk.")] = 10.0,
    as_json: AsJson = False,
) -> int:
    """Run three nodes on this machine's own readings, then check that every message is accounted for."""
    from .demo import run_demo  # noqa: PLC0415 - each command imports its own work, so that --help stays quick
    from .signals import run_to_exit_code  # noqa: PLC0415

    return run_to_exit_code(run_demo(seconds, as_json=as_json))


@mesh_app.command("start")
def mesh_start(
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port, 0 for any free one. Default 8765.")
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="TCP port for gRPC too, 0 for any free one. Default: no gRPC."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default 127.0.0.1.")] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A node to link to, ws://HOST:PORT or grpc://HOST:PORT; may be repeated."),
    ] = None,
    mesh_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The mesh that it belongs to. Default spiral_codex_mesh.")
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Redis, which carries the mesh too. Default redis://localhost:6379."),
    ] = None,
    no_redis: Annotated[bool, typer.Option("--no-redis", help="Run without Redis.")] = False,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings (TOML).")] = None,
    node_id: NodeId = None,
    policy: PolicyFile = None,
    audit_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append a record of each refused or flagged message, a JSON object a line."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="How much to log on stderr.")] = "warning",
    as_json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON objects.")] = False,
) -> int:
    """Run a node until Ctrl-C or SIGTERM, then drain it; GET /health and /metrics answer on the same port.

    A node is a gateway for clients; with --peer it links to other nodes, and to those it learns of from them.
    With --grpc-port the same node also serves lexmesh.v1.InternodeService: what comes in on either side reaches both.
    SIGHUP reads the policy file again: a bad one is said on stderr, and the policy in force stays.
    """
    from ..transports.loop import run  # noqa: PLC0415
    from .gateway import configured, serve  # noqa: PLC0415

    settings = configured(
        config,
        {
            "websocket_port": port,
            "grpc_port": grpc_port,
            "host": host,
            "redis_url": redis,
            "enable_redis": _redis_wanted(redis, without=no_redis),
            "peers": peer or None,
            "mesh_name": mesh_name,
            "node_id": node_id,
            "policy_file": policy,
            "audit_file": audit_file,
        },
    )
    return run(serve(settings, log_level=log_level, as_json=as_json))


def _redis_wanted(url: str | None, *, without: bool) -> bool | None:
    """What the command line says of Redis; None for nothing."""
    if without and url is not None:
        raise typer.BadParameter("--redis and --no-redis exclude each other")
    return False if without else True if url is not None else None


@mesh_app.command("status")
def mesh_status(url: NodeUrl = DEFAULT_URL, *, as_json: AnswerAsJson = False) -> int:
    """Show how the mesh stands, as one of its nodes sees it."""
    from .mesh_view import show_status  # noqa: PLC0415
    from .signals import run_to_exit_code  # noqa: PLC0415

    return run_to_exit_code(show_status(url, as_json=as_json))


@mesh_app.command("nodes")
def mesh_nodes(url: NodeUrl = DEFAULT_URL, *, as_json: AnswerAsJson = False) -> int:
    """List the nodes of the mesh, as one of them sees them."""
    from .mesh_view import show_nodes  # noqa: PLC0415
    from .signals import run_to_exit_code  # noqa: PLC0415

    return run_to_exit_code(show_nodes(url, as_json=as_json))


@app.command()
def pub(
    url: Url,
    event_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Type of every message.", callback=message_type)
    ] = "sensor_reading",
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One JSON value a line; - is stdin.")] = "-",
    *,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Metadata of every message.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Consent policy (TOML) that each message must pass to be sent; the gateway has its own.",
        ),
    ] = None,
    node_id: NodeId = None,
    as_json: AsJson = False,
) -> int:
    """Publish one message for each line of JSON, and wait until the gateway has confirmed them all.

    Exits with 1 if a line was malformed, a message was denied here or by the gateway, or one may have been lost.
    """
    if file == "-" and event_type != "sensor_reading" and os.path.isfile(event_type):
        raise typer.BadParameter(f"{event_type!r} is a file: write 'lexmesh pub {url} TYPE {event_type}'")
    name = node_id or made_up_name("pub")
    extra = pairs(metadata or [])
    from .publish import publish  # noqa: PLC0415
    from .signals import run_to_exit_code  # noqa: PLC0415

    with input_file(file) as source:
        work = publish(url, event_type, source.fileno(), node_id=name, metadata=extra, policy=policy, as_json=as_json)
        return run_to_exit_code(work)


@app.command()
def sub(
    url: Url,
    subjects: Annotated[
        list[str],
        typer.Argument(metavar="SUBJECT…", help="Types; * is one token, > the rest.", callback=subject_texts),
    ],
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after N messages.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Consent policy (TOML) that each message must pass to be printed."),
    ] = None,
    node_id: NodeId = None,
    as_json: AsJson = False,
) -> int:
    """Print what arrives for some subjects, one JSON message a line; the summary goes to stderr."""
    from .signals import run_to_exit_code  # noqa: PLC0415
    from .subscribe import subscribe  # noqa: PLC0415

    name = node_id or made_up_name("sub")
    fd = sys.stdout.fileno()
    work = subscribe(url, subjects, fd, node_id=name, limit=count, policy=policy, as_json=as_json)
    return run_to_exit_code(work)


@policy_app.command("check")
def policy_check(file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy (TOML).")]) -> int:
    """Validate a policy file and print its digest, before a gateway gets it by start or SIGHUP."""
    from .policy import check_policy  # noqa: PLC0415

    return check_policy(file)


@policy_app.command("scan")
def policy_scan(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help='Messages, such as {"type":"note","data":1}, one a line; - is stdin.'),
    ] = "-",
    policy: PolicyFile = None,
) -> int:
    """Print a policy's verdict on each message, one JSON object a line.

    Exits with 0 whatever the verdicts: allowed, or the rule and the path; flag names a rule that only flags.
    """
    from .policy import scan_messages  # noqa: PLC0415
    from .signals import hear_interrupts  # noqa: PLC0415

    hear_interrupts()

    with input_file(file) as source:
        return scan_messages(source.fileno(), sys.stdout.fileno(), policy)
