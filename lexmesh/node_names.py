"""What a node, or a mesh, may be called: the same for settings, servers, clients and commands."""

from __future__ import annotations

__all__ = ["MOST_BYTES", "MOST_CHARACTERS", "check_name", "check_node_id"]

MOST_CHARACTERS = 128

MOST_BYTES = 255
"""Of the name in UTF-8: what a message has room for."""

RULE = (
    f"must be 1 to {MOST_CHARACTERS} characters without spaces or control characters, and at most {MOST_BYTES} bytes"
    " in UTF-8"
)


def check_name(name: str) -> str:
    """Checks a name.

    Args:
        name: the name.

    Returns:
        The same.

    Raises:
        ValueError: it is none; says what one is.
    """
    if not 1 <= len(name) <= MOST_CHARACTERS or any(map(_is_blank, name)) or not _fits(name):
        raise ValueError(RULE)
    return name


def check_node_id(name: str) -> str:
    """Checks the name that a program gives to a node, as `check_name` does.

    Raises:
        TypeError: it is no text.
        ValueError: it is no name; says which, and what one is.
    """
    if not isinstance(name, str):
        raise TypeError(f"node_id must be a str, {type(name).__name__} is not")
    try:
        return check_name(name)
    except ValueError as error:
        raise ValueError(f"node_id = {name!r}: {error}") from None


def _is_blank(character: str) -> bool:
    """Whether a character is white space or a control character (C0, DEL, C1)."""
    return character.isspace() or character < " " or "\x7f" <= character <= "\x9f"


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= MOST_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
