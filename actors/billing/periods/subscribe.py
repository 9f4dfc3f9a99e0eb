"""Decide ``subscribe``, ``cancel``, ``suspend`` and ``resume``.

Rules: contract, section 3. A plan change arms the limits whose value changed again and judges
them in the same write; what fired of the others stays.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec.structs import replace

from actors.billing.catalog.catalog import Catalog, Plan
from actors.billing.change import Change, Now
from actors.billing.effects import Persist
from actors.billing.fingerprint import fingerprint, value_of
from actors.billing.limits.limits import changed_limits, table_of
from actors.billing.limits.thresholds import raised_by
from actors.billing.periods.calendar import GRACE, add_months, index_of, new_key
from actors.billing.periods.rollover import sealing
from actors.billing.periods.subscription import cycle_months, is_live, state_of, with_overrides
from actors.billing.state.account import Account, Period
from actors.billing.state.snapshot import totals_of
from messages.errors import InvalidRequest, RequestError
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    Alert,
    Event,
    PeriodRolled,
    StoredSubscription,
    Subscribed,
    SubscriptionChanged,
)
from messages.subscriptions import Cancel, Resume, Subscribe, SubscriptionChangeReply, Suspend
from messages.units import MICROS_PER_DAY, to_micros

BACK_MAX: Final = 366 * MICROS_PER_DAY
"""How far back a subscription may begin, in microseconds."""
CLOSED_MAX: Final = 1_000
"""Closed periods of a user to which calls may still be late."""


def subscribe(account: Account, ask: Subscribe, now: Now) -> Persist:
    """Put the user on a plan, within the current period or with a new one.

    Raises:
        RequestError: ``unknown_plan``, ``invalid_request``, or ``overloaded`` if `CLOSED_MAX`
            does not let another period begin.
    """
    at, catalog = now.at, now.catalog
    plan = catalog.plan(ask.plan)
    if plan is None:
        raise RequestError("unknown_plan", f"there is no plan {ask.plan[:64]!r}", field="plan")
    overrides = tuple(
        sorted(
            (name, catalog.override_value(name, raw, "overrides"))
            for name, raw in (ask.overrides or {}).items()
        )
    )
    terms = with_overrides(plan.terms, overrides)
    wanted = StoredSubscription(
        plan=plan.terms.name,
        tier=plan.terms.tier,
        price_nano=plan.price_monthly_nano,
        billing_cycle=ask.billing_cycle,
        anchor=at,
        auto_renew=ask.auto_renew is not False,
        hard_overrides=overrides,
    )
    earlier, current = account.subscription, account.current
    before: tuple[Event, ...] = ()
    alerts: tuple[Alert, ...] = ()
    if _keeps(account, ask, plan, at):
        assert earlier is not None
        assert current is not None
        wanted = replace(wanted, anchor=earlier.anchor, cycle=_kept_cycle(earlier, ask, current))
        alerts = _judged(account, current, terms, at)
    else:
        wanted, rolled = _opened(account, wanted, ask, terms, now)
        sealed = sealing(account, at)
        _bound(account, len(sealed), at)
        before = (*sealed, rolled)
    event = Subscribed(
        subscription=wanted,
        terms=terms,
        renewal_type=_renewal_type(earlier, plan),
        content=now.fingerprint(ask),
        opened=bool(before),
        previous=None if earlier is None else earlier.plan,
        before=None if current is None else current.key,
        usage_before=(0, 0, 0) if current is None else current.totals(),
        suspended=account.suspended,
        alerts=alerts,
    )
    return Persist((*before, event))


def cancel(account: Account, ask: Cancel, now: Now) -> Persist:
    """End the subscription with its billing cycle, or now.

    Raises:
        RequestError: ``invalid_request`` if no subscription is live.
    """
    subscription, current = account.subscription, account.current
    if subscription is None or current is None or not is_live(subscription, now.at):
        raise InvalidRequest("there is no live subscription to cancel")
    terms: PlanTerms | None = None
    alerts: tuple[Alert, ...] = ()
    if ask.at_period_end is False:
        subscription = replace(subscription, cancelled=True, cancel_at_period_end=False)
        terms = now.catalog.free
        alerts = _judged(account, current, terms, now.at)
    else:
        subscription = replace(subscription, cancel_at_period_end=True)
    return Persist(
        (
            SubscriptionChanged(
                change="cancel",
                content=now.fingerprint(ask),
                subscription=subscription,
                suspended=account.suspended,
                terms=terms,
                alerts=alerts,
            ),
        )
    )


def suspend(account: Account, ask: Suspend, now: Now) -> Persist:
    """Refuse the user's calls until `resume`; usage that happens is recorded all the same."""
    return Persist(
        (
            SubscriptionChanged(
                change="suspend",
                content=now.fingerprint(ask),
                subscription=account.subscription,
                suspended=True,
                reason=ask.reason,
            ),
        )
    )


def resume(account: Account, ask: Resume, now: Now) -> Persist:
    """End a suspension."""
    return Persist(
        (
            SubscriptionChanged(
                change="resume",
                content=now.fingerprint(ask),
                subscription=account.subscription,
            ),
        )
    )


