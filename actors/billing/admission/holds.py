"""Decide ``hold``, ``extend``, ``release`` and ``preflight``: admission that cannot overshoot.

A hold checks every hard limit and sets amounts aside in one step; what is held counts in every
later decision and never in the usage. Its id is the idempotency key of its request.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import astuple, replace

from actors.billing.admission.asked import (
    Found,
    asked_by,
    found_of,
    may_take,
    price_then,
    tokens_of,
)
from actors.billing.admission.decide import UNPRICED, WITHIN, Call, Decision, judge, resolve
from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.names import Names, Said, Told, counting_then, names_then
from actors.billing.catalog.units import units_of
from actors.billing.change import Change, Now
from actors.billing.counters.slots import COST, TOKENS, add, totals
from actors.billing.effects import Effect, Persist, Reply, Shown
from actors.billing.fingerprint import fingerprint
from actors.billing.paging import BYTES_MAX, fitting
from actors.billing.periods.rollover import current_of, current_or_opened
from actors.billing.state.account import Account, Period
from actors.billing.state.headroom import Headroom
from actors.billing.state.open_holds import HOLDS_MAX, OpenHold
from messages.admission import (
    DETAIL,
    UNSAID,
    Enforce,
    Extend,
    Held,
    Hold,
    HoldEntry,
    HoldsReply,
    Release,
    ReleaseReply,
)
from messages.codec import money_of
from messages.errors import RequestError
from messages.quantities import quantities, quantities_of
from messages.scalars import EXCLUSIVE, INCLUSIVE, TokenCounting
from messages.stored.detail import NO_HOLD_DETAIL
from messages.stored.events import (
    DecisionThen,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    LimitThen,
)
from messages.units import MICROS_PER_SECOND, to_datetime, usd

TTL_S: Final = 60
"""How long a hold lasts by default, in seconds."""
_TOO_MANY: Final = ("too_many_holds", f"The account has {HOLDS_MAX:,} open holds already.")


class HoldDecision(Shown):
    """A decision on a hold, and the hold: None if it was not placed."""

    __slots__ = ("decision", "expires_at", "hold_id")

    def __init__(self, decision: Decision, hold_id: str | None, expires_at: int | None) -> None:
        self.decision = decision
        self.hold_id = hold_id
        self.expires_at = expires_at


def hold(account: Account, ask: Hold, now: Now) -> Effect:
    """Check a call and set aside what it needs.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    at, catalog = now.at, now.catalog
    call = resolve(ask, at, catalog)
    period, opened = current_or_opened(account, at, catalog)
    headroom = now.headrooms.of(account, period, call.touch, at)
    decision = full(judge(account, period, call, at, headroom), period, account.held_count(at))
    if not decision.allowed:
        return Reply(HoldDecision(decision, None, None), now.key)
    expires_at = at + (ask.ttl or TTL_S) * MICROS_PER_SECOND
    placed = placed_by(now.key, decision, period, expires_at, now.fingerprint(ask))
    return Persist((*opened, placed), shown=HoldDecision(decision, now.key, expires_at))


def extend(account: Account, ask: Extend, now: Now) -> Effect:
    """Have an open hold last longer or hold other amounts; an increase is judged.

    What is left out stays, but for a cost that was derived: it follows the tokens.

    Raises:
        RequestError: ``unknown_hold`` or ``invalid_request``.
    """
    at, catalog = now.at, now.catalog
    held = _open_hold(account, ask.hold_id, at)
    call = _extended(held, ask, at, catalog)
    period = current_of(account, at, catalog)
    slots, layout = account.held(at)
    others = list(slots)
    calls, tokens, cost = held.amounts
    layout = add(others, layout, held.touch, (-calls, -tokens, -cost))
    grown = any(call.amounts[unit] > held.amounts[unit] for unit in (TOKENS, COST))
    limits = period.table.touched(call.touch)
    headroom = Headroom(limits, period.used, period.layout, (others, layout), period.end)
    decision = judge(account, period, call, at, headroom)
    if grown and not decision.allowed:
        return Reply(HoldDecision(decision, held.id, held.expires_at), now.key)
    event = HoldExtended(
        hold_id=held.id,
        tokens=call.amounts[TOKENS],
        cost_nano=call.amounts[COST],
        expires_at=held.expires_at if ask.ttl is None else at + ask.ttl * MICROS_PER_SECOND,
        calls=calls,
        provider=held.provider,
        actual=held.actual,
        decision=_then(period, headroom),
        content=now.fingerprint(ask),
        derived=call.derived,
        price=price_then(found_by(call)),
        units=None if ask.units_requested is None else (call.detail or NO_HOLD_DETAIL).units or {},
    )
    return Persist((event,))


