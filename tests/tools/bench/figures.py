"""What a benchmark says: figures with their goals, as a table and as a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

ABSENT = "not installed"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        key: its name for programs; a chart finds it by this.
        name: its name for people.
        measured: None if it could not be measured; ``note`` says why.
        goal: None if it is there to compare with.
        unit: of both.
        at_most: whether the goal is the most it may be; else it is the least.
        rounds: what each round measured; ``measured`` is mostly their median.
        note: what a reader of the table has to know.
        detail: what it was made of.
    """

    key: str
    name: str
    measured: float | None
    goal: float | None
    unit: str
    at_most: bool = False
    rounds: Sequence[float] = ()
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return self.note
        if self.goal is None:
            return ""
        good = self.measured <= self.goal if self.at_most else self.measured >= self.goal
        return "reached" if good else "MISSED"


def of_rounds(
    key: str,
    name: str,
    rounds: Sequence[float],
    goal: float | None,
    unit: str = "x echo",
    **more: Any,
) -> Figure:
    """The median of what each round measured."""
    return Figure(
        key=key, name=name, measured=median(rounds), goal=goal, unit=unit, rounds=rounds, **more
    )


def text_of(value: float | None, unit: str) -> str:
    """A value as the table shows it, with three digits that count."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.3g} {unit}" if value < 1 else f"{value:.2f} {unit}"


def table(figures: Iterable[Figure]) -> str:
    """All figures, one a line; in Markdown, which is a table for the eye as well."""
    rows = [("figure", "measured", "goal", "verdict")]
    for figure in figures:
        bound = "at most " if figure.at_most else ""
        goal = "" if figure.goal is None else bound + text_of(figure.goal, figure.unit)
        rows.append((figure.name, text_of(figure.measured, figure.unit), goal, figure.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rows.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3]))
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    )


def record(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """All figures as plain data."""
    return [asdict(figure) | {"verdict": figure.verdict} for figure in figures]
