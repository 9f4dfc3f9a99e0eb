"""`apply`: the only way in which a user's state ever changes.

Live and replayed events go through the same `apply`, which looks at nothing but the state
and the event: replay equals live, bit for bit. Time acts only through an event's ``at``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from actors.billing.counters.slots import count, count_text
from actors.billing.limits.limits import changed_limits
from actors.billing.state.account import (
    ENDED_MAX,
    UNREAD_MAX,
    Account,
    Period,
    Raised,
    logged,
)
from actors.billing.state.interning import NOTHING, owned, shared
from actors.billing.state.open_holds import OpenHold, OpenHolds
from actors.billing.state.tally import Tally, says_something
from messages.stored.catalog import PlanTerms
from messages.stored.detail import NO_HOLD_DETAIL
from messages.stored.errors import MISFITS, UnreadableEvent
from messages.stored.events import (
    KIND,
    Alert,
    AlertsRead,
    CountersReset,
    Event,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    PeriodAdded,
    PeriodClosed,
    PeriodRolled,
    PeriodSealed,
    PreflightHeld,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.units import MICROS_PER_SECOND


def apply(account: Account, event: Event, at: int, seq: int) -> None:
    """Let a stored event take effect on the user's state.

    Raises:
        UnreadableEvent: it does not fit the state, or names what this version does not know.
            The state may have half of it.
    """
    try:
        if account.holds is not None:
            _expire(account, account.holds, at)
        if type(event) is UsageRecorded:  # nearly always
            period = account.current
            if period is None or period.key != event.billing_period:
                period = _known(account, event.billing_period)
                before = account.before = owned(account.before)
                before[event.provider] = before.get(event.provider, 0) + 1
            if count_in(period, event, at):
                account.grew = True
            if (
                event.hold_status == "settled"
                and not event.late_settle
                and event.hold_id is not None
            ):
                _end(account, event.hold_id, "settled")
            if event.alerts:
                _raise(account, period, event.alerts, at, seq)
        else:
            _EFFECTS[type(event)](account, event, at, seq)
        account.at = at
        account.seq = seq
    except MISFITS as error:
        kind = KIND.get(type(event), type(event).__name__)
        raise UnreadableEvent(kind, str(error), seq) from error


def _known(account: Account, key: str) -> Period:
    period = account.period(key)
    if period is None:
        raise ValueError(f"an event names the period {key!r}, which is not open")
    return period


def count_in(period: Period, event: UsageRecorded, at: int) -> bool:
    """Count a call in its period; whether that has new names in it."""
    grew = False
    cost, provider, actual = event.cost_nano, event.provider, event.actual
    tokens = event.tokens_input + event.tokens_output
    try:
        layout = period.layout
        places = layout.providers[provider], layout.actual[actual], layout.models[event.model]
    except KeyError:
        places = period.places(provider, actual, event.model)
        grew = True
    period.used = count(period.used, provider, actual, places, tokens, cost)
    if event.detail is not None and event.detail.text:
        count_text(period.used)
    if event.status_code >= 400:
        period.errors += 1
    if event.response_time:
        period.response_micros += round(event.response_time * MICROS_PER_SECOND)
    period.last_updated = at
    if (event.detail is not None or event.priced == "estimate") and says_something(event):
        if period.tally is None:
            period.tally = Tally()
            grew = True
        grew = period.tally.count(event, tokens, period.layout) or grew
    return grew


def _raise(account: Account, period: Period, alerts: Sequence[Alert], at: int, seq: int) -> None:
    if alerts:
        levels, unread = owned(period.levels), owned(account.unread)
        for alert in alerts:
            levels[alert.limit_name] = alert.threshold_percentage
            unread[alert.id] = Raised(alert, at, seq)
        while len(unread) > UNREAD_MAX:
            del unread[next(iter(unread))]
        period.levels, account.unread = levels, unread
        account.grew = True
    period.rearm()


def _reset(account: Account, event: CountersReset, at: int, _: int) -> None:
    period = _known(account, event.billing_period)
    period.reset()
    period.last_updated = at


def _roll(account: Account, event: PeriodRolled, _at: int, _seq: int) -> None:
    if account.current is not None:
        account.current.announced = True
        account.before = logged(account)
        account.closed = (*account.closed, account.current)
    _open(account, event)
    account.current = Period(event.key, event.start, event.end, event.terms, slept=event.slept)
    if event.subscription is not None:
        account.subscription = event.subscription


def _close(account: Account, event: PeriodClosed, _at: int, _seq: int) -> None:
    _known(account, event.totals.key).announced = True


def _add(account: Account, event: PeriodAdded, _at: int, _seq: int) -> None:
    _open(account, event)
    account.closed = (*account.closed, Period(event.key, event.start, event.end, event.terms))


def _seal(account: Account, event: PeriodSealed, _at: int, _seq: int) -> None:
    account.closed = tuple([x for x in account.closed if x.key != event.totals.key])
    account.sealed += 1


def _read(account: Account, event: AlertsRead, _at: int, _seq: int) -> None:
    read = set(event.ids)
    account.unread = {k: raised for k, raised in account.unread.items() if k not in read} or NOTHING


def _subscribe(account: Account, event: Subscribed, at: int, seq: int) -> None:
    account.subscription = event.subscription
    _replan(account, event.terms, event.alerts, at, seq)


def _change(account: Account, event: SubscriptionChanged, at: int, seq: int) -> None:
    account.subscription = event.subscription
    account.suspended = event.suspended
    if event.terms is not None:
        _replan(account, event.terms, event.alerts, at, seq)


def _open(account: Account, event: PeriodRolled | PeriodAdded) -> None:
    month = event.key[:7]
    account.months = shared({**account.months, month: account.months.get(month, 0) + 1})


def _replan(account: Account, terms: PlanTerms, alerts: Sequence[Alert], at: int, seq: int) -> None:
    """Put other terms in force: limits whose value changed are armed again, the others stay."""
    period = account.current
    if period is None:
        raise ValueError("a plan is put in force without a period")
    before = period.table
    period.put(terms)
    changed = set(changed_limits(before, period.table))
    period.levels = {k: level for k, level in period.levels.items() if k not in changed} or NOTHING
    _raise(account, period, alerts, at, seq)


def _hold(account: Account, event: HoldPlaced | HoldExtended, at: int, _: int) -> None:
    if account.holds is None:
        account.holds = OpenHolds()
    if isinstance(event, HoldPlaced):
        model, created_at, detail = event.model, at, event.detail
    else:
        before = account.holds.get(event.hold_id, at)
        if before is None:
            raise ValueError(f"an event extends the hold {event.hold_id!r}, which is not open")
        model, created_at, detail = before.model, before.created_at, before.detail
        if event.units is not None:
            detail = replace(detail or NO_HOLD_DETAIL, units=event.units or None)
            detail = None if detail == NO_HOLD_DETAIL else detail
    account.holds.put(
        OpenHold(
            event.hold_id,
            event.provider,
            event.actual,
            model,
            (event.calls, event.tokens, event.cost_nano),
            event.derived,
            created_at,
            event.expires_at,
            detail,
        )
    )


def _release(account: Account, event: HoldReleased, _at: int, _seq: int) -> None:
    _end(account, event.hold_id, "released")


def _keep_reply(account: Account, event: PreflightHeld, at: int, seq: int) -> None:
    """Do nothing: the rows before it set amounts aside, this one is kept for its reply."""


def _end(account: Account, hold_id: str, how: str) -> None:
    holds = account.holds
    if holds is None:
        raise ValueError(f"an event ends the hold {hold_id!r}, which is not open")
    holds.remove(hold_id)
    _remember(account, hold_id, how)
    if not holds:
        account.holds = None


def _expire(account: Account, holds: OpenHolds, at: int) -> None:
    for hold_id in holds.expire(at):
        _remember(account, hold_id, "expired")
    if not holds:
        account.holds = None


def _remember(account: Account, hold_id: str, how: str) -> None:
    ended = account.ended = owned(account.ended)
    ended[hold_id] = how
    if len(ended) > ENDED_MAX:
        del ended[next(iter(ended))]


_EFFECTS: Final[Mapping[type[Event], Callable[[Account, Any, int, int], None]]] = {
    PeriodRolled: _roll,
    PeriodClosed: _close,
    PeriodAdded: _add,
    PeriodSealed: _seal,
    CountersReset: _reset,
    HoldPlaced: _hold,
    HoldExtended: _hold,
    HoldReleased: _release,
    PreflightHeld: _keep_reply,
    AlertsRead: _read,
    Subscribed: _subscribe,
    SubscriptionChanged: _change,
}
