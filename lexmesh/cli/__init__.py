"""The command line: ``lexmesh demo``, ``mesh start``, ``pub``, ``sub``, ``policy check``, ``policy scan``.

A command lives in the module of its name and is imported when it runs, so that ``lexmesh --help`` answers at once.

- ``app``: the commands and their options, as typer reads them
- ``exits``: every way a command ends, as one line on stderr and an exit code
- ``arguments``, ``urls``, ``signals``, ``state``, ``output``, ``streams``: what several commands need
- ``lines``, ``window``, ``receipts``, ``progress``: what ``pub`` is made of
- ``demo_*``: the three nodes of the demo, what they report, and the sums that must agree
"""

from __future__ import annotations

import signal
import sys

from .streams import open_closed_streams

__all__ = ["main"]


def main() -> None:
    """Runs the command that ``sys.argv`` names and exits with its code."""
    # An interrupt must not be raised in the midst of an import: it would show a traceback, and compiled modules do not
    # all survive it. Until a command is ready to hear it, Ctrl-C just ends the process.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    open_closed_streams()
    from .app import app  # noqa: PLC0415 - typer is slow to import for those who only import the package
    from .exits import run_command  # noqa: PLC0415

    sys.exit(run_command(app, sys.argv[1:] or ["--help"]))
