"""Decide ``enforce``: may this call be made? Every hard limit it touches, in one step.

Rules: contract, section 3, ``enforce``. remaining = limit - used - held, always. Holds and
``preflight`` are judged by the same `judge`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import astuple, replace

from actors.billing.admission.asked import asked_by, may_take
from actors.billing.catalog.catalog import Catalog, Touch
from actors.billing.catalog.charging import estimate
from actors.billing.catalog.names import COUNTING
from actors.billing.catalog.price_list import Priced
from actors.billing.catalog.units import units_of
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import CALLS, COST, TOKENS
from actors.billing.effects import Shown
from actors.billing.limits.limits import Limit, shown
from actors.billing.periods.rollover import current_of
from actors.billing.periods.subscription import expired
from actors.billing.state.account import Account, Period
from actors.billing.state.headroom import Headroom, Headrooms, LimitUse
from messages.admission import DETAIL, UNSAID, Enforce
from messages.codec import money_of
from messages.refusals import clip
from messages.scalars import ABSENT, EXCLUSIVE
from messages.stored.detail import NO_HOLD_DETAIL, HoldDetail, UsageDetail
from messages.stored.events import Counters
from messages.units import MICROS_PER_SECOND

UNPRICED: Final = "unpriced_model"
WITHIN: Final = "within_limits"
WITHIN_MESSAGE: Final = "Within limits"

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


class Call:
    """A call to be judged, its names resolved.

    Attributes:
        touch: what decides which limits it touches.
        amounts: calls, tokens and cost in nano-USD.
        derived: whether the cost is the service's estimate.
        found: how the price was found.
        unpriced: the names of what is asked for and has no price.
        detail: what few calls say.
    """

    __slots__ = ("actual", "amounts", "derived", "detail", "found", "model", "touch", "unpriced")

    def __init__(
        self,
        touch: Touch,
        actual: str,
        model: str,
        amounts: Counters,
        found: Priced,
        *,
        derived: bool,
        unpriced: tuple[str, ...] = (),
        detail: HoldDetail | None = None,
    ) -> None:
        self.touch = touch
        self.actual = actual
        self.model = model
        self.amounts = amounts
        self.found = found
        self.derived = derived
        self.unpriced = unpriced
        self.detail = detail

    @property
    def provider(self) -> str:
        """The provider's canonical name."""
        return self.touch[0]


