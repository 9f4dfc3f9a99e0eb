from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.billing.counters.layouts import NO_NAMES
from actors.billing.counters.slots import NONE_HELD
from actors.billing.limits.limits import table_of
from actors.billing.periods.rollover import current_of
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Period
from actors.billing.state.headroom import RECENT_MAX, Headroom
from actors.billing.wire import fast
from messages.errors import RequestError
from messages.stored.catalog import PlanPut, PlanTerms
from messages.stored.events import (
    KIND,
    HoldPlaced,
)
from tests.support.meter import NOON, Meter, nano, plan

AMOUNTS = st.integers(0, 10**6)
TOUCH = ("openai", 0)
LIMITS = {
    "openai_calls": 1_000,
    "openai_tokens": 500_000,
    "openai_cost": nano("0.0005"),
    "monthly_cost": nano("0.0006"),
    "ai_text_generation_calls": 900,  # so openai_calls only warns
}


@given(st.lists(AMOUNTS, min_size=45, max_size=45), st.tuples(*[AMOUNTS] * 3))
def test_a_call_fits_if_every_hard_limit_allows_it(
    used: list[int], amounts: tuple[int, int, int]
) -> None:
    room = Headroom(table_of(plan(LIMITS)).touched(TOUCH), used, NO_NAMES, NONE_HELD, NOON)
    assert len(room.uses) == len(LIMITS)
    allowed = [
        not limit.hard or taken + held + (amounts[limit.unit] or 1) <= limit.value
        for limit, taken, held in room.uses
    ]
    assert room.fits(amounts) == all(allowed)


def asked(meter: Meter) -> Headroom:
    period = current_of(meter.account, meter.now, meter.catalog)
    return meter.headrooms.of(meter.account, period, TOUCH, meter.now)


def anew(meter: Meter) -> Headroom:
    period = current_of(meter.account, meter.now, meter.catalog)
    held = meter.account.held(meter.now)
    return Headroom(period.table.touched(TOUCH), period.used, period.layout, held, period.end)


def shown(room: Headroom) -> str:
    return fast._limits(room, (1, 2, 3))


def newest_hold(meter: Meter) -> str:
    placed = [entry.key for entry in meter.log if entry.kind == KIND[HoldPlaced]]
    return str(placed[-1]) if placed else "none"


def with_hold(meter: Meter, verb: str, **fields: Any) -> None:
    with suppress(RequestError):  # it is not open
        meter.do(verb, hold_id=newest_hold(meter), **fields)


def subscribe(meter: Meter, n: int) -> None:
    fields: dict[str, Any] = {"overrides": {"openai_calls": n}, "billing_cycle": "monthly"}
    meter.do("subscribe", plan=("Basic", "Pro", "Free")[n % 3], **fields)


def cancel(meter: Meter, n: int) -> None:
    with suppress(RequestError):  # there is nothing to cancel
        meter.do("cancel", at_period_end=n % 2 == 0)


def wait(meter: Meter, n: int) -> None:
    meter.at += (1, 70, 40 * 86_400)[n % 3] * 1_000_000
    meter.wake()


def reload(meter: Meter, _n: int) -> None:
    """The actor is dropped, and made of what is stored."""
    meter.account = snapshots.decode(meter.account.user, snapshots.encode(meter.account))


def lose(meter: Meter, n: int) -> None:
    """A write failed: what was applied is undone, and something else takes its position."""
    stored, entries = snapshots.encode(meter.account), len(meter.log)
    meter.track("openai", tokens_input=1_000 + n)
    asked(meter)
    meter.account = snapshots.decode(meter.account.user, stored)
    del meter.log[entries:]
    meter.track("openai", tokens_input=n)


def widen(period: Period) -> None:
    period.used = list(period.used)


def put_plan(meter: Meter, n: int) -> None:
    terms = PlanTerms("Free", "free", n + 1, (("openai_calls", n),), ())
    put = PlanPut(terms=terms, price_monthly_nano=0, price_yearly_nano=0, content="")
    meter.catalog.take(put, n)


STEPS: dict[str, Any] = {
    "track": lambda meter, n: meter.track("openai", tokens_input=n, event_id=f"t{n}"),
    "track dearly": lambda meter, _: meter.track("openai", cost=1_000_000),
    "track late": lambda meter, _: meter.track("openai", timestamp=meter.now - 20 * 86_400 * 10**6),
    "grow beyond 64 bits": lambda meter, _: widen(meter.current),
    "reset": lambda meter, n: meter.reset(event_id=f"r{n}"),
    "hold": lambda meter, n: meter.do(
        "hold", provider="openai", tokens_requested=n, event_id=f"h{n}", ttl=60
    ),
    "extend": lambda meter, n: with_hold(meter, "extend", tokens_requested=n, ttl=60),
    "release": lambda meter, _: with_hold(meter, "release"),
    "settle": lambda meter, _: meter.track("openai", hold_id=newest_hold(meter)),
    "subscribe": subscribe,
    "cancel": cancel,
    "suspend": lambda meter, _: meter.do("suspend"),
    "wait": wait,
    "reload": reload,
    "lose": lose,
    "put a plan": put_plan,
    "nothing": lambda _meter, _n: None,
}


@pytest.mark.parametrize("seen", [True, False])
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=20))
@settings(max_examples=400, deadline=None)
def test_a_kept_headroom_is_the_one_that_would_be_found_anew(seen: bool, steps: list[str]) -> None:
    meter = Meter(terms=plan(LIMITS) if seen else None)
    if not seen:
        steps = [step for step in steps if step != "grow beyond 64 bits"]
    for number, step in enumerate(steps, 1):
        asked(meter)
        STEPS[step](meter, number)
        found, fresh = asked(meter), anew(meter)
        assert (found.uses, found.room) == (fresh.uses, fresh.room)
        assert shown(found) == shown(fresh)


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
    stored.headrooms = lost.headrooms
    assert asked(stored).uses != before.uses


def test_at_most_recent_max_headrooms_are_kept() -> None:
    meter = Meter(terms=plan(LIMITS))
    for number in range(RECENT_MAX + 10):
        meter.account.user = f"u{number}"
        asked(meter)
        assert len(meter.headrooms._recent) <= RECENT_MAX
