"""Billing periods: calendar months in UTC and months from an anchor, and the keys of both.

Rules: contract, section 5, "Periods". A period is [start, end) in microseconds.
"""

from __future__ import annotations

from calendar import monthrange
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


def months_before(start: int, count: int) -> list[int]:
    """The starts of the ``count`` calendar months before the one of ``start``, oldest first."""
    first = month_of(start)[0]
    return [add_months(first, -back) for back in range(count, 0, -1)]


def add_months(anchor: int, months: int) -> int:
    """``anchor`` plus calendar months in UTC: the 31st falls on a shorter month's last day.

    Every boundary is counted from the anchor, so the 31st comes back in longer months.
    """
    moment = to_datetime(anchor)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return to_micros(moment.replace(year=year, month=month + 1, day=day))


def index_of(anchor: int, at: int) -> int:
    """Which period from the anchor ``at`` lies in: the k of [anchor + k, anchor + k + 1 months)."""
    moment, first = to_datetime(at), to_datetime(anchor)
    index = (moment.year - first.year) * 12 + moment.month - first.month
    # In the boundary's own month it may not have come yet.
    return index if add_months(anchor, index) <= at else index - 1


def month_name(start: int) -> str:
    """``YYYY-MM`` of a period's start."""
    return f"{to_datetime(start):%Y-%m}"


def new_key(start: int, months: dict[str, int]) -> str:
    """The key of a period that enters a user's log: ``YYYY-MM`` of its start, numbered.

    Args:
        start: the period's start.
        months: how many periods of the user start in each month so far.
    """
    month = month_name(start)
    before = months.get(month, 0)
    return month if before == 0 else f"{month}.{before + 1}"
