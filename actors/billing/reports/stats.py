"""The summary of a billing period, computed from its counters; changes nothing."""

from __future__ import annotations

from itertools import islice

from actors.billing.admission.holds import held_in_all
from actors.billing.catalog.catalog import Catalog, is_cost
from actors.billing.counters.layouts import OTHER
from actors.billing.counters.slots import shown_providers, total_cost, totals
from actors.billing.limits.limits import percentage
from actors.billing.limits.thresholds import level_of_all
from actors.billing.periods.rollover import current_of
from actors.billing.reports.alerts import alert_reply
from actors.billing.state.account import Account, Period, status_of
from actors.billing.state.tally import NO_TALLY, Amounts
from messages.admission import Held
from messages.errors import RequestError
from messages.quantities import quantities
from messages.reports import AlertReply, Estimated, NamedUsage, PlanLimits, Stats, StatsReply
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    Counters,
)
from messages.units import MICROS_PER_SECOND, to_datetime, usd

SHOWN_ALERTS: int = 10


def find_period(account: Account, ask: Stats, at: int, catalog: Catalog) -> Period | None:
    """The period that a read asks for, None if it is neither current nor within the grace."""
    current = current_of(account, at, catalog)
    if ask.billing_period is None or ask.billing_period == current.key:
        return current
    return account.period(ask.billing_period)


def unknown_period(key: str) -> RequestError:
    """The error for a period that the user does not have."""
    return RequestError(
        "unknown_period", f"the user has no billing period {key}", field="billing_period"
    )


def stats(account: Account, period: Period, at: int) -> StatsReply:
    """The counters of a period since its last reset, with its plan's limits."""
    unread = islice(reversed(account.unread.values()), SHOWN_ALERTS)
    return summary(
        period,
        seq=account.seq,
        alerts=tuple(alert_reply(account.user, raised) for raised in unread),
        held=held_in_all(account, at),
    )


def summary(
    period: Period, *, seq: int, alerts: tuple[AlertReply, ...] = (), held: Held | None = None
) -> StatsReply:
    """What a period counted, as ``stats`` shows it and ``period_closed`` publishes it."""
    used = period.used
    table = period.table
    level = level_of_all(used, period.layout, table)
    calls, tokens, _ = totals(used, period.layout)
    tally = period.tally or NO_TALLY
    guessed = tally.estimated
    return StatsReply(
        billing_period=period.key,
        period_start=to_datetime(period.start),
        period_end=to_datetime(period.end),
        # Exact values, not what fired: late events raise no alert.
        usage_status=status_of({"all": level} if level else {}),
        total_calls=calls,
        total_tokens=tokens,
        total_cost=usd(total_cost(used)),
        avg_response_time=(
            round(period.response_micros / calls / MICROS_PER_SECOND, 6) if calls else 0.0
        ),
        error_rate=round(period.errors * 100 / calls, 4) if calls else 0.0,
        error_count=period.errors,
        limits=_plan(period.terms),
        units=quantities(tally.units),
        estimated=Estimated(guessed[0], guessed[1], usd(guessed[2])),
        unpriced_calls=tally.unpriced_calls,
        provider_breakdown=_breakdown(
            shown_providers(used, period.layout), tally.providers.by_name
        ),
        actual_provider_breakdown=_breakdown(period.actual, tally.actual.by_name),
        model_breakdown=_breakdown(period.models, tally.models.by_name),
        usage_percentages={
            limit.name: percentage(limit.of(used, period.layout), limit.value)
            for limit in table.limits
            if not limit.disabled
        },
        alerts=alerts,
        held=held or Held(0, 0, usd(0), 0),
        last_updated=None if period.last_updated is None else to_datetime(period.last_updated),
        seq=seq,
    )


def _breakdown(counts: dict[str, Counters], units: dict[str, Amounts]) -> dict[str, NamedUsage]:
    found = {
        name: NamedUsage(calls, tokens, usd(cost), quantities(units.get(name)))
        for name, (calls, tokens, cost) in counts.items()
    }
    rest = units.get(OTHER)
    if rest and OTHER not in found:  # amounts of names that are there, but too many
        found[OTHER] = NamedUsage(0, 0, usd(0), quantities(rest))
    return found


def _plan(terms: PlanTerms) -> PlanLimits:
    return PlanLimits(
        plan_name=terms.name,
        tier=terms.tier,
        limits={name: usd(value) if is_cost(name) else value for name, value in terms.limits},
        features=terms.features,
    )
