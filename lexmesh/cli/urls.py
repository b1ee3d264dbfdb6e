"""The address of a gateway, as a person types it."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer

from ..errors import ConnectError
from ..transports.grpc_url import SCHEMES, host_and_port
from .arguments import utf8

__all__ = ["gateway_url"]


def gateway_url(text: str) -> str:
    """Checks the URL argument of a command; fits typer's `callback`.

    Args:
        text: as typed.

    Returns:
        The same.

    Raises:
        typer.BadParameter: empty, not UTF-8, no scheme, a scheme that no gateway has, no host, or a port that is none.
    """
    if not utf8("the URL", text).strip():
        raise typer.BadParameter("the URL is empty; write ws://HOST:PORT")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise typer.BadParameter(_without_scheme(text))
    if scheme.lower() not in ("ws", "wss", "grpc", "grpcs"):
        choices = f"ws://{rest} (or wss:// for TLS), or grpc://{rest} (or grpcs://)"
        raise typer.BadParameter(f"'{scheme}://' is not a gateway's scheme; write {choices}")
    if scheme.lower() in SCHEMES:
        _check_grpc(text)
        return text
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no URL: {error}") from None
    if not host:
        raise typer.BadParameter(f"'{text}' names no host; write ws://HOST:PORT")
    return text


def _without_scheme(text: str) -> str:
    """What to write in place of a URL without ://."""
    scheme, colon, _ = text.partition(":")
    if colon and scheme.lower() in SCHEMES:
        return f"a URL begins with {scheme}://; write {scheme}://HOST:PORT"
    return f"'{text}' has no scheme; write ws://{text}"


def _check_grpc(text: str) -> None:
    try:
        host_and_port(text)
    except ConnectError as error:
        raise typer.BadParameter(f"'{error.url}' is {error.reason}") from None
