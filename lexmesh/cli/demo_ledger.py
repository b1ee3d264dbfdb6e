"""The sums of the demo that must agree, each counted by two processes that share nothing but the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .demo_roles import CONTROL, SENSOR

__all__ = ["Accounts", "Check", "checks"]

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One claim: two counts of the same thing.

    Attributes:
        claim: what is counted, and by whom.
        left: the one count.
        right: the other.
    """

    claim: str
    left: Any
    right: Any

    @property
    def agrees(self) -> bool:
        """Whether both sides counted the same."""
        return bool(self.left == self.right)


@dataclass(frozen=True)
class Accounts:
    """The final reports of the three nodes.

    Attributes:
        gateway: of lex_amoris_compute, with its ledger.
        sensor: of the sensor node.
        control: of bio_synth_ai_control.
    """

    gateway: Report
    sensor: Report
    control: Report

    @property
    def ledger(self) -> Report:
        """The gateway's ledger."""
        ledger: Report = self.gateway["ledger"]
        return ledger

    def totals(self) -> dict[str, Any]:
        """The numbers of the demo: sent, delivered, denied (before sending, and by rule at the gateway) and dropped."""
        return {
            "sent": self.sensor["sent"] + self.control["sent"] + self.control["unpoliced"]["sent"],
            "delivered": self.ledger["egress"]["delivered"],
            "denied_before_sending": sum(self.control["denied_here"].values()),
            "denied": self.ledger["ingress"]["denied"],
            "denied_by_rule": self.ledger["denied_by_rule"],
            "dropped": sum(self.ledger["egress"]["dropped"].values()),
        }


def checks(accounts: Accounts) -> list[Check]:
    """Lists every sum of the demo with both of its sides.

    Args:
        accounts: final reports, taken when nobody sent any more and everything had arrived.

    Returns:
        The checks; the ledger is balanced when all agree.
    """
    return [*_sent(accounts), *_policed(accounts), *_delivered(accounts)]


def _sent(accounts: Accounts) -> list[Check]:
    sensor, control, ledger = accounts.sensor, accounts.control, accounts.ledger
    unpoliced = control["unpoliced"]
    sent = accounts.totals()["sent"]
    decided = sum(ledger["ingress"].values()) + ledger["undecided"]
    return [
        Check("sensor: published here = taken by the gateway", sensor["published"], sensor["receipt"]["taken"]),
        Check("control: published here = taken by the gateway", control["published"], control["receipt"]["taken"]),
        Check(
            "unpoliced: published here = taken by the gateway", unpoliced["published"], unpoliced["receipt"]["taken"]
        ),
        Check("sent by the clients + replies of the gateway = taken", sent + control["replies"], ledger["taken"]),
        Check("taken = sum of ingress outcomes", ledger["taken"], decided),
    ]


def _policed(accounts: Accounts) -> list[Check]:
    expected, ledger = accounts.control["expected_denials"], accounts.ledger
    return [
        Check("denied before sending: what the scenario provokes = ledger", expected, accounts.control["denied_here"]),
        Check("control: what left and was denied all the same", accounts.control["receipt"]["denied"], 0),
        Check("denied by rule: what the scenario provokes = ledger", expected, ledger["denied_by_rule"]),
        Check(
            "denied by rule: sum = ingress outcome", sum(ledger["denied_by_rule"].values()), ledger["ingress"]["denied"]
        ),
        Check("sensor: readings denied", accounts.sensor["receipt"]["denied"], 0),
    ]


def _delivered(accounts: Accounts) -> list[Check]:
    sensor, control, ledger = accounts.sensor, accounts.control, accounts.ledger
    egress = ledger["egress"]
    settled = egress["delivered"] + egress["failed"] + sum(egress["dropped"].values()) + egress["in_flight"]
    links = {link["name"]: link["egress"]["delivered"] for link in ledger["links"]}
    readings, commands = sum(control["handled"].values()), sum(sensor["handled"].values())
    return [
        Check("offered = delivered + dropped + failed + in flight", egress["offered"], settled),
        Check("in flight at the end", egress["in_flight"], 0),
        Check("sensor: received = delivered to it", sensor["received"], links.get(SENSOR)),
        Check("control: received = delivered to it", control["received"], links.get(CONTROL)),
        Check("sensor: readings routed = readings in control's handler", sensor["receipt"]["routed"], readings),
        Check(
            "control: routed = in the gateway's handlers + commands in the sensor's",
            control["receipt"]["routed"] + control["unpoliced"]["receipt"]["routed"],
            accounts.gateway["handled"] + commands,
        ),
        Check("the gateway's own verdict", ledger["balanced"], True),
    ]
