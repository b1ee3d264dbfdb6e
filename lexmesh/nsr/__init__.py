"""The Non-Slavery Rule: a consent policy as data, and the verdicts of its compiled form."""

from .policy import NsrPolicy, Verdict
from .rules import RuleSpec

__all__ = ["NsrPolicy", "RuleSpec", "Verdict"]
