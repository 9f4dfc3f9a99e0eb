"""Decide ``hold``, ``extend``, ``release`` and ``preflight``: admission that cannot overshoot.

A hold checks every hard limit and sets amounts aside in one step; what is held counts in every
later decision and never in the usage. Its id is the idempotency key of its request.
"""

from __future__ import annotations

from typing import Final

from actors.billing.admission.decide import (
    WITHIN,
    WITHIN_MESSAGE,
    Call,
    Verdict,
    judge,
    resolve,
    text_of,
)
from actors.billing.admission.headroom import Standing, standing_of
from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.prices import estimate
from actors.billing.catalog.providers import WAVESPEED
from actors.billing.counters.slots import COST, TOKENS, add
from actors.billing.effects import Recorded, Refused
from actors.billing.fingerprint import TTL_S, content_of
from actors.billing.paging import BYTES_MAX, fitting
from actors.billing.periods.rollover import current_of, current_or_opened
from actors.billing.state.account import Account, Period
from actors.billing.state.open_holds import HOLDS_MAX, OpenHold
from actors.billing.wire.decision import changed, hold_text, preflight_text
from messages.admission import (
    Extend,
    Held,
    Hold,
    HoldEntry,
    HoldsReply,
    Operation,
    Preflight,
    Release,
)
from messages.codec import money_of, quoted
from messages.errors import InvalidRequest, RequestError
from messages.stored.events import (
    Decision,
    Event,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    LimitThen,
    PreflightHeld,
)
from messages.units import MICROS_PER_SECOND, to_datetime, usd

_TOO_MANY: Final = ("too_many_holds", f"The account has {HOLDS_MAX:,} open holds already.")


def hold(account: Account, ask: Hold, at: int, catalog: Catalog, key: str) -> Recorded | Refused:
    """Check a call and set aside what it needs.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    call = resolve(ask, at, catalog)
    period, opened = current_or_opened(account, at, catalog)
    standing = standing_of(account, period, call.touch, at)
    verdict = _full(judge(account, period, call, at, standing), account.held_count(at))
    if not verdict.allowed:
        return _refused(account, text_of(call, verdict, period), None, key)
    expires_at = at + (ask.ttl or TTL_S) * MICROS_PER_SECOND
    placed = _placed(key, call, period, verdict, expires_at, content_of(ask, catalog))
    # As `answers` would write it from the event.
    text = hold_text(text_of(call, verdict, period), key, expires_at)
    return Recorded((*opened, placed), text=text)


def extend(
    account: Account, ask: Extend, at: int, catalog: Catalog, key: str
) -> Recorded | Refused:
    """Have an open hold last longer or hold other amounts; an increase is judged.

    What is left out stays, but for a cost that was derived: it follows the tokens.

    Raises:
        RequestError: ``unknown_hold`` or ``invalid_request``.
    """
    held = _open_hold(account, ask.hold_id, at)
    call = _extended(held, ask, at, catalog)
    period = current_of(account, at, catalog)
    others = list(account.held(at))
    calls, tokens, cost = held.amounts
    add(others, held.provider, held.actual, (-calls, -tokens, -cost))
    grown = any(call.amounts[unit] > held.amounts[unit] for unit in (TOKENS, COST))
    standing = Standing(period.table.touched(call.touch), period.used, others, period.end)
    verdict = judge(account, period, call, at, standing)
    if grown and not verdict.allowed:
        return _refused(account, text_of(call, verdict, period), held, key)
    event = HoldExtended(
        hold_id=held.id,
        tokens=call.amounts[TOKENS],
        cost_nano=call.amounts[COST],
        expires_at=held.expires_at if ask.ttl is None else at + ask.ttl * MICROS_PER_SECOND,
        calls=calls,
        provider=held.provider,
        actual=held.actual,
        decision=_decision(period, verdict),
        content=content_of(ask, catalog),
        derived=call.derived,
    )
    return Recorded((event,))


def release(account: Account, ask: Release, at: int, catalog: Catalog) -> Recorded:
    """End an open hold; its call will not be made.

    Raises:
        RequestError: ``unknown_hold``.
    """
    held = _open_hold(account, ask.hold_id, at)
    return Recorded((HoldReleased(hold_id=held.id, content=content_of(ask, catalog)),))


def preflight(
    account: Account, ask: Preflight, at: int, catalog: Catalog, key: str | None
) -> Recorded | Refused:
    """Judge operations one after the other, each on top of those before it: all or none.

    With a ``hold`` each gets its own; its key, and so its id, is ``<key>.<i>``.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    period, opened = current_or_opened(account, at, catalog)
    used = list(period.used)
    holding = ask.hold is not None
    open_now = account.held_count(at) if holding else 0
    placed: list[HoldPlaced] = []
    replies: list[str] = []
    ttl = ask.hold.ttl or TTL_S if ask.hold is not None else 0
    content = content_of(ask, catalog)
    for index, operation in enumerate(ask.operations):
        if operation.deadline is not None:
            raise InvalidRequest("a preflight has one deadline, at its top", "operations")
        call = resolve(operation, at, catalog)
        limits = period.table.touched(call.touch)
        standing = Standing(limits, used, account.held(at), period.end)
        verdict = judge(account, period, call, at, standing)
        if holding:
            verdict = _full(verdict, open_now + index)
            expires_at = at + ttl * MICROS_PER_SECOND
            placed.append(_placed(f"{key}.{index}", call, period, verdict, expires_at, content))
        replies.append(_operation(operation, text_of(call, verdict, period)))
        if not verdict.allowed:
            text = preflight_text(verdict.reason, verdict.message, index, replies)
            return Refused(changed(text, key, account.seq))
        add(used, call.provider, call.actual, call.amounts)
    if not holding:
        text = preflight_text(WITHIN, WITHIN_MESSAGE, None, replies)
        return Refused(changed(text, None, account.seq))
    events: tuple[Event, ...] = (
        *opened,
        *placed,
        PreflightHeld(
            operations=tuple(placed),
            types=tuple(operation.operation_type for operation in ask.operations),
            content=content,
        ),
    )
    return Recorded(events, keys=(*(None for _ in opened), *(hold.hold_id for hold in placed)))


