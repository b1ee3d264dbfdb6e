"""Whether what a caller gives is usable, said where it is given and in one line."""

from __future__ import annotations

import ipaddress
import math

from lexmesh.errors import ConfigError

MOST_PORT = 65_535


def check_port(port: object, least: int = 0) -> int:
    """Checks a TCP port; grpc itself would take any number modulo 65536.

    Args:
        port: as given.
        least: 0 where that means any free port, else 1.

    Raises:
        ConfigError: if it is none.
    """
    if not isinstance(port, int) or isinstance(port, bool) or not least <= port <= MOST_PORT:
        raise ConfigError("port", repr(port), f"must be a whole number from {least} to {MOST_PORT}")
    return port


def check_host(host: object) -> str:
    """Checks a host that a client connects to; what is none is not repeated, since a URL may hold a password.

    Args:
        host: as given.

    Raises:
        ConfigError: if it is neither a name nor an address.
    """
    if not isinstance(host, str) or not host or any(mark in host for mark in "/@?#[] ") or not _fits_colons(host):
        raise ConfigError("host", None, "must be a name or an address, not a URL; the port is an argument of its own")
    return host


def _fits_colons(host: str) -> bool:
    """Whether a host is an IPv6 address if it has colons."""
    if ":" not in host:
        return True
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def check_seconds(name: str, seconds: object) -> None:
    """Checks how long something may take.

    Args:
        name: of the argument.
        seconds: as given.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is not a number or less than 0.
    """
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{name} must be a number of seconds, {type(seconds).__name__} is not")
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"{name} = {seconds!r}: must be 0 seconds or more")


def check_text(name: str, value: object) -> None:
    """Raises TypeError for an argument that is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, {type(value).__name__} is not")
