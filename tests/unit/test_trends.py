"""Which closed periods ``trends`` look at: the last ones to begin, with the same result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.billing.periods.calendar import month_of
from actors.billing.reports.trends import newest, trends
from actors.billing.state.account import Period
from tests.support.meter import NOON, plan
from tests.support.turns import instructions

DAY = 86_400_000_000
TERMS = plan({})
STARTS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=60)


def period(number: int, start: int, slept: tuple[int, ...] = ()) -> Period:
    made = Period(f"2026-{number:04}", start, start + DAY, TERMS, slept=slept)
    made.used[0] = number + 1  # calls of the first provider
    return made


CURRENT = period(9_999, month_of(NOON)[0])


@given(STARTS, st.integers(1, 36))
def test_trends_of_the_last_periods_to_begin_are_those_of_all(
    starts: list[tuple[int, bool]], months: int
) -> None:
    closed = [
        period(number, NOON - days * 20 * DAY, (NOON - (days + 1) * 20 * DAY,) if slept else ())
        for number, (days, slept) in enumerate(starts)
    ]
    kept = newest(closed, months)
    assert len(kept) == min(len(closed), months)
    assert trends(kept, CURRENT, months, 7) == trends(closed, CURRENT, months, 7)


def test_trends_over_a_thousand_closed_periods_cost_those_that_they_show() -> None:
    def over(count: int) -> int:
        closed = [period(number, NOON - number * DAY) for number in range(count)]
        return instructions(lambda: trends(newest(closed, 6), CURRENT, 6, 7))

    assert over(1_000) < over(20) + 20 * 1_000  # a look at when each begins
