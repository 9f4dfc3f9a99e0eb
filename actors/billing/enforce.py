"""Decide ``enforce``: may this call be made? Every hard limit it touches, in one step.

Rules: contract, section 3, ``enforce``. remaining = limit - used - held, always.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from actors.billing.catalog import Catalog
from actors.billing.limits import CALLS, COST, TOKENS, UNITS, Limit
from actors.billing.pricing import estimate
from actors.billing.state import Period
from messages.admission import EnforceReply, LimitState, Number
from messages.codec import money_of
from messages.commands import Enforce
from messages.units import MICROS_PER_SECOND, to_datetime, usd

_REACHED: Final = {
    CALLS: "call_limit_reached",
    TOKENS: "token_limit_exceeded",
    COST: "cost_limit_reached",
}
WINDOW: Final = "billing_period"
_ORDER: Final = ("disabled_by_plan", *_REACHED.values())


def enforce(period: Period, ask: Enforce, at: int, catalog: Catalog, seq: int) -> EnforceReply:
    """Decide on the live counters of the current period; changes nothing.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    provider = catalog.providers.find(ask.provider)
    actual = provider.actual_of(ask.actual_provider_name, ask.model_used, ask.endpoint)
    calls = 1 if ask.calls is None else ask.calls
    tokens = ask.tokens_requested or 0
    cost = money_of(ask.cost_requested, "cost_requested")
    if cost is None:
        price = catalog.price(provider.name, ask.model_used or provider.default_model).price
        cost = estimate(price, tokens, calls)
    asked = (calls, tokens, cost)

    states: list[LimitState] = []
    violated: list[Limit] = []
    resets_at = _moment(period.end)
    hopeless = False  # whether a violated limit is too small for this call at any time
    for limit in period.table.touched(provider.name, actual):
        requested = asked[limit.unit]
        used = period.used[limit.slot]
        states.append(_state(limit, used, requested, resets_at))
        if limit.hard and not _fits(limit, used, requested):
            violated.append(limit)
            hopeless = hopeless or not _fits(limit, 0, requested)
    reason, message = _verdict(violated, period, asked)
    wait = -(-(period.end - at) // MICROS_PER_SECOND)
    return EnforceReply(  # in the order of the fields, as in `_state`
        not violated,
        message,
        reason,
        provider.name,
        actual,
        tuple(limit.name for limit in violated),
        tuple(states),
        period.status,
        period.key,
        wait if violated and not hopeless else None,
        seq,
    )


def _fits(limit: Limit, used: int, requested: int) -> bool:
    """The rule: the sum may meet the limit; a request of nothing needs room left."""
    if limit.disabled:
        return False
    if requested == 0:
        return used < limit.value
    return used + requested <= limit.value


def _verdict(violated: list[Limit], period: Period, asked: tuple[int, int, int]) -> tuple[str, str]:
    if not violated:
        return "within_limits", "Within limits"

    def reason_of(limit: Limit) -> str:
        return "disabled_by_plan" if limit.disabled else _REACHED[limit.unit]

    first = min(violated, key=lambda limit: _ORDER.index(reason_of(limit)))
    reason = reason_of(first)
    if first.disabled:
        return reason, f"{first.name} is not part of the {period.terms.name} plan."
    used, limit = (shown(x, first.unit) for x in (period.used[first.slot], first.value))
    requested = shown(asked[first.unit], first.unit)
    unit = "USD" if first.unit == COST else UNITS[first.unit]
    return reason, (
        f"The limit {first.name} of {limit} {unit} does not allow this call: "
        f"{used} used, {requested} requested."
    )


def _state(limit: Limit, used: int, requested: int, resets_at: datetime) -> LimitState:
    value, unit = limit.value, limit.unit
    amounts: tuple[Number, ...] = (value, used, 0, requested, value - used)
    if unit == COST:
        amounts = tuple(usd(amount) for amount in (value, used, 0, requested, value - used))
    shown_limit, shown_used, held, shown_requested, remaining = amounts
    return LimitState(  # in the order of the fields: keywords take far longer
        limit.name,
        UNITS[unit],
        WINDOW,
        "hard" if limit.hard else "soft",
        shown_limit,
        shown_used,
        held,
        shown_requested,
        remaining,
        None if limit.disabled else percentage(used, value),
        resets_at,
    )


@lru_cache(maxsize=4096)
def _moment(at: int) -> datetime:
    """A period's end: the same one for very many requests."""
    return to_datetime(at)


def shown(amount: int, unit: int) -> Number:
    """An amount of a unit as replies show it: counts as they are, money in USD."""
    return usd(amount) if unit == COST else amount


def percentage(used: int, value: int) -> float:
    """Used x 100 / limit with 4 decimals, for display only."""
    return round(used * 100 / value, 4)
