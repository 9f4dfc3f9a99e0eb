"""The results as a table and as a record."""

from __future__ import annotations

from typing import Any, Final

from tests.torture.rounds import Result

HEADINGS: Final = (
    *("fault", "times", "kills", "ended itself", "lost", "first answer p50", "max"),
    *("requests", "compared", "seconds"),
)


def table(results: list[Result]) -> str:
    """One line for each fault, as Markdown."""
    lines = [HEADINGS, *map(_line, results)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADINGS))]
    shown = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *shown[1:]])


def record(results: list[Result]) -> list[dict[str, Any]]:
    """The same for a file, with each time until the first answer."""
    return [vars(result) for result in results]


def _line(result: Result) -> tuple[str, ...]:
    first = sorted(result.first_s)
    return (
        result.name,
        str(result.times),
        str(kills_of(result)),
        str(len(result.failed)),
        result.verdict,
        f"{first[len(first) // 2]:.2f} s" if first else "",
        f"{first[-1]:.2f} s" if first else "",
        str(result.requests),
        str(result.compared),
        f"{result.seconds:.0f}",
    )


def kills_of(result: Result) -> int:
    """How many processes were killed."""
    return result.killed + int(result.notes.get("server deaths", 0))