def holds(account: Account, at: int, bytes_max: int = BYTES_MAX) -> HoldsReply:
    """The open holds, oldest first, as many as fit."""
    shown = (
        HoldEntry(
            hold_id=hold.id,
            provider=hold.provider,
            actual_provider_name=hold.actual,
            model_used=hold.model,
            calls=hold.amounts[0],
            tokens=hold.amounts[1],
            cost=usd(hold.amounts[2]),
            created_at=to_datetime(hold.created_at),
            expires_at=to_datetime(hold.expires_at),
        )
        for hold in account.open_holds(at)
    )
    entries = fitting(shown, bytes_max)
    return HoldsReply(holds=entries, held=held_in_all(account, at), seq=account.seq)


def held_in_all(account: Account, at: int) -> Held:
    """What all open holds set aside together."""
    amounts = [hold.amounts for hold in account.open_holds(at)]
    calls, tokens, cost = (
        (sum(parts) for parts in zip(*amounts, strict=True)) if amounts else (0,) * 3
    )
    return Held(calls, tokens, usd(cost), len(amounts))


def _open_hold(account: Account, hold_id: str, at: int) -> OpenHold:
    held = account.hold(hold_id, at)
    if held is None:
        raise RequestError(
            "unknown_hold", f"there is no open hold {hold_id[:64]!r}", field="hold_id"
        )
    return held


def _extended(held: OpenHold, ask: Extend, at: int, catalog: Catalog) -> Call:
    """The hold's call with its new totals."""
    calls, tokens, cost = held.amounts
    given = money_of(ask.cost_requested, "cost_requested")
    if ask.tokens_requested is not None:
        tokens = ask.tokens_requested
        if given is None and held.derived:
            cost = estimate(catalog.price(held.provider, held.model, at).price, tokens, calls)
    if given is not None:
        cost = given
    derived = held.derived and given is None
    touch = (held.provider, held.actual == WAVESPEED)
    return Call(touch, held.actual, held.model, (calls, tokens, cost), derived=derived)


def _full(verdict: Verdict, open_now: int) -> Verdict:
    """The verdict on a hold, where so many are open already."""
    if not verdict.allowed or open_now < HOLDS_MAX:
        return verdict
    reason, message = _TOO_MANY
    return Verdict(reason, message, (), verdict.standing, None)


def _placed(
    key: str, call: Call, period: Period, verdict: Verdict, expires_at: int, content: str
) -> HoldPlaced:
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
        decision=_decision(period, verdict),
        content=content,
        derived=call.derived,
    )


def _decision(period: Period, verdict: Verdict) -> Decision:
    limits = tuple(
        LimitThen(limit.name, limit.kind, limit.value, used, held)
        for limit, used, held in verdict.standing.rows
    )
    return Decision(period.key, period.status, period.end, limits)


def _refused(account: Account, text: str, held: OpenHold | None, key: str) -> Refused:
    """The reply of a hold that is refused, or stays as it is."""
    if held is not None:
        return Refused(changed(hold_text(text, held.id, held.expires_at), key, account.seq))
    return Refused(changed(f'{text},"hold_id":null,"expires_at":null', key, account.seq))


def _operation(operation: Operation, text: str) -> str:
    name = "null" if operation.operation_type is None else quoted(operation.operation_type)
    return f'{{"operation_type":{name},{text},"hold_id":null,"expires_at":null}}'