def release(account: Account, ask: Release, now: Now) -> Persist:
    """End an open hold; its call will not be made.

    Raises:
        RequestError: ``unknown_hold``.
    """
    held = _open_hold(account, ask.hold_id, now.at)
    return Persist((HoldReleased(hold_id=held.id, content=now.fingerprint(ask)),))


def holds(account: Account, at: int, bytes_max: int = BYTES_MAX) -> HoldsReply:
    """The open holds, oldest first, as many as fit."""
    entries = fitting(map(entry_of, account.open_holds(at)), bytes_max)
    return HoldsReply(holds=entries, held=held_in_all(account, at), seq=account.seq)


def entry_of(hold: OpenHold) -> HoldEntry:
    """How a list shows a hold."""
    detail = hold.detail or NO_HOLD_DETAIL
    return HoldEntry(
        hold_id=hold.id,
        provider=hold.provider,
        actual_provider_name=hold.actual,
        model_used=hold.model,
        calls=hold.amounts[0],
        tokens=hold.amounts[1],
        cost=usd(hold.amounts[2]),
        created_at=to_datetime(hold.created_at),
        expires_at=to_datetime(hold.expires_at),
        key=detail.key,
        tags=detail.tags,
        units=quantities(detail.units),
    )


def held_in_all(account: Account, at: int) -> Held:
    """What all open holds set aside together."""
    calls, tokens, cost = totals(*account.held(at))
    return Held(calls, tokens, usd(cost), account.held_count(at))


def _open_hold(account: Account, hold_id: str, at: int) -> OpenHold:
    held = account.hold(hold_id, at)
    if held is None:
        raise RequestError(
            "unknown_hold", f"there is no open hold {hold_id[:64]!r}", field="hold_id"
        )
    return held


def _extended(held: OpenHold, ask: Extend, at: int, catalog: Catalog) -> Call:
    """The hold's call with its new totals.

    Raises:
        RequestError: ``invalid_request``, or as `units_of`.
    """
    calls, tokens, cost = held.amounts
    given = money_of(ask.cost_requested, "cost_requested")
    detail = held.detail
    if ask.units_requested is not None:
        units = units_of(ask.units_requested, "units_requested", catalog.units)
        detail = replace(detail or NO_HOLD_DETAIL, units=units)
    variant = (detail or NO_HOLD_DETAIL).price_variant or ""
    found = catalog.price(held.provider, held.model, at, variant)
    wanted = tokens if ask.tokens_requested is None else ask.tokens_requested
    taken = may_take(detail, wanted, calls, found)
    changed = ask.tokens_requested is not None or ask.units_requested is not None
    if given is not None:
        cost = given
    elif held.derived and changed:
        cost = taken.cost
    return Call(
        held.touch,
        held.actual,
        held.model,
        (calls, taken.tokens, cost),
        found,
        derived=held.derived and given is None,
        unpriced=taken.unpriced,
        detail=detail,
    )


def full(decision: Decision, period: Period, open_now: int) -> Decision:
    """The decision on a hold if ``open_now`` holds are open already."""
    # A reason of version 1 comes before one of later.
    if open_now < HOLDS_MAX or decision.reason not in {WITHIN, UNPRICED}:
        return decision
    return Decision(decision.call, decision.headroom, period, *_TOO_MANY)


def placed_by(
    key: str,
    decision: Decision,
    period: Period,
    expires_at: int,
    content: str,
) -> HoldPlaced:
    """The event that places a hold, with the decision that its reply shows."""
    call = decision.call
    calls, tokens, cost = call.amounts
    return HoldPlaced(
        hold_id=key,
        provider=call.provider,
        actual=call.actual,
        model=call.model,
        calls=calls,
        tokens=tokens,
        cost_nano=cost,
        expires_at=expires_at,
        decision=_then(period, decision.headroom),
        content=content,
        derived=call.derived,
        detail=call.detail,
        price=price_then(found_by(call), call.model),
    )


