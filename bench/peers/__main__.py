"""python -m bench.peers [--quick] [--only SCENARIO] [--json]"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import connections, installed, memory, python_pair, record, relay, round_trip, table
from .figures import Row
from .generator import Generator, LoadError
from .plan import FULL, QUICK, Plan
from .server_process import ServerError

SCENARIOS: dict[str, Callable[[Generator, Plan], list[Row]]] = {
    "relay": relay.measure,
    "python": python_pair.measure,
    "round-trip": round_trip.measure,
    "connections": connections.measure,
    "memory": memory.measure,
}
MOST_SECONDS = 480
"""A run that takes longer is stopped: something hangs."""
FAILED, MISSED, MISSING, INTERRUPTED = 1, 3, 2, 130
FAILURES = (LoadError, ServerError, python_pair.PairError, connections.TooFewDescriptorsError, OSError, AssertionError)


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="lexmesh beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a few messages of everything: does it work?")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="this scenario; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the record, not the table")
    parser.add_argument("--check", action="store_true", help="only see whether all peers are installed")
    parser.add_argument("--strict", action="store_true", help=f"exit {MISSED} if a target is missed")
    parser.add_argument("--record", type=Path, help="directory for <date>.json (default: bench/record, full runs only)")
    return parser.parse_args(given)


def measure(options: argparse.Namespace) -> list[Row]:
    """Runs the scenarios that were asked for."""
    rows: list[Row] = []
    with Generator() as generator:
        for name in options.only or SCENARIOS:
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            rows += SCENARIOS[name](generator, QUICK if options.quick else FULL)
    return rows


def tell(rows: list[Row], options: argparse.Namespace, seconds: float) -> None:
    """Prints the run and keeps it: a whole one in bench/record, any other where `--record` says."""
    run = record.made(rows, seconds)
    print(json.dumps(run, indent=1, ensure_ascii=False) if options.json else "\n".join(table.lines(rows)))
    if run["load_average"] > run["cores"]:
        print(
            f"bench: load average {run['load_average']:g} on {run['cores']} cores: trust ratios only", file=sys.stderr
        )
    if options.record or not (options.quick or options.only):
        path = record.write(run, options.record or record.DIRECTORY)
        print(f"bench: kept in {path}", file=sys.stderr)


def main(given: list[str]) -> int:
    """Measures, prints, keeps; returns the exit code."""
    options = arguments(given)
    started = time.monotonic()
    try:
        installed.check()
        if options.check:
            return 0
        rows = measure(options)
    except installed.MissingPeerError as error:
        print("\n".join(f"bench: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return MISSING
    except FAILURES as error:
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return INTERRUPTED
    tell(rows, options, time.monotonic() - started)
    missed = any(not target.holds(row.samples) for row in rows for target in row.targets)
    return MISSED if options.strict and missed else 0


def stop(_number: int, _frame: object) -> None:
    """Ends the run like Ctrl-C does, so that its servers are ended too."""
    raise KeyboardInterrupt


def too_long(_number: int, _frame: object) -> None:
    raise LoadError(f"not done after {MOST_SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(MOST_SECONDS)
    sys.exit(main(sys.argv[1:]))
