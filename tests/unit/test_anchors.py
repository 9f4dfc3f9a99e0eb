"""Months from an anchor: the 31st, leap days and year ends, against another library."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.periods.calendar import add_months, index_of, months_before
from messages.units import to_datetime, to_micros

TEN_YEARS = 120
moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 -- given a zone by the strategy
    datetime(2090, 1, 1),  # noqa: DTZ001 -- as above
    timezones=st.just(UTC),
)


ANCHORS = [
    datetime(year, month, day, 23, 59, 59, 999_999, tzinfo=UTC)
    for year in (2023, 2024)
    for month in (1, 2, 3, 12)
    for day in (28, 29, 30, 31)
    if day <= monthrange(year, month)[1]
]


@pytest.mark.parametrize("anchor", ANCHORS, ids=lambda anchor: f"{anchor:%Y-%m-%d}")
def test_ten_years_of_periods_end_as_another_library_says(anchor: datetime) -> None:
    for index in range(TEN_YEARS):
        start = anchor + relativedelta(months=index)
        end = anchor + relativedelta(months=index + 1)
        assert to_datetime(add_months(to_micros(anchor), index)) == start
        assert index_of(to_micros(anchor), to_micros(start)) == index
        assert index_of(to_micros(anchor), to_micros(end) - 1) == index


@given(moments, st.integers(-500, 500))
def test_any_anchor_plus_any_months_is_that_of_another_library(
    anchor: datetime, months: int
) -> None:
    expected = anchor + relativedelta(months=months)
    assert to_datetime(add_months(to_micros(anchor), months)) == expected


@given(moments, moments)
def test_every_moment_lies_in_the_period_of_its_index(anchor: datetime, at: datetime) -> None:
    first, moment = to_micros(anchor), to_micros(at)
    index = index_of(first, moment)
    assert add_months(first, index) <= moment < add_months(first, index + 1)


def test_the_months_before_a_start_are_whole_calendar_months() -> None:
    start = to_micros(datetime(2026, 3, 15, 12, tzinfo=UTC))
    found = [to_datetime(month).isoformat()[:10] for month in months_before(start, 4)]
    assert found == ["2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"]
