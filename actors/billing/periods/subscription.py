"""A subscription over time: its grid of months, its billing cycle, and what a boundary does.

Rules: contract, section 3, ``subscribe`` to ``resume``, and section 5, "Periods".
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from actors.billing.catalog.catalog import FREE_TIER, Catalog
from actors.billing.periods.calendar import add_months, index_of, month_of
from messages.admission import Number
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    Event,
    PeriodRolled,
    StoredSubscription,
    Subscribed,
)
from messages.subscriptions import RenewalEntry, SubscriptionState, UsageBefore
from messages.units import to_datetime, usd

YEARLY: Final = "yearly"


class Following(NamedTuple):
    """The period that begins at a boundary.

    Attributes:
        end: where it ends.
        subscription: as it is from the boundary on.
        renewed: whether a billing cycle began by itself.
    """

    end: int
    subscription: StoredSubscription | None
    renewed: bool


def cycle_months(billing_cycle: str) -> int:
    """How many periods a billing cycle has: limits renew monthly, for a yearly one too."""
    return 12 if billing_cycle == YEARLY else 1


def cycle_bounds(subscription: StoredSubscription) -> tuple[int, int]:
    """Start and end of the billing cycle under way."""
    first = subscription.cycle
    last = first + cycle_months(subscription.billing_cycle)
    return add_months(subscription.anchor, first), add_months(subscription.anchor, last)


def following(subscription: StoredSubscription | None, start: int) -> Following:
    """The period that begins at ``start``, the end of the one before."""
    if subscription is None or subscription.cancelled:
        return Following(month_of(start)[1], subscription, renewed=False)
    renewed = False
    if start >= cycle_bounds(subscription)[1]:
        if subscription.cancel_at_period_end:
            ended = replace(subscription, cancelled=True, cancel_at_period_end=False)
            return Following(month_of(start)[1], ended, renewed=False)
        if subscription.auto_renew:
            months = cycle_months(subscription.billing_cycle)
            subscription = replace(subscription, cycle=subscription.cycle + months)
            renewed = True
    index = index_of(subscription.anchor, start)
    return Following(add_months(subscription.anchor, index + 1), subscription, renewed)


def nearer(
    subscription: StoredSubscription | None, start: int, at: int, count: int
) -> tuple[int, StoredSubscription | None, bool]:
    """Where as many boundaries lead as leave ``count`` before the period of ``at``, at once.

    A clock may be decades ahead: to go through the months costs each user milliseconds.

    Returns:
        The boundary, the subscription as it is before it, and whether a billing cycle has begun.
    """
    if subscription is None or subscription.cancelled:
        return max(start, add_months(month_of(at)[0], -count)), subscription, False
    index = index_of(subscription.anchor, at) - count
    if subscription.cancel_at_period_end or index <= index_of(subscription.anchor, start):
        return start, subscription, False
    renewed = False
    if subscription.auto_renew:
        months = cycle_months(subscription.billing_cycle)
        cycles = max((index - 1 - subscription.cycle) // months, 0)
        if cycles:  # the one that begins at this boundary is not among them
            subscription = replace(subscription, cycle=subscription.cycle + cycles * months)
            renewed = True
    return add_months(subscription.anchor, index), subscription, renewed


def expired(subscription: StoredSubscription, at: int) -> bool:
    """Whether the billing cycle is over and nothing renews it."""
    if subscription.auto_renew or subscription.cancelled or subscription.cancel_at_period_end:
        return False
    return at >= cycle_bounds(subscription)[1]


def is_live(subscription: StoredSubscription | None, at: int) -> bool:
    """Whether a plan is in force by the subscription."""
    return subscription is not None and not subscription.cancelled and not expired(subscription, at)


def terms_of(
    subscription: StoredSubscription | None, start: int, before: PlanTerms | None, catalog: Catalog
) -> PlanTerms:
    """The terms of a period that begins at ``start``; ``before``: those of the period before.

    An expired subscription goes on under its old terms, a live one gets the plan as it is now.
    """
    if subscription is None or subscription.cancelled:
        return catalog.free
    plan = catalog.plan(subscription.plan)
    if plan is None or (before is not None and expired(subscription, start)):
        return before or catalog.free
    return with_overrides(plan.terms, overrides_of(subscription))


Overrides = tuple[tuple[str, int | None], ...]
"""Limits that are decided for one user, by name; None lifts one."""


def overrides_of(subscription: StoredSubscription) -> Overrides:
    """What is decided for the user. A 0 of before is what it was: in a paid tier, no limit."""
    if subscription.hard_overrides or not subscription.overrides:
        return subscription.hard_overrides
    lifts = subscription.tier != FREE_TIER
    return tuple((name, value or (None if lifts else 0)) for name, value in subscription.overrides)


def with_overrides(terms: PlanTerms, overrides: Overrides) -> PlanTerms:
    """A plan's terms with some limits replaced, added or lifted for one user."""
    if not overrides:
        return terms
    decided = dict(overrides)
    limits = {**dict(terms.limits), **decided}
    return replace(
        terms,
        limits=tuple((name, value) for name, value in limits.items() if value is not None),
        overridden=tuple(name for name, value in overrides if value is not None),
    )


