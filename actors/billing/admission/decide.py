"""Decide ``enforce``: may this call be made? Every hard limit it touches, in one step.

Rules: contract, section 3, ``enforce``. remaining = limit - used - held, always. Holds and
``preflight`` are judged by the same `judge`.
"""

from __future__ import annotations

from typing import Final

from actors.billing.admission.headroom import Row, Standing, standing_of
from actors.billing.catalog.catalog import Catalog, Touch
from actors.billing.catalog.prices import estimate
from actors.billing.counters.slots import CALLS, COST, TOKENS, UNITS
from actors.billing.limits.limits import Limit, shown
from actors.billing.periods.subscription import expired
from actors.billing.state.account import Account, Period
from actors.billing.wire.decision import decision_text
from messages.admission import Enforce
from messages.codec import money_of
from messages.scalars import ABSENT
from messages.units import MICROS_PER_SECOND

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
    """

    __slots__ = ("actual", "amounts", "derived", "model", "touch")

    def __init__(
        self, touch: Touch, actual: str, model: str, amounts: tuple[int, int, int], *, derived: bool
    ) -> None:
        self.touch = touch
        self.actual = actual
        self.model = model
        self.amounts = amounts
        self.derived = derived

    @property
    def provider(self) -> str:
        """The provider's canonical name."""
        return self.touch[0]


class Verdict:
    """Whether a call may be made; ``retry_after`` in seconds, None where waiting is no use."""

    __slots__ = ("message", "reason", "retry_after", "standing", "violated")

    def __init__(
        self,
        reason: str,
        message: str,
        violated: tuple[str, ...],
        standing: Standing,
        retry_after: int | None,
    ) -> None:
        self.reason = reason
        self.message = message
        self.violated = violated
        self.standing = standing
        self.retry_after = retry_after

    @property
    def allowed(self) -> bool:
        """Whether the call may be made."""
        return self.reason == WITHIN


def resolve(ask: Enforce, at: int, catalog: Catalog) -> Call:
    """What a request asks for.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    route = catalog.route(ask.provider, ask.model_used, ask.actual_provider_name, ask.endpoint)
    calls = 1 if ask.calls is None else ask.calls
    tokens = ask.tokens_requested or 0
    cost = None if ask.cost_requested is ABSENT else money_of(ask.cost_requested, "cost_requested")
    derived = cost is None
    if cost is None:
        found = route.newest
        if found.price.effective_from > at:
            found = catalog.price(route.provider, route.model, at)
        cost = estimate(found.price, tokens, calls)
    return Call(route.touch, route.actual, route.model, (calls, tokens, cost), derived=derived)


def barred(account: Account, at: int) -> str | None:
    """Why the user may make no calls at all, None where nothing stands in the way."""
    if account.suspended:
        return "suspended"
    subscription = account.subscription
    if subscription is not None and expired(subscription, at):
        return "subscription_expired"
    return None


def judge(account: Account, period: Period, call: Call, at: int, standing: Standing) -> Verdict:
    """Check every hard limit that a call touches, each in its own unit, in one step.

    Args:
        account: whose call it is.
        period: the current period.
        call: what is asked for.
        at: now.
        standing: how the user stands with the limits that the call touches.
    """
    amounts = call.amounts
    why = None if not account.suspended and account.subscription is None else barred(account, at)
    if why is None and standing.fits(amounts):
        return Verdict(WITHIN, WITHIN_MESSAGE, (), standing, None)
    violated = [row for row in standing.rows if not _fits(row, amounts)]
    names = tuple([limit.name for limit, _, _ in violated])
    if why is not None:
        return Verdict(why, _BARRED[why], names, standing, None)
    reason, message = _refusal(violated, period, amounts)
    # No use to wait for the next period where this call does not fit into an empty one.
    hopeless = not all(_fits((limit, 0, 0), amounts) for limit, _, _ in violated)
    wait = None if hopeless or not _goes_on(account, period) else _seconds(period.end - at)
    return Verdict(reason, message, names, standing, wait)


def enforce(account: Account, period: Period, ask: Enforce, at: int, catalog: Catalog) -> bytes:
    """Decide on the live counters of the current period; changes nothing.

    The encoded `messages.admission.EnforceReply`.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    call = resolve(ask, at, catalog)
    standing = standing_of(account, period, call.touch, at)
    verdict = judge(account, period, call, at, standing)
    return f'{{{text_of(call, verdict, period)},"seq":{account.seq}}}'.encode()


def text_of(call: Call, verdict: Verdict, period: Period) -> str:
    """A verdict as replies show it; see `decision_text`."""
    return decision_text(
        verdict.reason == WITHIN,
        verdict.message,
        verdict.reason,
        (call.touch[0], call.actual),
        verdict.violated,
        verdict.standing.text(call.amounts),
        (period.status, period.key),
        verdict.retry_after,
    )


def _fits(row: Row, amounts: tuple[int, int, int]) -> bool:
    """The rule: the sum may meet the limit; a request of nothing needs room left.

    Nothing fits into a disabled limit, which is 0. Soft limits let everything pass.
    """
    limit, used, held = row
    return not limit.hard or used + held + (amounts[limit.unit] or 1) <= limit.value


def _goes_on(account: Account, period: Period) -> bool:
    """Whether calls are allowed again when the period ends."""
    subscription = account.subscription
    return subscription is None or not expired(subscription, period.end)


def _seconds(micros: int) -> int:
    return -(-micros // MICROS_PER_SECOND)


def _refusal(violated: list[Row], period: Period, amounts: tuple[int, int, int]) -> tuple[str, str]:
    def reason_of(limit: Limit) -> str:
        return "disabled_by_plan" if limit.disabled else _REACHED[limit.unit]

    first, used, held = min(violated, key=lambda found: _ORDER.index(reason_of(found[0])))
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