class Decision(Shown):
    """Whether a call may be made, and why.

    Attributes:
        call: what was judged.
        reason: the reason code.
        message: the same as a sentence.
        violated: the names of the hard limits that do not allow the call.
        headroom: the limits that the call touches.
        retry_after: in seconds, None if waiting is no use.
        status, period: the usage status, and the key of the billing period.
    """

    __slots__ = (
        "call",
        "headroom",
        "message",
        "period",
        "reason",
        "retry_after",
        "status",
        "violated",
    )

    def __init__(
        self,
        call: Call,
        headroom: Headroom,
        period: Period,
        reason: str,
        message: str,
        violated: tuple[str, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        self.call = call
        self.headroom = headroom
        self.status = period.status
        self.period = period.key
        self.reason = reason
        self.message = message
        self.violated = violated
        self.retry_after = retry_after

    @property
    def allowed(self) -> bool:
        """Whether the call may be made."""
        return self.reason == WITHIN


def resolve(ask: Enforce, at: int, catalog: Catalog) -> Call:
    """What a request asks for.

    Raises:
        RequestError: ``unknown_provider``, also for an archived one, ``unknown_unit`` or
            ``invalid_request``.
    """
    route = catalog.route(ask.provider, ask.model_used, ask.actual_provider_name, ask.endpoint)
    if route.entry.archived:
        raise catalog.providers.archived(route.provider)
    calls = 1 if ask.calls is None else ask.calls
    cost = None if ask.cost_requested is ABSENT else money_of(ask.cost_requested, "cost_requested")
    found = route.found
    if not found.since <= at < found.until:
        found = catalog.priced(route, at)
    derived = cost is None
    detail: HoldDetail | None = None
    unpriced: tuple[str, ...] = ()
    if route.plain and found.price.plain and astuple(ask)[DETAIL] == UNSAID:  # nearly always
        tokens = ask.tokens_requested or 0
        if cost is None:
            cost = estimate(found.price, tokens, calls)
    else:
        units_of(ask.units_requested, "units_requested", catalog.units)  # no limit counts them
        detail = asked_by(ask)
        if ask.token_counting is None and not route.plain:
            detail = detail or NO_HOLD_DETAIL
            detail = replace(detail, token_counting=EXCLUSIVE, filled=(COUNTING,))
        if detail is not None and detail.price_variant is not None:
            found = catalog.priced(route, at, detail.price_variant)
        tokens, own_cost, unpriced = may_take(detail, ask.tokens_requested, calls, found)
        cost = own_cost if cost is None else cost
    if route.detail is not None:
        detail = _with_names(detail or NO_HOLD_DETAIL, route.detail)
    return Call(
        route.touch,
        route.actual,
        route.model,
        (calls, tokens, cost),
        found,
        derived=derived,
        unpriced=unpriced,
        detail=detail,
    )


def _with_names(detail: HoldDetail, found: UsageDetail) -> HoldDetail:
    """What few calls say, with how the names of this one were found."""
    filled = (*found.filled, *detail.filled)
    return replace(detail, alias=found.alias, filled=filled, text=found.text)


def barred(account: Account, at: int) -> str | None:
    """Why the user may make no calls at all, None if there is no such reason."""
    if account.suspended:
        return "suspended"
    subscription = account.subscription
    if subscription is not None and expired(subscription, at):
        return "subscription_expired"
    return None


def judge(account: Account, period: Period, call: Call, at: int, headroom: Headroom) -> Decision:
    """Check every hard limit that a call touches, each in its own unit, in one step.

    Args:
        account: whose call it is.
        period: the current period.
        call: what is asked for.
        at: now.
        headroom: what room the limits that the call touches leave.
    """
    amounts = call.amounts
    why = None if not account.suspended and account.subscription is None else barred(account, at)
    if why is None and headroom.fits(amounts):
        if call.found.refused and call.derived:
            return Decision(call, headroom, period, UNPRICED, _without_price(call))
        return Decision(call, headroom, period, WITHIN, WITHIN_MESSAGE)
    violated = [use for use in headroom.uses if not _fits(use, amounts)]
    names = tuple([use[0].name for use in violated])
    if why is not None:
        return Decision(call, headroom, period, why, _BARRED[why], names)
    reason, message = _refusal(violated, period, amounts)
    wait = _retry_after(account, headroom, violated, amounts, at)
    return Decision(call, headroom, period, reason, message, names, wait)


def enforce(
    account: Account, ask: Enforce, at: int, catalog: Catalog, headrooms: Headrooms
) -> Decision:
    """Decide on the live counters of the current period; changes nothing.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    period = current_of(account, at, catalog)
    call = resolve(ask, at, catalog)
    return judge(account, period, call, at, headrooms.of(account, period, call.touch, at))


def _without_price(call: Call) -> str:
    return (
        f"The model {clip(call.model, 64)} has no price, and {call.provider} refuses calls of "
        f"models without one."
    )


def _fits(use: LimitUse, amounts: Counters) -> bool:
    """The rule: the sum may meet the limit; a request of nothing needs room left.

    Nothing fits into a disabled limit, which is 0. Soft limits let everything pass.
    """
    limit, used, held = use
    return not limit.hard or used + held + (amounts[limit.unit] or 1) <= limit.value


def _retry_after(
    account: Account,
    headroom: Headroom,
    violated: list[LimitUse],
    amounts: Counters,
    at: int,
) -> int | None:
    """The seconds until all of these limits count anew; None if the call will not fit then."""
    wait = 0
    for limit, _, _ in violated:
        resets_at = headroom.resets_at(limit.window)
        if not _fits((limit, 0, 0), amounts) or not _goes_on(account, resets_at):
            return None
        wait = max(wait, -(-(resets_at - at) // MICROS_PER_SECOND))
    return wait


def _goes_on(account: Account, at: int) -> bool:
    """Whether calls are allowed at a moment to come, as far as the subscription goes."""
    subscription = account.subscription
    return subscription is None or not expired(subscription, at)


def _refusal(violated: list[LimitUse], period: Period, amounts: Counters) -> tuple[str, str]:
    def reason_of(limit: Limit) -> str:
        return "disabled_by_plan" if limit.disabled else _REACHED[limit.unit]

    first, used, held = min(violated, key=lambda found: _ORDER.index(reason_of(found[0])))
    reason = reason_of(first)
    if first.disabled and first.name in (period.terms.overridden or ()):
        return reason, f"{first.name} is closed for this user by an override."
    if first.disabled:
        return reason, f"{first.name} is not part of the {period.terms.name} plan."
    unit = "USD" if first.unit == COST else UNITS[first.unit]
    set_aside = f"{shown(held, first.unit)} held, " if held else ""
    return reason, (
        f"The limit {first.name} of {shown(first.value, first.unit)} {unit} does not allow this "
        f"call: {shown(used, first.unit)} used, {set_aside}"
        f"{shown(amounts[first.unit], first.unit)} requested."
    )
