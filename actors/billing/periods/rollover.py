"""Boundaries: the events that make the period of now the current one.

However many periods were slept through, one event opens the current one. There are no timers:
the first message or read after a boundary brings it. A period in which calls were made is closed
when it ends, whoever comes (`closing`); the next one is opened by a message all the same.
"""

from __future__ import annotations

from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.periods.calendar import GRACE, month_of, new_key
from actors.billing.periods.subscription import following, nearer, terms_of
from actors.billing.state.account import Account, Period
from actors.billing.state.snapshot import totals_of
from messages.stored.events import (
    Event,
    PeriodClosed,
    PeriodRolled,
    PeriodSealed,
)

SLEPT_MAX: Final = 35
"""Periods slept through that a new one remembers: trends show 36 in all."""


def due(account: Account, at: int, catalog: Catalog) -> tuple[Event, ...]:
    """The events of a boundary that has passed; empty if none has."""
    current = account.current
    if current is None or at < current.end:
        return ()
    return (*sealing(account, at), opening(account, at, catalog))


def closing(account: Account, at: int) -> tuple[PeriodClosed, ...]:
    """One event for each period that is over and has usage, if nobody was told of its end.

    That is the current one if no message came since; of older logs also one that got its usage
    when it was over.
    """
    current = account.current
    over = account.closed
    if current is not None and current.end <= at:
        over = (*over, current)
    return tuple(
        PeriodClosed(totals=totals_of(period))
        for period in over
        if not period.announced and period.totals()[0]
    )


def sealing(account: Account, at: int) -> tuple[PeriodSealed, ...]:
    """One event for each closed period that no late event can reach any more."""
    return tuple(
        PeriodSealed(totals=totals_of(period))
        for period in account.closed
        if period.end + GRACE <= at
    )


def opening(account: Account, at: int, catalog: Catalog) -> PeriodRolled:
    """The event that makes the period of ``at`` the current one."""
    current, subscription = account.current, account.subscription
    if current is None:
        start, end = month_of(at)
        key = new_key(start, account.months)
        return PeriodRolled(key=key, start=start, end=end, terms=catalog.free)
    slept: list[int] = []
    start, subscription, renewed = nearer(subscription, current.end, at, SLEPT_MAX)
    while True:
        end, subscription, again = following(subscription, start)
        renewed = renewed or again
        if at < end:
            break
        slept.append(start)
        start = end
    return PeriodRolled(
        key=new_key(start, account.months),
        start=start,
        end=end,
        terms=terms_of(subscription, start, current.terms, catalog),
        closed=totals_of(current),
        slept=tuple(slept[-SLEPT_MAX:]),
        subscription=None if subscription is account.subscription else subscription,
        renewed=renewed,
        suspended=account.suspended,
        announced=current.announced,
    )


def current_of(account: Account, at: int, catalog: Catalog) -> Period:
    """The current period; without one, the period that a first event would open."""
    if account.current is not None:
        return account.current
    opened = opening(account, at, catalog)
    return Period(opened.key, opened.start, opened.end, opened.terms)


def current_or_opened(
    account: Account, at: int, catalog: Catalog
) -> tuple[Period, tuple[Event, ...]]:
    """The current period, and the event that opens it if there is none yet."""
    return opened(account, at, catalog) if account.current is None else (account.current, ())


def opened(account: Account, at: int, catalog: Catalog) -> tuple[Period, tuple[Event, ...]]:
    """The first period of a user, and the event that opens it."""
    event = opening(account, at, catalog)
    return Period(event.key, event.start, event.end, event.terms), (event,)
