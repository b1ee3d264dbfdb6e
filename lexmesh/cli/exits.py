"""Every way a command ends: one line on stderr and an exit code, never a traceback.

| code | meaning |
| --- | --- |
| 0 | done; also when the reader of our output closed its end (``lexmesh sub … | head -1``) |
| 1 | failure: port in use, no such host, bad TOML, a malformed line, denied or lost messages |
| 2 | usage: an unknown option, a URL that is none |
| 130 | Ctrl-C |
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from ..errors import LexmeshError
from .streams import silence_stdout

__all__ = ["FAILURE", "INTERRUPTED", "OK", "USAGE", "complain", "run_command"]

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell counts

# typer carries its own click since 0.26 and imports the real one before: this is ClickException in both.
_CLICK_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]


def complain(message: str) -> None:
    """Writes one line to stderr, whatever the message holds; nobody may be there to read it."""
    with contextlib.suppress(OSError):
        print("lexmesh:", " ".join(message.split()), file=sys.stderr, flush=True)


def run_command(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Runs one command line.

    Args:
        app: the commands.
        arguments: without the program's name.

    Returns:
        The exit code; what went wrong has been said on stderr.
    """
    try:
        code = _invoke(app, arguments)
        sys.stdout.flush()
        return code
    except typer.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return OK
    except Exception as error:
        complain(_explanation(error))
        return _code_of(error)


def _invoke(app: typer.Typer, arguments: Sequence[str]) -> int:
    # Not app(): that prints errors in boxes of several lines and turns a closed pipe into a failure.
    command = typer.main.get_command(app)
    with command.make_context("lexmesh", list(arguments)) as context:
        code = command.invoke(context)
    return code if isinstance(code, int) else OK


def _code_of(error: Exception) -> int:
    return USAGE if isinstance(error, _CLICK_ERROR) else FAILURE


def _explanation(error: Exception) -> str:
    if isinstance(error, _CLICK_ERROR):
        return _usage(error)
    if isinstance(error, LexmeshError):
        return str(error)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{where}{(error.strerror or str(error)).lower()}"
    if os.environ.get("LEXMESH_DEBUG"):
        raise error
    return f"internal error: {type(error).__name__}: {error} (set LEXMESH_DEBUG=1 to see where)"


def _usage(error: Exception) -> str:
    message = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]  # ClickException, see above
    message = message.replace(": Value error, ", ": ").replace(": Input should", ": it should")  # pydantic's, in typer
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "lexmesh"
    return f"{message[:1].lower()}{message[1:]} (see '{path} --help')"
