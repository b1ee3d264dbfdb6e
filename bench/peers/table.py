"""The figures as one table of ratios, for people."""

import statistics
from collections.abc import Iterable

from .figures import Row, Target

HEADER = ("", "lexmesh", "beside", "ratio", "target", "")
FRACTIONS = {1 / 4: "1/4", 1 / 5: "1/5", 1 / 6: "1/6"}


def lines(rows: Iterable[Row]) -> list[str]:
    """The table's lines."""
    rows = list(rows)
    cells = [HEADER, *(cell for row in rows for cell in _cells(row))]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    found = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    found.insert(1, "-" * max(map(len, found)))
    return [*found, "", *(f"{row.what}: {row.unit}. {row.notes}".rstrip() for row in rows)]


def spread(values: list[float]) -> str:
    """Median and, with more than one round, least and most."""
    median = number(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cells(row: Row) -> Iterable[tuple[str, ...]]:
    what = row.what
    for target in row.targets:
        ours = spread(row.samples[target.our])
        values = target.values(row.samples)
        suffix = target.our.partition(" ")[2]
        yield (
            what + (f" [{suffix}]" if suffix else ""),
            ours,
            _others(row, target),
            spread(values) if target.against else "",
            f"{'≤' if target.direction == 'at most' else '≥'} {FRACTIONS.get(target.bound, f'{target.bound:g}')}",
            "holds" if target.holds(row.samples) else "MISSED",
        )


def _others(row: Row, target: Target) -> str:
    names = target.against or tuple(name for name in row.samples if name != target.our)
    return ", ".join(f"{name} {spread(row.samples[name])}" for name in names)