def _keeps(account: Account, ask: Subscribe, plan: Plan, at: int) -> bool:
    """Whether the current period goes on: by default if another plan is live."""
    subscription = account.subscription
    live = subscription is not None and is_live(subscription, at)
    if ask.period == "keep":
        if ask.period_start is not None:
            raise InvalidRequest("period_start begins a new period, so none is kept", "period")
        if not live:
            raise InvalidRequest("there is no live plan whose period could be kept", "period")
        return True
    if ask.period == "new" or ask.period_start is not None:
        return False
    return live and subscription is not None and subscription.plan != plan.terms.name


def _kept_cycle(earlier: StoredSubscription, ask: Subscribe, current: Period) -> int:
    """Where the billing cycle begins: it goes on, or begins anew with the period if it changes."""
    if earlier.billing_cycle == ask.billing_cycle:
        return earlier.cycle
    return index_of(earlier.anchor, current.start)


def _opened(
    account: Account, wanted: StoredSubscription, ask: Subscribe, terms: PlanTerms, now: Now
) -> tuple[StoredSubscription, PeriodRolled]:
    """The subscription from its anchor on, and the event that opens its period of now."""
    at = now.at
    anchor, latest = at, at
    if ask.period_start is not None:
        anchor, latest = to_micros(ask.period_start), at - now.ahead
    if not latest - BACK_MAX <= anchor <= latest:
        raise InvalidRequest("period_start is ahead of now or over 366 days back", "period_start")
    index, months = index_of(anchor, at), cycle_months(wanted.billing_cycle)
    cycle = index - index % months if wanted.auto_renew else 0
    start, current = add_months(anchor, index), account.current
    rolled = PeriodRolled(
        key=new_key(start, account.months),
        start=start,
        end=add_months(anchor, index + 1),
        terms=terms,
        closed=None if current is None else totals_of(current),
        # If this is the first period, late calls may reach the subscription's earlier ones.
        slept=() if current else tuple(add_months(anchor, back) for back in range(index)),
        announced=current is not None and current.announced,
    )
    return replace(wanted, anchor=anchor, cycle=cycle), rolled


def _bound(account: Account, sealed: int, at: int) -> None:
    """Refuse another period if a user has `CLOSED_MAX`: late calls may reach each of them."""
    if len(account.closed) - sealed >= CLOSED_MAX:
        oldest = account.closed[sealed]
        raise RequestError(
            "overloaded",
            f"not executed: to {CLOSED_MAX} earlier periods of this user calls may be late",
            retry_after=(oldest.end + GRACE - at) / 1e6,
        )


def _judged(account: Account, period: Period, terms: PlanTerms, at: int) -> tuple[Alert, ...]:
    """What the limits whose value changes raise at once, under the usage as it is."""
    table = table_of(terms)
    crossings = [
        (limit, 0, limit.of(period.used, period.layout))
        for name in changed_limits(period.table, table)
        if (limit := table.by_name.get(name)) is not None and not limit.disabled
    ]
    return raised_by(crossings, user=account.user, period=period.key, arming=f"{account.seq}:{at}")


def _renewal_type(earlier: StoredSubscription | None, plan: Plan) -> str:
    if earlier is None:
        return "new"
    if earlier.plan == plan.terms.name or earlier.price_nano == plan.price_monthly_nano:
        return "renewal"
    return "upgrade" if plan.price_monthly_nano > earlier.price_nano else "downgrade"


def _parts(ask: Subscribe, catalog: Catalog) -> list[Any]:
    plan = catalog.plan(ask.plan)
    return [
        ask.plan if plan is None else plan.terms.name,
        ask.billing_cycle,
        ask.auto_renew is not False,
        None if ask.period_start is None else to_micros(ask.period_start),
        ask.period,
        {name: value_of(raw) for name, raw in sorted((ask.overrides or {}).items())},
    ]


def _same(ask: Subscribe, event: Subscribed, catalog: Catalog) -> bool:
    return any(
        fingerprint(Subscribe.__name__, _parts(replace(ask, period=period), catalog))
        == event.content
        for period in _periods(ask, event)
    )


def _periods(ask: Subscribe, event: Subscribed) -> tuple[Literal["keep", "new"] | None, ...]:
    """What `event`'s request may have said of ``period``, if this one asks for the same.

    What is left out means what it meant then, whatever it would mean now. If another plan came
    before, the log does not tell whether it was live: then "new" was chosen.
    """
    did: Literal["keep", "new"] = "new" if event.opened else "keep"
    if ask.period is not None:
        return (did, None) if ask.period == did else ()
    same_plan = event.previous == event.subscription.plan
    by_default = (
        same_plan or event.previous is None or ask.period_start is not None
        if event.opened
        else not same_plan
    )
    return (None, did) if by_default else (None,)


def _reply(event: Subscribed | SubscriptionChanged, at: int) -> SubscriptionChangeReply:
    return SubscriptionChangeReply(
        subscription=state_of(event.subscription, at, suspended=event.suspended),
        renewal_type=event.renewal_type if isinstance(event, Subscribed) else None,
        alerts=tuple(alert.id for alert in event.alerts),
        event_id="",
        seq=0,
    )


SUBSCRIBE: Final = Change(Subscribe, Subscribed, subscribe, _reply, _parts, _same)
CANCEL: Final = Change(
    Cancel, SubscriptionChanged, cancel, _reply, lambda ask, _: [ask.at_period_end is not False]
)
SUSPEND: Final = Change(Suspend, SubscriptionChanged, suspend, _reply, lambda ask, _: [ask.reason])
RESUME: Final = Change(Resume, SubscriptionChanged, resume, _reply, lambda _ask, _: [])
