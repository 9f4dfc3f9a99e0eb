from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.billing import standing as standings
from actors.billing.account import Account, Period
from actors.billing.limits import table_of
from actors.billing.standing import RECENT_MAX, Standing, standing_of
from tests.support.meter import NOON, Meter, nano, plan

AMOUNTS = st.integers(0, 10**6)
TOUCH = ("openai", False)
LIMITS = {
    "openai_calls": 1_000,
    "openai_tokens": 500_000,
    "openai_cost": nano("0.0005"),
    "monthly_cost": nano("0.0006"),
    "ai_text_generation_calls": 900,  # so openai_calls only warns
}


@given(st.lists(AMOUNTS, min_size=45, max_size=45), st.tuples(*[AMOUNTS] * 3))
def test_a_call_fits_where_every_hard_limit_allows_it(
    used: list[int], amounts: tuple[int, int, int]
) -> None:
    standing = Standing(table_of(plan(LIMITS)).touched[TOUCH], used, [0] * 45, NOON)
    assert len(standing.rows) == len(LIMITS)
    allowed = [
        not limit.hard or taken + held + (amounts[limit.unit] or 1) <= limit.value
        for limit, taken, held in standing.rows
    ]
    assert standing.fits(amounts) == all(allowed)


def asked(meter: Meter) -> Standing:
    assert meter.account.current is not None
    return standing_of(meter.account, meter.account.current, TOUCH, meter.now)


def anew(account: Account, period: Period) -> Standing:
    held = account.held(NOON)
    return Standing(period.table.touched[TOUCH], period.used, held, period.end)


STEPS: dict[str, Any] = {
    "track": lambda meter, n: meter.track("openai", tokens_input=n, event_id=f"t{n}"),
    "reset": lambda meter, n: meter.reset(event_id=f"r{n}"),
    "hold": lambda meter, n: meter.do(
        "hold", provider="openai", tokens_requested=n, event_id=f"h{n}"
    ),
    "nothing": lambda _meter, _n: None,
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_what_is_kept_is_what_would_be_found_anew(steps: list[str]) -> None:
    meter = Meter(terms=plan(LIMITS))
    for number, step in enumerate(steps, 1):
        STEPS[step](meter, number)
        found, period = asked(meter), meter.account.current
        assert period is not None
        fresh = anew(meter.account, period)
        assert (found.rows, found.room) == (fresh.rows, fresh.room)
        assert found.text((1, 2, 3)) == fresh.text((1, 2, 3))


def test_an_unanswered_question_is_not_worked_out_again() -> None:
    meter = Meter(terms=plan(LIMITS))
    meter.track("openai", tokens_input=5, event_id="a")
    first = asked(meter)
    assert asked(meter) is first
    meter.track("openai", tokens_input=5, event_id="b")
    assert asked(meter) is not first


def test_a_restored_user_with_the_same_position_is_not_answered_with_what_was_lost() -> None:
    lost, stored = Meter(terms=plan(LIMITS)), Meter(terms=plan(LIMITS))
    lost.track("openai", tokens_input=700, event_id="a")
    stored.track("openai", tokens_input=5, event_id="b")
    assert (lost.account.user, lost.account.seq) == (stored.account.user, stored.account.seq)
    before = asked(lost)
    assert asked(stored).rows != before.rows


def test_only_so_many_are_kept() -> None:
    meter = Meter(terms=plan(LIMITS))
    for number in range(RECENT_MAX + 10):
        meter.account.user = f"u{number}"
        asked(meter)
        assert len(standings._recent) <= RECENT_MAX
