"""Billing periods as the contract has them, with another library's month arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at: int) -> datetime:
    """Microseconds since the epoch as a datetime."""
    return EPOCH + timedelta(microseconds=at)


def micros(when: datetime) -> int:
    """A datetime as microseconds since the epoch."""
    return (when - EPOCH) // timedelta(microseconds=1)


def plus_months(anchor: int, months: int) -> int:
    """``anchor`` plus calendar months."""
    return micros(moment(anchor) + relativedelta(months=months))


def month(at: int) -> tuple[int, int]:
    """The calendar month of a moment."""
    first = moment(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return micros(first), micros(first + relativedelta(months=1))


def name(start: int) -> str:
    """``YYYY-MM``."""
    return moment(start).strftime("%Y-%m")
