"""What the demo shows: a live table on a terminal, else a plain line each second; then the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .demo_ledger import Accounts, Check
from .demo_roles import CONTROL, GATEWAY, SENSOR

__all__ = ["live_table", "plain_line", "show_ledger"]

Statuses = Mapping[str, Mapping[str, Any]]


def live_table(statuses: Statuses, pids: Mapping[str, int]) -> Table:
    """The nodes as they are now.

    Args:
        statuses: each node's last report, empty before the first.
        pids: each node's process id.
    """
    table = Table(title="lexmesh demo", title_justify="left")
    for heading in ("node", "pid", "sent", "received", "denied", "now"):
        table.add_column(heading, justify="right" if heading in ("pid", "sent", "received", "denied") else "left")
    ledger = statuses[GATEWAY].get("ledger")
    if ledger is not None:
        egress, denied = ledger["egress"]["delivered"], ledger["ingress"]["denied"]
        table.add_row(GATEWAY, str(pids[GATEWAY]), str(egress), str(ledger["taken"]), str(denied), _by_rule(ledger))
    for node in (SENSOR, CONTROL):
        status = statuses[node]
        counts = (str(status.get("sent", 0)), str(status.get("received", 0)), _denied_here(status))
        table.add_row(node, str(pids[node]), *counts, _now(status))
    return table


def plain_line(statuses: Statuses) -> str:
    """The nodes as they are now, on one line."""
    ledger = statuses[GATEWAY].get("ledger")
    counted = "starting"
    if ledger is not None:
        counted = (
            f"taken {ledger['taken']}, delivered {ledger['egress']['delivered']}, denied {ledger['ingress']['denied']}"
            f" and {_denied_here(statuses[CONTROL]) or 0} before sending"
        )
    latest = _now(statuses[SENSOR])
    return f"{counted}; {latest}" if latest else counted


def show_ledger(accounts: Accounts, done: Sequence[Check]) -> None:
    """Prints the sums and their verdict: a table on a terminal, else a line each.

    Args:
        accounts: the final reports.
        done: every check, with both of its sides.
    """
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(_ledger_table(done))
    else:
        for check in done:
            print(f"{_mark(check)}  {check.claim}: {_side(check.left)} / {_side(check.right)}")
    totals = accounts.totals()
    print(
        f"sent {totals['sent']}, delivered {totals['delivered']}, "
        f"denied before sending {totals['denied_before_sending']}, "
        f"denied by the gateway {totals['denied']} ({_by_rule(totals)}), dropped {totals['dropped']}"
    )
    print("balanced" if all(check.agrees for check in done) else "the sums do not agree")


def _ledger_table(done: Sequence[Check]) -> Table:
    table = Table(title="ledger", title_justify="left")
    table.add_column("sum")
    table.add_column("one side", justify="right")
    table.add_column("other side", justify="right")
    table.add_column("")
    for check in done:
        table.add_row(check.claim, _side(check.left, "\n"), _side(check.right, "\n"), _mark(check))
    return table


def _mark(check: Check) -> str:
    return "ok" if check.agrees else "DIFFERS"


def _side(value: Any, separator: str = ", ") -> str:
    if not isinstance(value, dict):
        return str(value)
    return separator.join(f"{name} {count}" for name, count in sorted(value.items()))


def _by_rule(counts: Mapping[str, Any]) -> str:
    return _side(counts["denied_by_rule"])


def _denied_here(status: Mapping[str, Any]) -> str:
    """What a node's own client refused to send; empty for a node that never tries."""
    return str(sum(status["denied_here"].values())) if "denied_here" in status else ""


def _now(status: Mapping[str, Any]) -> str:
    if "latest" in status:
        return ", ".join(f"{sensor} {value}" for sensor, value in status["latest"].items())
    return f"{status['replies']} replies" if "replies" in status else ""
