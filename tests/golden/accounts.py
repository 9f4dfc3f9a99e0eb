"""The account that the golden snapshot keeps."""

from __future__ import annotations

from actors.billing.counters.slots import restored, wavespeed_calls
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account, Period, Raised
from actors.billing.state.open_holds import OpenHold, OpenHolds
from messages.stored.detail import HoldDetail
from messages.stored.events import PeriodSealed
from tests.golden.stored import (
    ALERT,
    BARE,
    EVENTS,
    MAY,
    NOON,
    PLACED,
    SUBSCRIPTION,
    TOTALS,
    WARNING,
)
from tests.golden.stored_catalog import APRIL, FREE, MARCH


def an_account() -> Account:
    """A user in April with a closed March, as the golden snapshot keeps it."""
    account = Account("alice", seq=77, at=NOON + 1, months={"2026-03": 2, "2026-04": 1})
    account.before = {"gemini": 42, "video": 1}
    one = (1, 1, 150)
    used, layout = restored({"openai": one}, (0, 0), {"openai": one}, {"gpt-4o-mini": one})
    account.current = Period(
        key="2026-04",
        start=APRIL,
        end=MAY,
        terms=FREE,
        used=used,
        layout=layout,
        last_updated=NOON + 1,
    )
    march = snapshots.period_of(TOTALS)
    march.levels = {"gemini_calls": 80, "monthly_cost": 100}
    march.announced = True
    assert wavespeed_calls(march.used) == 1
    account.closed = (march, Period("2026-03.2", MARCH, APRIL, BARE))
    account.unread = {
        WARNING.id: Raised(WARNING, NOON, 70),
        ALERT.id: Raised(ALERT, NOON, 73),
    }
    account.sealed = 12
    account.subscription = SUBSCRIPTION
    account.suspended = True
    amounts = (PLACED.calls, PLACED.tokens, PLACED.cost_nano)
    account.holds = OpenHolds(
        [
            OpenHold(
                *("h-1", PLACED.provider, PLACED.actual, PLACED.model),
                amounts=amounts,
                derived=True,
                created_at=NOON,
                expires_at=PLACED.expires_at,
            )
        ]
    )
    return account


def an_account_of_others() -> Account:
    """A user who calls providers beyond the 14 of the contract, and has one on hold."""
    account = Account("alice", seq=77, at=NOON)
    totals = EVENTS["period_sealed.others"]
    assert isinstance(totals, PeriodSealed)
    account.current = snapshots.period_of(totals.totals)
    detail = HoldDetail(alias="our own", filled=("model",), text=True)
    hold = OpenHold("h-2", "vllm", "rack 4", "m", (1, 2, 3), True, NOON, NOON + 1, detail)
    account.holds = OpenHolds([hold])
    return account
