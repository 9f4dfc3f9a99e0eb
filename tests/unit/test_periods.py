from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.periods.calendar import AHEAD, GRACE, month_of, new_key
from messages.units import to_datetime
from tests.support.meter import micros


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ("2026-03-15T12:00:00Z", "2026-03-01", "2026-04-01"),
        ("2026-03-01T00:00:00Z", "2026-03-01", "2026-04-01"),
        ("2026-03-31T23:59:59.999999Z", "2026-03-01", "2026-04-01"),
        ("2026-04-01T00:00:00Z", "2026-04-01", "2026-05-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01", "2026-02-01"),
        ("2026-12-31T23:59:59.999999Z", "2026-12-01", "2027-01-01"),
        ("2026-12-31T23:30:00-01:00", "2027-01-01", "2027-02-01"),
        ("2028-02-29T12:00:00Z", "2028-02-01", "2028-03-01"),
        ("1970-01-01T00:00:00Z", "1970-01-01", "1970-02-01"),
    ],
)
def test_a_calendar_month_is_half_open_in_utc(at: str, start: str, end: str) -> None:
    assert month_of(micros(at)) == (micros(f"{start}T00:00:00Z"), micros(f"{end}T00:00:00Z"))


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds have none
)
def test_every_moment_is_in_exactly_one_month_and_months_follow_each_other(
    moment: datetime,
) -> None:
    at = micros(moment.isoformat())
    start, end = month_of(at)
    assert start <= at < end
    assert to_datetime(start).strftime("%Y-%m") == moment.strftime("%Y-%m")
    assert month_of(end)[0] == end
    assert month_of(end - 1) == month_of(start) == (start, end)


def test_a_key_is_the_month_of_its_start_numbered_within_it() -> None:
    start = micros("2026-03-10T08:00:00Z")
    assert new_key(start, {}) == "2026-03"
    assert new_key(start, {"2026-02": 4}) == "2026-03"
    assert new_key(start, {"2026-03": 1}) == "2026-03.2"
    assert new_key(start, {"2026-03": 9}) == "2026-03.10"


def test_events_may_be_35_days_late_and_5_minutes_ahead() -> None:
    assert GRACE == 35 * 24 * 3_600 * 10**6
    assert AHEAD == 5 * 60 * 10**6
