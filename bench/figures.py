"""A row of the table: a measure, all of its values, and its goal.

A row does not know where a value comes from.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """`statistic` (p50, p99, max) of the values must be at most `at_most`."""

    statistic: str
    at_most: float

    def __str__(self) -> str:
        return f"{self.statistic} <= {self.at_most:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """The values of one measure in one unit. With a single value p50, p90, p99 and max are that value."""

    what: str
    unit: str
    values: tuple[float, ...]
    goal: Goal | None = None
    pods: int | None = None

    def quantile(self, share: float) -> float:
        """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def statistics(self) -> dict[str, float]:
        return {
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p99": self.quantile(0.99),
            "max": max(self.values),
        }

    @property
    def reached(self) -> bool | None:
        """Return whether the goal is reached; None without a goal."""
        return None if self.goal is None else self.statistics[self.goal.statistic] <= self.goal.at_most

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "pods": self.pods,
            "unit": self.unit,
            "n": len(self.values),
            **{name: round(value, 4) for name, value in self.statistics.items()},
            "goal": str(self.goal) if self.goal else None,
            "reached": self.reached,
            "values": [round(value, 4) for value in self.values],
        }


def spread(what: str, values: Iterable[float], unit: str = "ms", goal: Goal | None = None) -> Row:
    """Return a row of many values.

    Raise AssertionError without values: a measure that observed nothing must not look like a fast measure.
    """
    row = Row(what, unit, tuple(values), goal)
    assert row.values, f"{what}: nothing was measured"
    return row


def single(what: str, value: float, unit: str, at_most: float | None = None) -> Row:
    """Return a row of one value."""
    return Row(what, unit, (value,), None if at_most is None else Goal("max", at_most))


def table(rows: Iterable[Row]) -> str:
    """Return the rows as aligned text; a single value is in the column p50."""
    header = ("measure", "pods", "unit", "p50", "p90", "p99", "max", "n", "goal", "reached")
    lines = [header, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    texts = []
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        cells[3:8] = [cell.rjust(width) for cell, width in zip(line[3:8], widths[3:8], strict=True)]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = [_number(value) for value in row.statistics.values()]
    if len(row.values) == 1:
        numbers[1:] = ["-"] * 3
    goal = "-" if row.goal is None else f"{row.goal.statistic if len(row.values) > 1 else ''} <= {row.goal.at_most:g}"
    reached = {None: "-", True: "yes", False: "NO"}[row.reached]
    pods = "-" if row.pods is None else str(row.pods)
    return (row.what, pods, row.unit, *numbers, str(len(row.values)), goal.strip(), reached)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
