"""The commands of ``lexmesh durable`` and their options, as typer reads them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .durable import Durable

__all__ = ["durable_app"]

durable_app = typer.Typer(help="Look after the durable groups of a mesh: work kept on Redis until it is done.")

Redis = Annotated[
    str | None, typer.Option("--redis", metavar="URL", help="Where Redis is. Default redis://localhost:6379.")
]
MeshName = Annotated[
    str | None, typer.Option("--mesh-name", metavar="NAME", help="The mesh. Default spiral_codex_mesh.")
]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON objects, one a line.")]
Subject = Annotated[str, typer.Option("--subject", metavar="SUBJECT", help="Only of this subject pattern.")]
Group = Annotated[str, typer.Option("--group", metavar="GROUP", help="Only of this group.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Dead letters, as `dead` lists them.")]
All = Annotated[bool, typer.Option("--all", help="All there are, or all of --subject and --group.")]


@durable_app.command("groups")
def durable_groups(
    redis: Redis = None, mesh_name: MeshName = None, config: Config = None, *, as_json: AsJson = False
) -> int:
    """List the durable groups of a mesh, and how much waits in each."""
    return _run(redis, mesh_name, config, lambda work: work.show_groups(as_json=as_json))


@durable_app.command("dead")
def durable_dead(
    subject: Subject = "",
    group: Group = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The latest N.")] = 100,
    redis: Redis = None,
    mesh_name: MeshName = None,
    config: Config = None,
    *,
    as_json: AsJson = False,
) -> int:
    """List the dead letters: work that was given up, why, and after how many attempts; --json has the events too."""
    return _run(redis, mesh_name, config, lambda work: work.show_dead(subject, group, limit, as_json=as_json))


@durable_app.command("replay")
def durable_replay(
    ids: Ids = None,
    *,
    everything: All = False,
    subject: Subject = "",
    group: Group = "",
    redis: Redis = None,
    mesh_name: MeshName = None,
    config: Config = None,
) -> int:
    """Have dead letters tried again by their group, with all attempts anew."""
    _check_choice(ids, everything)
    return _run(redis, mesh_name, config, lambda work: work.replay(ids or [], subject, group))


@durable_app.command("drop")
def durable_drop(
    ids: Ids = None,
    *,
    everything: All = False,
    subject: Subject = "",
    group: Group = "",
    redis: Redis = None,
    mesh_name: MeshName = None,
    config: Config = None,
) -> int:
    """Delete dead letters for good."""
    _check_choice(ids, everything)
    return _run(redis, mesh_name, config, lambda work: work.drop(ids or [], subject, group))


@durable_app.command("forget")
def durable_forget(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The group's subject pattern.")],
    group: Annotated[str, typer.Argument(metavar="GROUP", help="Its name.")],
    redis: Redis = None,
    mesh_name: MeshName = None,
    config: Config = None,
) -> int:
    """End a durable group, with all that waits in it. A node that still subscribes to it makes it anew, empty."""
    return _run(redis, mesh_name, config, lambda work: work.forget(subject, group))


def _check_choice(ids: list[str] | None, everything: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("name dead letters by their ids, or give --all")


def _run(
    redis: str | None,
    mesh_name: str | None,
    config: Path | None,
    command: Callable[[Durable], Coroutine[Any, Any, int]],
) -> int:
    from .durable import with_redis  # noqa: PLC0415 - each command imports its own work, so that --help stays quick
    from .gateway import configured  # noqa: PLC0415
    from .signals import run_to_exit_code  # noqa: PLC0415

    settings = configured(config, {"redis_url": redis, "mesh_name": mesh_name})
    return run_to_exit_code(with_redis(settings, command))
