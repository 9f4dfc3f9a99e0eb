"""Replies as structs, the plain way: what `fast` writes out, field by field.

Nothing serves from here. It says what each field of a reply means, and a test holds `fast`
against it for every reply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from actors.billing.admission.asked import Found, found_then
from actors.billing.admission.decide import WITHIN, WITHIN_MESSAGE, Decision
from actors.billing.admission.holds import HoldDecision, found_by
from actors.billing.admission.preflight import PreflightDecision
from actors.billing.counters.layouts import UNITS
from actors.billing.limits.limits import percentage, shown, unit_of
from actors.billing.limits.windows import BILLING_PERIOD
from actors.billing.usage.detail import found_of, variant_priced_of
from actors.billing.wire.fast import Answer
from messages.admission import EnforceReply, HoldReply, LimitState, OperationReply, PreflightReply
from messages.stored.detail import NO_DETAIL
from messages.stored.events import (
    Counters,
    HoldExtended,
    HoldPlaced,
    LimitThen,
    PreflightHeld,
    UsageRecorded,
)
from messages.units import to_datetime, usd
from messages.usage import TrackReply


def enforced(decision: Decision, seq: int) -> EnforceReply:
    """The reply to ``enforce``."""
    return EnforceReply(**_decision(decision), seq=seq)


def reply(answer: Answer, key: str | None, seq: int, *, duplicate: bool = False) -> Struct:
    """The reply to a change; arguments as `fast.reply`."""
    about: dict[str, Any] = {"event_id": key, "seq": seq, "duplicate": duplicate}
    match answer:
        case UsageRecorded():
            return _tracked(answer, about)
        case HoldDecision():
            hold = _hold(answer.hold_id, answer.expires_at)
            return HoldReply(**_decision(answer.decision), **hold, **about)
        case HoldPlaced() | HoldExtended():
            return HoldReply(**_granted(answer), **about)
        case PreflightDecision():
            operations = [
                {"operation_type": name, **_decision(decision), **_hold(None, None)}
                for name, decision in answer.operations
            ]
            return _preflight(answer.reason, answer.message, answer.failed, operations, about)
        case PreflightHeld():
            held = [
                {"operation_type": name, **_granted(hold)}
                for name, hold in zip(answer.types, answer.operations, strict=True)
            ]
            return _preflight(WITHIN, WITHIN_MESSAGE, None, held, about)
        case _:
            whole: Any = answer
            whole.event_id, whole.seq, whole.duplicate = key, seq, duplicate
            return whole  # type: ignore[no-any-return]


def _decision(decision: Decision) -> dict[str, Any]:
    call = decision.call
    return {
        "allowed": decision.allowed,
        "message": decision.message,
        "reason_code": decision.reason,
        "provider": call.provider,
        "actual_provider_name": call.actual,
        "violated": decision.violated,
        "limits": tuple(
            _limit(
                (limit.name, limit.window.name, limit.kind),
                (limit.value, used, held, call.amounts[limit.unit]),
                decision.headroom.resets_at(limit.window),
            )
            for limit, used, held in decision.headroom.uses
        ),
        "usage_status": decision.status,
        "billing_period": decision.period,
        "retry_after": decision.retry_after,
        **_price(found_by(call)),
    }


def _granted(event: HoldPlaced | HoldExtended) -> dict[str, Any]:
    then = event.decision
    amounts = (event.calls, event.tokens, event.cost_nano)
    return {
        "allowed": True,
        "message": WITHIN_MESSAGE,
        "reason_code": WITHIN,
        "provider": event.provider,
        "actual_provider_name": event.actual,
        "violated": (),
        "limits": tuple(_limit_then(limit, amounts, then.resets_at) for limit in then.limits),
        "usage_status": then.status,
        "billing_period": then.billing_period,
        "retry_after": None,
        **_price(found_then(event)),
        **_hold(event.hold_id, event.expires_at),
    }


def _price(found: Found) -> dict[str, Any]:
    return {
        "priced": found.priced,
        "price_model": found.model,
        "matched_by": found.matched_by,
        "unpriced": found.unpriced,
    }


def _limit_then(then: LimitThen, amounts: Counters, resets_at: int) -> LimitState:
    requested = amounts[unit_of(then.name)]
    names = (then.name, BILLING_PERIOD.name, then.kind)
    return _limit(names, (then.limit, then.used, then.held, requested), resets_at)


def _limit(
    names: tuple[str, str, str], amounts: tuple[int, int, int, int], resets_at: int
) -> LimitState:
    """A limit of its name, window and kind, and of limit, used, held and requested."""
    name, window, kind = names
    value, used, held, requested = amounts
    unit = unit_of(name)
    return LimitState(
        name=name,
        unit=UNITS[unit],
        window=window,
        kind=kind,
        limit=shown(value, unit),
        used=shown(used, unit),
        held=shown(held, unit),
        requested=shown(requested, unit),
        remaining=shown(value - used - held, unit),
        percentage=percentage(used, value) if value else None,
        resets_at=to_datetime(resets_at),
    )


def _hold(hold_id: str | None, expires_at: int | None) -> dict[str, Any]:
    return {
        "hold_id": hold_id,
        "expires_at": None if expires_at is None else to_datetime(expires_at),
    }


def _preflight(
    reason: str,
    message: str,
    failed: int | None,
    operations: Iterable[dict[str, Any]],
    about: dict[str, Any],
) -> PreflightReply:
    return PreflightReply(
        allowed=failed is None,
        message=message,
        reason_code=reason,
        failed_index=failed,
        operations=tuple(OperationReply(**operation) for operation in operations),
        **about,
    )


def _tracked(event: UsageRecorded, about: dict[str, Any]) -> TrackReply:
    catalog = event.cost_catalog_nano
    price_model, matched_by = found_of(event)
    detail = event.detail or NO_DETAIL
    return TrackReply(
        usage_logged=True,
        cost=usd(event.cost_nano),
        cost_input=usd(event.cost_input_nano),
        cost_output=usd(event.cost_output_nano),
        cost_catalog=None if catalog is None else usd(catalog),
        tokens_used=event.tokens_input + event.tokens_output,
        billing_period=event.billing_period,
        usage_status=event.status,
        priced=event.priced,
        provider=event.provider,
        actual_provider_name=event.actual,
        late=event.late,
        price_model=price_model,
        matched_by=matched_by,
        hold_status=event.hold_status,
        late_settle=event.late_settle or event.hold_status not in {None, "settled"},
        alerts=tuple(alert.id for alert in event.alerts),
        clipped=event.clipped,
        variant_priced=variant_priced_of(event),
        tier=detail.tier,
        unpriced=detail.unpriced,
        **about,
    )
