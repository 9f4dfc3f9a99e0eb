"""Replies as bytes, the fast way: written out, without structs and decimals in between.

To make structs and decimals of every limit first takes three times as long, and every call
that is to be made waits for it. `reference` is the same in plain; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from msgspec import Struct

from actors.billing.admission.asked import Found, found_of, found_then
from actors.billing.admission.decide import WITHIN, WITHIN_MESSAGE, Call, Decision
from actors.billing.admission.holds import HoldDecision
from actors.billing.admission.preflight import PreflightDecision
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import COST
from actors.billing.effects import Shown
from actors.billing.limits.limits import Limit, share_of, unit_of
from actors.billing.limits.windows import BILLING_PERIOD, Window
from actors.billing.state.headroom import Headroom, Rendered
from actors.billing.usage.detail import derived_of, variant_priced_of
from actors.billing.usage.detail import found_of as found_for
from messages.codec import encode_reply, quoted
from messages.stored.detail import NO_DETAIL
from messages.stored.events import (
    Counters,
    Event,
    HoldExtended,
    HoldPlaced,
    LimitThen,
    PreflightHeld,
    UsageRecorded,
)
from messages.units import MICROS_PER_SECOND, NANO_PER_USD, to_datetime, usd_text

Answer: TypeAlias = Shown | Event | Struct
"""What a change is answered with: what was decided, the event that says it, or a whole reply."""

_FOUND: Final = '"variant_priced":null,"tier":null,"unpriced":[]'
_PLAIN: Final = f'"hold_status":null,"late_settle":false,"alerts":[],"clipped":[],{_FOUND}'


def enforced(decision: Decision, seq: int) -> bytes:
    """The reply to ``enforce``: an `EnforceReply`."""
    return f'{{{_decision(decision)},"seq":{seq}}}'.encode()


def reply(shown: Answer, key: str | None, seq: int, *, duplicate: bool = False) -> bytes:
    """The reply to a change.

    Args:
        shown: what it says; a struct has fields for what follows, and gets it.
        key: the idempotency key, None if the reply shows none.
        seq: the position that it reflects.
        duplicate: whether the key came again.
    """
    if type(shown) is UsageRecorded:
        return tracked(shown, key or "", seq, duplicate=duplicate)
    if isinstance(shown, HoldDecision):
        text = _hold(_decision(shown.decision), shown.hold_id, shown.expires_at)
    elif isinstance(shown, HoldPlaced | HoldExtended):
        text = _hold_then(shown)
    elif isinstance(shown, PreflightDecision):
        text = _preflight(shown)
    elif isinstance(shown, PreflightHeld):
        text = _preflight_then(shown)
    else:
        whole: Any = shown
        whole.event_id, whole.seq, whole.duplicate = key, seq, duplicate
        return encode_reply(whole)
    name = "null" if key is None else quoted(key)
    again = "true" if duplicate else "false"
    return f'{{{text},"event_id":{name},"duplicate":{again},"seq":{seq}}}'.encode()


def tracked(event: UsageRecorded, key: str, seq: int, *, duplicate: bool = False) -> bytes:
    """The reply to ``track``, of its event: a `TrackReply`."""
    cost, catalog = event.cost_nano, event.cost_catalog_nano
    if catalog is None and cost < NANO_PER_USD:  # nearly always; its parts are not larger
        # `usd_text`, written out: to format with padding takes three times as long.
        costs = (
            f'"cost":0.{str(cost + NANO_PER_USD)[1:]},'
            f'"cost_input":0.{str(event.cost_input_nano + NANO_PER_USD)[1:]},'
            f'"cost_output":0.{str(event.cost_output_nano + NANO_PER_USD)[1:]},'
            '"cost_catalog":null'
        )
    else:
        costs = (
            f'"cost":{usd_text(cost)},"cost_input":{usd_text(event.cost_input_nano)},'
            f'"cost_output":{usd_text(event.cost_output_nano)},'
            f'"cost_catalog":{"null" if catalog is None else usd_text(catalog)}'
        )
    model, how = (event.model, None) if event.detail is None else found_for(event)
    about = _about(
        event.billing_period,
        event.status,
        event.priced,
        event.provider,
        event.actual,
        event.late,
        model,
        how,
        event.price_version == 0,
    )
    plain = event.hold_id is None and event.hold_status is None and event.detail is None
    plain = plain and not event.alerts and not event.clipped
    rest = _PLAIN if plain else _rest(event)
    return (
        f'{{"usage_logged":true,"event_id":{quoted(key)},'
        f'"duplicate":{"true" if duplicate else "false"},{costs},'
        f'"tokens_used":{event.tokens_input + event.tokens_output},{about},{rest},"seq":{seq}}}'
    ).encode()


@lru_cache(maxsize=4096)
def _about(
    period: str,
    status: str,
    priced: str,
    provider: str,
    actual: str,
    late: bool,
    model: str | None,
    how: str | None,
    estimated: bool,
) -> str:
    """The part of a reply that is the same for very many calls.

    ``model`` is that of the price, found by ``how``; without that it is the model of a call that
    has no detail.
    """
    if how is None and model is not None:
        model, how = derived_of(priced, model, estimated=estimated)
    return (
        f'"billing_period":"{period}","usage_status":"{status}","priced":"{priced}",'
        f'"provider":"{provider}","actual_provider_name":{quoted(actual)},'
        f'"late":{"true" if late else "false"},'
        f'"price_model":{"null" if model is None else quoted(model)},'
        f'"matched_by":{"null" if how is None else quoted(how)}'
    )


def _rest(event: UsageRecorded) -> str:
    status = "null" if event.hold_status is None else quoted(event.hold_status)
    late_settle = event.late_settle or event.hold_status not in {None, "settled"}
    alerts = ",".join([quoted(alert.id) for alert in event.alerts])
    return (
        f'"hold_status":{status},"late_settle":{"true" if late_settle else "false"},'
        f'"alerts":[{alerts}],"clipped":[{",".join([quoted(name) for name in event.clipped])}],'
        f"{_FOUND if event.detail is None else _found(event)}"
    )


def _found(event: UsageRecorded) -> str:
    """What few prices have, of a call with a detail."""
    detail = event.detail or NO_DETAIL
    priced = variant_priced_of(event)
    return (
        f'"variant_priced":{"null" if priced is None else "true" if priced else "false"},'
        f'"tier":{"null" if detail.tier is None else detail.tier},'
        f'"unpriced":[{",".join([quoted(name) for name in detail.unpriced])}]'
    )


def batch(
    results: Iterable[bytes],
    counts: tuple[int, int, int],
    key: str,
    seq: int,
    *,
    duplicate: bool = False,
) -> bytes:
    """The reply to a ``batch``: a `BatchReply`.

    Args:
        results: the reply to each event, or its error, encoded.
        counts: how many were accepted, how many were duplicates, how many were rejected.
        key: the batch's idempotency key.
        seq: the position that the reply reflects.
        duplicate: whether all that was accepted came before.
    """
    accepted, duplicates, rejected = counts
    rest = (
        f'],"accepted":{accepted},"duplicates":{duplicates},"rejected":{rejected},'
        f'"event_id":{quoted(key)},"duplicate":{"true" if duplicate else "false"},"seq":{seq}}}'
    )
    return b'{"results":[' + b",".join(results) + rest.encode()


def _decision(decision: Decision) -> str:
    call = decision.call
    return decision_text(
        decision.reason == WITHIN,
        decision.message,
        decision.reason,
        (call.touch[0], call.actual),
        decision.violated,
        _limits(decision.headroom, call.amounts),
        (decision.status, decision.period),
        decision.retry_after,
        _price(call),
    )


def _price(call: Call) -> str:
    """How the price of a call was found; most are asked for again and again."""
    if call.derived and not call.unpriced:
        found = call.found
        if not found.rendered:
            found.rendered = price_text(found_of(found, (), derived=True))
        return found.rendered
    return price_text(found_of(call.found, call.unpriced, derived=call.derived))


def price_text(found: Found) -> str:
    """The fields of a reply that say how a price was found."""
    return (
        f'"priced":{"null" if found.priced is None else quoted(found.priced)},'
        f'"price_model":{"null" if found.model is None else quoted(found.model)},'
        f'"matched_by":{"null" if found.matched_by is None else quoted(found.matched_by)},'
        f'"unpriced":[{",".join([quoted(name) for name in found.unpriced])}]'
    )


def _limits(headroom: Headroom, amounts: Counters) -> str:
    """The limits as the list of a reply to a call, without brackets."""
    found = headroom.rendered or _render(headroom)
    requested = (str(amounts[0]), str(amounts[1]), usd_text(amounts[2]))
    pieces = found[0].copy()
    at = 1
    for unit in found[1]:
        pieces[at] = requested[unit]
        at += 2
    return "".join(pieces)


def _render(headroom: Headroom) -> Rendered:
    """All that is the same for every call, with an empty place for each amount between."""
    pieces: list[str] = []
    units: list[int] = []
    between = ""
    window: Window | None = None
    tail = ""
    for limit, used, held in headroom.uses:
        if limit.window is not window:  # mostly all limits have one
            window = limit.window
            tail = limit_tail(headroom.resets_at(window))
        head = limit.rendered or _rendered(limit)
        before, after = around_requested(head, limit.unit, limit.value, used, held, tail)
        pieces += [between + before, ""]
        units.append(limit.unit)
        between = after + ","
    pieces.append(between[:-1])
    rendered = headroom.rendered = (pieces, units)
    return rendered


def _rendered(limit: Limit) -> str:
    limit.rendered = limit_head(limit.name, limit.unit, limit.window.name, limit.kind, limit.value)
    return limit.rendered


def _preflight(decided: PreflightDecision) -> str:
    operations = [
        _operation(name, f'{_decision(decision)},"hold_id":null,"expires_at":null')
        for name, decision in decided.operations
    ]
    return preflight_text(decided.reason, decided.message, decided.failed, operations)


def _preflight_then(event: PreflightHeld) -> str:
    operations = [
        _operation(name, _hold_then(hold))
        for name, hold in zip(event.types, event.operations, strict=True)
    ]
    return preflight_text(WITHIN, WITHIN_MESSAGE, None, operations)


def _operation(name: str | None, text: str) -> str:
    return f'{{"operation_type":{"null" if name is None else quoted(name)},{text}}}'


def _hold(decision: str, hold_id: str | None, expires_at: int | None) -> str:
    if hold_id is None or expires_at is None:
        return f'{decision},"hold_id":null,"expires_at":null'
    return f'{decision},"hold_id":{quoted(hold_id)},"expires_at":"{moment_text(expires_at)}"'


def _hold_then(event: HoldPlaced | HoldExtended) -> str:
    """A hold that was granted, as its event has it."""
    then = event.decision
    amounts = (event.calls, event.tokens, event.cost_nano)
    tail = limit_tail(then.resets_at)
    limits = ",".join([_limit_then(limit, amounts, tail) for limit in then.limits])
    names, about = (event.provider, event.actual), (then.status, then.billing_period)
    price = price_text(found_then(event))
    text = decision_text(True, WITHIN_MESSAGE, WITHIN, names, (), limits, about, None, price)
    return _hold(text, event.hold_id, event.expires_at)


def _limit_then(then: LimitThen, amounts: Counters, tail: str) -> str:
    unit = unit_of(then.name)
    head = limit_head(then.name, unit, BILLING_PERIOD.name, then.kind, then.limit)
    before, after = around_requested(head, unit, then.limit, then.used, then.held, tail)
    requested = amounts[unit]
    return f"{before}{usd_text(requested) if unit == COST else requested}{after}"


def decision_text(
    allowed: bool,
    message: str,
    reason: str,
    names: tuple[str, str],
    violated: Iterable[str],
    limits: str,
    about: tuple[str, str],
    retry_after: int | None,
    price: str,
) -> str:
    """The fields of an ``enforce`` reply but ``seq``, without braces.

    ``names`` are the provider and the actual one, ``limits`` the limits without brackets,
    ``about`` the usage status and the period, ``price`` how the price was found.
    """
    return (
        f'"allowed":{"true" if allowed else "false"},"message":{quoted(message)},'
        f'"reason_code":"{reason}","provider":"{names[0]}",'
        f'"actual_provider_name":{quoted(names[1])},'
        f'"violated":[{",".join([quoted(name) for name in violated])}],'
        f'"limits":[{limits}],'
        f'"usage_status":"{about[0]}","billing_period":"{about[1]}",'
        f'"retry_after":{"null" if retry_after is None else retry_after},{price}'
    )


def around_requested(
    head: str, unit: int, value: int, used: int, held: int, tail: str
) -> tuple[str, str]:
    """What stands in a limit before and behind the amount that the call asks for."""
    left = value - used - held
    share = "null"
    if value:  # a limit of nothing is disabled: an unlimited one is not in force
        in_all = share_of(used, value)
        # A digit in front is quicker than a format.
        share = f"{in_all // 10_000}.{str(10_000 + in_all % 10_000)[1:]}"
    if unit == COST:
        remaining = usd_text(left) if left >= 0 else "-" + usd_text(-left)
        return (
            f'{head}{usd_text(used)},"held":{usd_text(held)},"requested":',
            f',"remaining":{remaining},"percentage":{share}{tail}',
        )
    return (
        f'{head}{used},"held":{held},"requested":',
        f',"remaining":{left},"percentage":{share}{tail}',
    )


@lru_cache(maxsize=4096)
def limit_head(name: str, unit: int, window: str, kind: str, value: int) -> str:
    """What a limit of a plan shows to very many calls."""
    limit = usd_text(value) if unit == COST else value
    return (
        f'{{"name":{quoted(name)},"unit":"{UNITS[unit]}","window":"{window}","kind":"{kind}",'
        f'"limit":{limit},"used":'
    )


def preflight_text(reason: str, message: str, failed: int | None, operations: Iterable[str]) -> str:
    """The fields of a ``preflight`` reply but those of every change, without braces."""
    return (
        f'"allowed":{"false" if failed is not None else "true"},"message":{quoted(message)},'
        f'"reason_code":"{reason}","failed_index":{"null" if failed is None else failed},'
        f'"operations":[{",".join(operations)}]'
    )


@lru_cache(maxsize=4096)
def limit_tail(resets_at: int) -> str:
    """How the part of a limit in a reply ends."""
    return f',"resets_at":"{moment_text(resets_at)}"}}'


def moment_text(micros: int) -> str:
    """An instant in UTC, as replies show it: without a fraction if that is 0."""
    second, fraction = divmod(micros, MICROS_PER_SECOND)
    if not fraction:
        return f"{_second_text(second)}Z"
    return f"{_second_text(second)}.{str(MICROS_PER_SECOND + fraction)[1:]}Z"


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    """To write one takes longer than the rest of a hold's reply, and many are of one second."""
    return to_datetime(second * MICROS_PER_SECOND).isoformat()[:-6]  # without +00:00
