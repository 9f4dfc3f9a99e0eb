"""Periods slept through, however many: the same as one after the other, for the same effort."""

from __future__ import annotations

import random

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.periods.calendar import add_months, month_of
from actors.billing.periods.rollover import SLEPT_MAX, opening
from actors.billing.periods.subscription import following
from actors.billing.state.account import Account, Period
from messages.stored.events import (
    StoredSubscription,
)
from tests.support.meter import NOON
from tests.support.turns import instructions

DAY = 86_400_000_000
SEED = 20_261_129
CATALOG = default_catalog()


def asleep(subscription: StoredSubscription | None, start: int, end: int) -> Account:
    period = Period("2026-03", start, end, CATALOG.free)
    return Account("alice", current=period, subscription=subscription)


def one_by_one(account: Account, at: int) -> tuple[int, int, list[int], object, bool]:
    """The period of a moment, and what became of the subscription, boundary by boundary."""
    assert account.current is not None
    start, subscription = account.current.end, account.subscription
    slept: list[int] = []
    renewed = False
    while True:
        end, subscription, again = following(subscription, start)
        renewed = renewed or again
        if at < end:
            return start, end, slept[-SLEPT_MAX:], subscription, renewed
        slept.append(start)
        start = end


def drawn(random_: random.Random) -> Account:
    anchor = NOON + random_.randrange(-400 * DAY, 400 * DAY)
    first, last = month_of(anchor)
    if random_.random() < 0.2:
        return asleep(None, *random_.choice([(first, last), (anchor, last)]))
    index = random_.randrange(30)
    yearly = random_.random() < 0.5
    subscription = StoredSubscription(
        plan="Pro",
        tier="pro",
        price_nano=1,
        billing_cycle="yearly" if yearly else "monthly",
        anchor=anchor,
        cycle=index - index % 12 if yearly else index,
        auto_renew=random_.random() < 0.6,
        cancel_at_period_end=random_.random() < 0.2,
        cancelled=random_.random() < 0.1,
    )
    return asleep(subscription, add_months(anchor, index), add_months(anchor, index + 1))


def test_the_period_behind_those_slept_through_is_that_of_one_boundary_after_the_other() -> None:
    print(f"seed {SEED}")
    random_ = random.Random(SEED)
    for _ in range(1_500):
        account = drawn(random_)
        assert account.current is not None
        months = random_.choice([0, 1, 11, 12, 34, 35, 36, 37, 48, random_.randrange(200)])
        off = random_.choice([0, -1, 1, random_.randrange(40 * DAY)])
        at = max(add_months(account.current.end, months) + off, account.current.end)
        event = opening(account, at, CATALOG)
        start, end, slept, subscription, renewed = one_by_one(account, at)
        assert (event.start, event.end, list(event.slept)) == (start, end, slept)
        assert (event.subscription or account.subscription) == subscription
        assert event.renewed == renewed


@pytest.mark.parametrize("billing_cycle", [None, "monthly", "yearly"])
def test_a_sleep_of_eighty_years_costs_no_more_than_one_of_four(
    billing_cycle: str | None,
) -> None:
    start, end = month_of(NOON)
    subscription = None
    if billing_cycle is not None:
        subscription = StoredSubscription(
            plan="Pro", tier="pro", price_nano=1, billing_cycle=billing_cycle, anchor=start
        )
    account = asleep(subscription, start, end)
    costs = [
        instructions(lambda at=NOON + years * 366 * DAY: opening(account, at, CATALOG))  # type: ignore[misc]
        for years in (4, 80)
    ]
    assert costs[1] < 1.1 * costs[0]
