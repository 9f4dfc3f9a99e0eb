"""Decide ``enforce``: may this call be made? Every hard limit it touches, in one step.

Rules: contract, section 3, ``enforce``. remaining = limit - used - held, always. Holds and
``preflight`` are judged by the same `judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from actors.billing.account import Account, Period
from actors.billing.catalog import Catalog
from actors.billing.limits import CALLS, COST, TOKENS, UNITS, Limit
from actors.billing.pricing import estimate
from actors.billing.subscriptions import expired
from messages.admission import EnforceReply, LimitState, Number
from messages.codec import money_of
from messages.commands import Enforce
from messages.units import MICROS_PER_SECOND, to_datetime, usd

WITHIN: Final = "within_limits"
WITHIN_MESSAGE: Final = "Within limits"
WINDOW: Final = "billing_period"
HARD: Final = "hard"
SOFT: Final = "soft"

_REACHED: Final = {
    CALLS: "call_limit_reached",
    TOKENS: "token_limit_exceeded",
    COST: "cost_limit_reached",
}
_ORDER: Final = ("disabled_by_plan", *_REACHED.values())
_BARRED: Final = {
    "suspended": "The account is suspended.",
    "subscription_expired": "The subscription has expired.",
}


class Call(NamedTuple):
    """A call to be judged, its names resolved.

    Attributes:
        amounts: calls, tokens and cost in nano-USD.
        derived: whether the cost is the service's estimate.
    """

    provider: str
    actual: str
    model: str
    amounts: tuple[int, int, int]
    derived: bool


class Standing(NamedTuple):
    """Where a limit that a call touches stands."""

    limit: Limit
    used: int
    held: int


class Verdict(NamedTuple):
    """Whether a call may be made; ``retry_after`` in seconds, None where waiting is no use."""

    reason: str
    message: str
    violated: tuple[str, ...]
    standings: list[Standing]
    retry_after: int | None

    @property
    def allowed(self) -> bool:
        """Whether the call may be made."""
        return self.reason == WITHIN


def resolve(ask: Enforce, at: int, catalog: Catalog) -> Call:
    """What a request asks for.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    provider = catalog.providers.find(ask.provider)
    actual = provider.actual_of(ask.actual_provider_name, ask.model_used, ask.endpoint)
    model = ask.model_used or provider.default_model
    calls = 1 if ask.calls is None else ask.calls
    tokens = ask.tokens_requested or 0
    cost = money_of(ask.cost_requested, "cost_requested")
    derived = cost is None
    if cost is None:
        cost = estimate(catalog.price(provider.name, model, at).price, tokens, calls)
    return Call(provider.name, actual, model, (calls, tokens, cost), derived)


def barred(account: Account, at: int) -> str | None:
    """Why the user may make no calls at all, None where nothing stands in the way."""
    if account.suspended:
        return "suspended"
    subscription = account.subscription
    if subscription is not None and expired(subscription, at):
        return "subscription_expired"
    return None


def judge(
    account: Account,
    period: Period,
    call: Call,
    at: int,
    *,
    used: Sequence[int] | None = None,
    held: Sequence[int] | None = None,
) -> Verdict:
    """Check every hard limit that a call touches, each in its own unit, in one step.

    Args:
        account: whose call it is.
        period: the current period.
        call: what is asked for.
        at: now.
        used: the usage by slot, by default that of the period.
        held: what is held by slot, by default that of the open holds.
    """
    used = period.used if used is None else used
    held = account.held(at) if held is None else held
    standings: list[Standing] = []
    violated: list[Standing] = []
    hopeless = False  # whether a violated limit is too small for this call at any time
    for limit in period.table.touched(call.provider, call.actual):
        standing = Standing(limit, used[limit.slot], held[limit.slot])
        standings.append(standing)
        requested = call.amounts[limit.unit]
        if limit.hard and not _fits(limit, standing.used + standing.held, requested):
            violated.append(standing)
            hopeless = hopeless or not _fits(limit, 0, requested)
    why = None if not account.suspended and account.subscription is None else barred(account, at)
    names = tuple(standing.limit.name for standing in violated)
    if why is not None:
        return Verdict(why, _BARRED[why], names, standings, None)
    if not violated:
        return Verdict(WITHIN, WITHIN_MESSAGE, (), standings, None)
    reason, message = _refusal(violated, period, call.amounts)
    wait = None if hopeless or not _goes_on(account, period) else _seconds(period.end - at)
    return Verdict(reason, message, names, standings, wait)


