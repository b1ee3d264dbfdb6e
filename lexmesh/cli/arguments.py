"""Arguments that mean more than a string: an input file, ``KEY=VALUE`` pairs, the type of a message."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from typing import IO, Any

import typer

from ..events import RESERVED_PREFIX
from ..node_names import check_name

__all__ = ["input_file", "made_up_name", "message_type", "node_name", "pairs", "subject_texts", "utf8"]

MOST_TYPE_BYTES = 255
"""Of a message's type in UTF-8: what an envelope has room for."""


def utf8(what: str, text: str) -> str:
    """Checks that an argument is text; bytes that are not UTF-8 come as halves of surrogate pairs.

    Args:
        what: what the error calls it.
        text: the argument.

    Returns:
        The same.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{what} {text!a} is not UTF-8") from None
    return text


def input_file(name: str) -> IO[Any]:
    """Opens the file to read; ``-`` is stdin.

    Raises:
        OSError: it cannot be opened.
    """
    return sys.stdin if name == "-" else open(name, "rb", buffering=0)


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Turns ``KEY=VALUE`` texts into a dict.

    Raises:
        typer.BadParameter: one has no ``=`` or no key, or is not UTF-8.
    """
    found: dict[str, str] = {}
    for text in texts:
        utf8("metadata", text)
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise typer.BadParameter(f"metadata '{text}' is not KEY=VALUE")
        found[key] = value
    return found


def message_type(text: str) -> str:
    """Checks the type of messages to publish.

    Raises:
        typer.BadParameter: a wildcard, an empty token, white space, too long, not UTF-8, or one of lexmesh's own types.
    """
    size = len(utf8("the type", text).encode())
    if size > MOST_TYPE_BYTES:
        raise typer.BadParameter(f"a message type has at most {MOST_TYPE_BYTES} bytes, and this one {size}")
    tokens = text.split(".")
    if "" in tokens or "*" in tokens or ">" in tokens or any(mark.isspace() or mark < " " for mark in text):
        raise typer.BadParameter(f"'{text}' is no message type: dot-separated names, without spaces, * or >")
    if text.startswith(RESERVED_PREFIX):
        raise typer.BadParameter(f"'{text}' is reserved: types that begin with {RESERVED_PREFIX} are lexmesh's own")
    return text


def subject_texts(texts: list[str]) -> list[str]:
    """Checks that subjects are text; fits typer's `callback`.

    Raises:
        typer.BadParameter: one is not UTF-8.
    """
    return [utf8("the subject", text) for text in texts]


def node_name(text: str | None) -> str | None:
    """Checks the name that a command gives to its node; fits typer's `callback`.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return None if text is None else check_name(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


def made_up_name(command: str) -> str:
    """A node name for one run of a command."""
    return f"{command}_{secrets.token_hex(4)}"