def found_by(call: Call) -> Found:
    """How the price of a call was found."""
    return found_of(call.found, call.unpriced, derived=call.derived)


def _then(period: Period, headroom: Headroom) -> DecisionThen:
    limits = tuple(
        LimitThen(limit.name, limit.kind, limit.value, used, held)
        for limit, used, held in headroom.uses
    )
    return DecisionThen(period.key, period.status, period.end, limits)


def call_parts(ask: Enforce, catalog: Catalog, then: HoldPlaced | None = None) -> list[Any]:
    """What a call asks for, its names resolved: the source of a fingerprint.

    Of a request that comes again they are what they were for its hold, ``then``.
    """
    cost = money_of(ask.cost_requested, "cost_requested")
    calls = 1 if ask.calls is None else ask.calls
    amounts: list[Any] = [calls, ask.tokens_requested or 0, cost]
    counting = _counting(ask, catalog, then)
    if counting is not None or astuple(ask)[DETAIL] != UNSAID:
        detail = asked_by(ask)
        if counting is not None or detail is not None:
            detail = replace(detail or NO_HOLD_DETAIL, token_counting=counting)
        if detail is not None:  # absent where it is not said: once there was none
            tokens = ask.tokens_requested
            amounts = [calls, tokens_of(detail) if tokens is None else tokens, cost, detail]
    said = Said(ask.provider, ask.model_used, ask.actual_provider_name, ask.endpoint)
    names = _names(said, catalog) if then is None else _names_then(said, catalog, then)
    if names is None:  # the key is judged before the provider
        return [ask.provider, ask.model_used, ask.actual_provider_name, *amounts]
    return [names.provider, names.model, names.actual, ask.endpoint or "", *amounts]


def _counting(ask: Enforce, catalog: Catalog, then: HoldPlaced | None) -> TokenCounting | None:
    """How a call counts, None if inclusive; ``then`` as in `call_parts`."""
    if then is not None:
        stored = then.detail or NO_HOLD_DETAIL
        return counting_then(ask.token_counting, stored, then.provider, catalog.providers)
    known = catalog.providers.get(ask.provider)
    said = ask.token_counting or (INCLUSIVE if known is None else known.token_counting)
    return EXCLUSIVE if said == EXCLUSIVE else None


def _names(said: Said, catalog: Catalog) -> Names | None:
    try:
        route = catalog.route(*said)
    except RequestError:
        return None
    return Names(route.provider, route.actual, route.model)


def _names_then(said: Said, catalog: Catalog, then: HoldPlaced) -> Names | None:
    detail = then.detail or NO_HOLD_DETAIL
    stored, told = Names(then.provider, then.actual, then.model), Told(detail.alias, detail.filled)
    return names_then(said, stored, told, catalog.providers)


def _extend_parts(ask: Extend, _: Catalog) -> list[Any]:
    cost = money_of(ask.cost_requested, "cost_requested")
    parts: list[Any] = [ask.hold_id, ask.ttl, ask.tokens_requested, cost]
    if ask.units_requested is not None:  # absent where it is not said: once there was none
        parts.append(quantities_of(ask.units_requested, "units_requested"))
    return parts


def _released(event: HoldReleased, _: int) -> ReleaseReply:
    return ReleaseReply(hold_id=event.hold_id, event_id="", seq=0)


def _hold_parts(ask: Hold, catalog: Catalog, then: HoldPlaced | None = None) -> list[Any]:
    return [*call_parts(ask, catalog, then), ask.ttl or TTL_S]


def _same_hold(ask: Hold, event: HoldPlaced, catalog: Catalog) -> bool:
    return event.content == fingerprint(Hold.__name__, _hold_parts(ask, catalog, event))


HOLD: Final = Change(Hold, HoldPlaced, hold, lambda event, _: event, _hold_parts, _same_hold)
EXTEND: Final = Change(Extend, HoldExtended, extend, lambda event, _: event, _extend_parts)
RELEASE: Final = Change(Release, HoldReleased, release, _released, lambda ask, _: [ask.hold_id])