def enforce(
    account: Account, period: Period, ask: Enforce, at: int, catalog: Catalog
) -> EnforceReply:
    """Decide on the live counters of the current period; changes nothing.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    call = resolve(ask, at, catalog)
    verdict = judge(account, period, call, at)
    return EnforceReply(  # in the order of the fields, as in `limit_state`
        verdict.reason == WITHIN,
        verdict.message,
        verdict.reason,
        call.provider,
        call.actual,
        verdict.violated,
        limit_states(verdict.standings, call.amounts, period.end),
        period.status,
        period.key,
        verdict.retry_after,
        account.seq,
    )


def limit_states(
    standings: list[Standing], amounts: tuple[int, int, int], resets_at: int
) -> tuple[LimitState, ...]:
    """Limits as replies show them."""
    return tuple(
        [
            limit_state(
                limit.name,
                limit.unit,
                HARD if limit.hard else SOFT,
                (limit.value, used, held, amounts[limit.unit]),
                resets_at,
                disabled=limit.disabled,
            )
            for limit, used, held in standings
        ]
    )


def limit_state(
    name: str,
    unit: int,
    kind: str,
    amounts: tuple[int, int, int, int],
    resets_at: int,
    *,
    disabled: bool = False,
) -> LimitState:
    """One limit as replies show it; ``amounts`` are limit, used, held and requested."""
    value, used, held, requested = amounts
    shown: tuple[Number, ...] = (value, used, held, requested, value - used - held)
    if unit == COST:
        shown = tuple([usd(amount) for amount in shown])  # type: ignore[arg-type]
    limit_shown, used_shown, held_shown, requested_shown, remaining = shown
    return LimitState(  # in the order of the fields: keywords take far longer
        name,
        UNITS[unit],
        WINDOW,
        kind,
        limit_shown,
        used_shown,
        held_shown,
        requested_shown,
        remaining,
        None if disabled else percentage(used, value),
        _moment(resets_at),
    )


def _fits(limit: Limit, taken: int, requested: int) -> bool:
    """The rule: the sum may meet the limit; a request of nothing needs room left."""
    if limit.disabled:
        return False
    if requested == 0:
        return taken < limit.value
    return taken + requested <= limit.value


def _goes_on(account: Account, period: Period) -> bool:
    """Whether calls are allowed again when the period ends."""
    subscription = account.subscription
    return subscription is None or not expired(subscription, period.end)


def _seconds(micros: int) -> int:
    return -(-micros // MICROS_PER_SECOND)


def _refusal(
    violated: list[Standing], period: Period, amounts: tuple[int, int, int]
) -> tuple[str, str]:
    def reason_of(limit: Limit) -> str:
        return "disabled_by_plan" if limit.disabled else _REACHED[limit.unit]

    first, used, held = min(violated, key=lambda found: _ORDER.index(reason_of(found.limit)))
    reason = reason_of(first)
    if first.disabled:
        return reason, f"{first.name} is not part of the {period.terms.name} plan."
    unit = "USD" if first.unit == COST else UNITS[first.unit]
    set_aside = f"{shown(held, first.unit)} held, " if held else ""
    return reason, (
        f"The limit {first.name} of {shown(first.value, first.unit)} {unit} does not allow this "
        f"call: {shown(used, first.unit)} used, {set_aside}"
        f"{shown(amounts[first.unit], first.unit)} requested."
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
