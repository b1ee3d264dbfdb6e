"""The address of a gateway, as a person types it."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer

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
        raise typer.BadParameter(f"'{text}' has no scheme; write ws://{text}")
    if scheme.lower() not in ("ws", "wss", "grpc", "grpcs"):
        choices = f"ws://{rest} (or wss:// for TLS), or grpc://{rest} (or grpcs://)"
        raise typer.BadParameter(f"'{scheme}://' is not a gateway's scheme; write {choices}")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no URL: {error}") from None
    if not host:
        raise typer.BadParameter(f"'{text}' names no host; write ws://HOST:PORT")
    return text