def state_of(
    subscription: StoredSubscription | None, at: int, *, suspended: bool
) -> SubscriptionState | None:
    """A subscription as replies show it, as of ``at``."""
    if subscription is None:
        return None
    start, end = cycle_bounds(subscription)
    return SubscriptionState(
        plan=subscription.plan,
        tier=subscription.tier,
        billing_cycle=subscription.billing_cycle,
        status=_status(subscription, at, suspended=suspended),
        current_period_start=to_datetime(start),
        current_period_end=to_datetime(end),
        auto_renew=subscription.auto_renew,
        cancel_at_period_end=subscription.cancel_at_period_end,
        overrides={name: _shown(name, value) for name, value in overrides_of(subscription)},
    )


def _status(subscription: StoredSubscription, at: int, *, suspended: bool) -> str:
    if suspended:
        return "suspended"
    if subscription.cancelled:
        return "cancelled"
    return "expired" if expired(subscription, at) else "active"


def _shown(name: str, value: int | None) -> Number | None:
    return usd(value) if value is not None and name.endswith("_cost") else value


def renewal_of(event: Event, at: int, seq: int) -> RenewalEntry | None:
    """The entry of a row in the subscription's history, None if it has none."""
    if isinstance(event, Subscribed):
        subscription, kind, previous = event.subscription, event.renewal_type, event.previous
        before, (calls, tokens, cost) = event.before, event.usage_before
    elif isinstance(event, PeriodRolled) and event.renewed and event.subscription is not None:
        subscription, kind, previous = event.subscription, "renewal", event.subscription.plan
        before = None if event.closed is None else event.closed.key
        calls, tokens, cost = _counted(event)
    else:
        return None
    start, end = cycle_bounds(subscription)
    return RenewalEntry(
        renewal_type=kind,
        plan=subscription.plan,
        tier=subscription.tier,
        billing_cycle=subscription.billing_cycle,
        previous_plan=previous,
        period_start=to_datetime(start),
        period_end=to_datetime(end),
        usage_before=UsageBefore(billing_period=before, calls=calls, tokens=tokens, cost=usd(cost)),
        created_at=to_datetime(at),
        seq=seq,
    )


def _counted(event: PeriodRolled) -> tuple[int, int, int]:
    closed = event.closed
    if closed is None:
        return 0, 0, 0
    parts = [*closed.providers.values(), *closed.earlier.values()]
    calls, tokens, cost = (
        (sum(values) for values in zip(*parts, strict=True)) if parts else (0, 0, 0)
    )
    return calls, tokens, cost
