"""``lexmesh mesh start``: a node until SIGINT or SIGTERM, then a clean drain; SIGHUP reloads its policy."""

from __future__ import annotations

import asyncio
import logging
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import orjson

from ..config import MeshConfig
from ..errors import ConfigError
from ..mesh.core import MeshCore
from ..metrics import HEALTH_CONTENT_TYPE, METRICS_CONTENT_TYPE, health_json, prometheus_text
from ..transports.loop import reload_on_hangup, settle
from .exits import OK
from .signals import on_termination
from .streams import silence_stdout

__all__ = ["configured", "serve"]

FLAGS: Final = {
    "websocket_port": "--port",
    "grpc_port": "--grpc-port",
    "host": "--host",
    "redis_url": "--redis",
    "enable_redis": "--no-redis",
    "peers": "--peer",
    "mesh_name": "--mesh-name",
    "node_id": "--node-id",
    "policy_file": "--policy",
    "audit_file": "--audit-file",
}
"""What the command line calls the options of the configuration that it sets."""


def configured(file: Path | None, options: dict[str, Any]) -> MeshConfig:
    """Settings from the command line, the environment and a file.

    Args:
        file: TOML, or None.
        options: by field name, of FLAGS; those that are None were not given.

    Returns:
        The settings.

    Raises:
        ConfigError: an option or the file is no good.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        config = MeshConfig(**given) if file is None else MeshConfig.load(file, **given)
    except ConfigError as error:
        option = error.option.partition(".")[0]
        if error.source or option not in given:
            raise
        raise ConfigError(error.option, error.value, error.reason, FLAGS[option]) from None
    config.came_from({name: FLAGS[name] for name in given})
    if not config.enable_websocket:
        reason = "leaves a gateway nothing to listen on; set it to true"
        raise ConfigError("enable_websocket", "False", reason, config.source_of("enable_websocket"))
    return config


async def serve(config: MeshConfig, *, log_level: str, as_json: bool) -> int:
    """Runs a node until it is told to end.

    Args:
        config: its settings.
        log_level: of the log on stderr.
        as_json: say what happens as JSON objects.

    Returns:
        0, after the drain.

    Raises:
        PolicyError: the consent policy cannot be loaded.
        PortInUseError: the port is taken.
        TransportError: the address cannot be listened on.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("lexmesh.policy").setLevel(logging.INFO)  # whoever asks for a reload wants to hear of it
    if config.grpc_port is not None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # grpc logs what strangers do wrong, as often as they do it
    mesh = MeshCore(config)
    _add_pages(mesh)
    stop = asyncio.Event()
    on_termination(lambda _signal: stop.set())
    reload_on_hangup(mesh)
    async with mesh:
        settle()
        _tell_listening(config, mesh.port, mesh.grpc_port, as_json)
        await stop.wait()
    _tell_ledger(mesh.ledger(), as_json)
    return OK


def _add_pages(mesh: MeshCore) -> None:
    add = mesh.gateway.add_page
    add("/health", lambda: (HTTPStatus.OK, HEALTH_CONTENT_TYPE, health_json(mesh.ledger())))
    add("/metrics", lambda: (HTTPStatus.OK, METRICS_CONTENT_TYPE, prometheus_text(mesh.ledger())))


def _tell_listening(config: MeshConfig, port: int, grpc_port: int | None, as_json: bool) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    grpc = f"{'grpcs' if config.grpc_tls_certificate else 'grpc'}://{host}:{grpc_port}"
    if as_json:
        also = {} if grpc_port is None else {"grpc": grpc}
        _say(orjson.dumps({"listening": f"ws://{host}:{port}", "node_id": config.node_id, **also}).decode())
    else:
        also_text = "" if grpc_port is None else f" and {grpc}"
        _say(f"{config.node_id} listening on ws://{host}:{port}{also_text} (also http: /health, /metrics)")


def _tell_ledger(ledger: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _say(orjson.dumps({"ledger": ledger}).decode())
        return
    ingress = ", ".join(f"{name} {count}" for name, count in ledger["ingress"].items() if count)
    egress = ledger["egress"]
    dropped = sum(egress["dropped"].values())
    _say(
        f"{ledger['node_id']} stopped: taken {ledger['taken']}{f' ({ingress})' if ingress else ''}, "
        f"delivered {egress['delivered']}, dropped {dropped}, failed {egress['failed']}"
        f"{', balanced' if ledger['balanced'] else '; the sums do not agree'}"
    )


def _say(line: str) -> None:
    # A gateway outlives the pipe that its start was logged to.
    try:
        print(line, flush=True)
    except OSError:
        silence_stdout()
