"""What was measured, and how it compares with its target, as ratios within one run."""

import statistics
from dataclasses import dataclass, field
from typing import Any, Literal

OURS = "lexmesh"

Direction = Literal["at most", "at least"]


@dataclass(frozen=True)
class Target:
    """What a figure should be.

    Attributes:
        direction, bound: of our figure itself, or of its ratio to the best of the others.
        against: the others; none for a figure of our own.
        our: which of our figures.
    """

    direction: Direction
    bound: float
    against: tuple[str, ...] = ()
    our: str = OURS

    def values(self, samples: dict[str, list[float]]) -> list[float]:
        """Our figure or ratio in each round; the best of the others is taken round by round."""
        best = min if self.direction == "at most" else max
        ours = samples[self.our]
        if not self.against:
            return ours
        others = zip(*(samples[name] for name in self.against), strict=True)
        return [mine / best(theirs) for mine, theirs in zip(ours, others, strict=True)]

    def holds(self, samples: dict[str, list[float]]) -> bool:
        """Whether the median keeps to the bound."""
        value = statistics.median(self.values(samples))
        return value <= self.bound if self.direction == "at most" else value >= self.bound


@dataclass
class Row:
    """One scenario's figures.

    Attributes:
        scenario: a few words, as `--only` takes them.
        what: what was done.
        unit: of the samples.
        samples: by contender, one figure a round.
        targets: what they should be.
        notes: what else a reader should know.
    """

    scenario: str
    what: str
    unit: str
    samples: dict[str, list[float]]
    targets: list[Target] = field(default_factory=list)
    notes: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "scenario": self.scenario,
            "what": self.what,
            "unit": self.unit,
            "notes": self.notes,
            "figures": {name: summary(values) | {"rounds": rounded(values)} for name, values in self.samples.items()},
            "targets": [
                {
                    "our": target.our,
                    "against": list(target.against),
                    "target": f"{target.direction} {target.bound:g}",
                    **summary(target.values(self.samples)),
                    "holds": target.holds(self.samples),
                }
                for target in self.targets
            ],
        }


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    median, least, most = rounded([statistics.median(values), min(values), max(values)])
    return {"median": median, "min": least, "max": most}


def rounded(values: list[float]) -> list[float]:
    """Four significant digits: more would be noise."""
    return [float(f"{value:.4g}") for value in values]
