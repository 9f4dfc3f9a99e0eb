"""Billing periods: calendar months in UTC, their keys, and when one gives way to the next.

Rules: contract, section 5, "Periods". A period is [start, end) in microseconds.
"""

from __future__ import annotations

from typing import Final

from messages.units import MICROS_PER_DAY, to_datetime, to_micros

GRACE: Final = 35 * MICROS_PER_DAY
"""How old an event may be, in microseconds."""
AHEAD: Final = 5 * 60 * 1_000_000
"""How far ahead of now an event's time may be, in microseconds."""


def month_of(at: int) -> tuple[int, int]:
    """Start and end of the calendar month in UTC that ``at`` lies in."""
    start = to_datetime(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = divmod(start.year * 12 + start.month, 12)
    return to_micros(start), to_micros(start.replace(year=year, month=month + 1))


def new_key(start: int, months: dict[str, int]) -> str:
    """The key of a period that enters a user's log: ``YYYY-MM`` of its start, numbered.

    Args:
        start: the period's start.
        months: how many periods of the user start in each month so far.
    """
    month = f"{to_datetime(start):%Y-%m}"
    before = months.get(month, 0)
    return month if before == 0 else f"{month}.{before + 1}"
