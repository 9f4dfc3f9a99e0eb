"""The reply of a change, made from its stored event alone.

So it is the same when the change happens and whenever its key comes again.
"""

from __future__ import annotations

from typing import Any

from actors.billing.enforce import WITHIN, WITHIN_MESSAGE, limit_state
from actors.billing.limits import unit_of
from actors.billing.subscriptions import state_of
from actors.billing.track import track_reply
from messages.admission import HoldReply, LimitState, OperationReply, PreflightReply, ReleaseReply
from messages.codec import encode_reply
from messages.events import (
    AlertsRead,
    CountersReset,
    Event,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    PreflightHeld,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.replies import AckReply, ResetReply, SubscriptionChangeReply
from messages.units import to_datetime


def answer(event: Event, key: str, seq: int, at: int, *, duplicate: bool = False) -> bytes:
    """The encoded reply of the change that an event records.

    Args:
        event: the last event of the change.
        key: its idempotency key.
        seq: its position.
        at: when it took effect.
        duplicate: whether the key came again.
    """
    if type(event) is UsageRecorded:
        return track_reply(event, key, seq, duplicate=duplicate)
    reply = _reply(event, at)
    reply.event_id, reply.seq, reply.duplicate = key, seq, duplicate
    return encode_reply(reply)


def _reply(event: Event, at: int) -> Any:
    match event:
        case HoldPlaced() | HoldExtended():
            return _hold(event)
        case PreflightHeld():
            return _preflight(event)
        case HoldReleased():
            return ReleaseReply(hold_id=event.hold_id, event_id="", seq=0)
        case CountersReset():
            return ResetReply(
                reset=True,
                counters_reset=True,
                reason=None,
                billing_period=event.billing_period,
                event_id="",
                seq=0,
            )
        case AlertsRead():
            return AckReply(acked=len(event.ids), unread_count=event.unread, event_id="", seq=0)
        case Subscribed() | SubscriptionChanged():
            return SubscriptionChangeReply(
                subscription=state_of(event.subscription, at, suspended=event.suspended),
                renewal_type=event.renewal_type if isinstance(event, Subscribed) else None,
                alerts=tuple(alert.id for alert in event.alerts),
                event_id="",
                seq=0,
            )
        case _:
            raise TypeError(f"{type(event).__name__} is no change of a caller")


def _hold(event: HoldPlaced | HoldExtended) -> HoldReply:
    return HoldReply(
        allowed=True,
        message=WITHIN_MESSAGE,
        reason_code=WITHIN,
        provider=event.provider,
        actual_provider_name=event.actual,
        violated=(),
        limits=_limits(event),
        usage_status=event.decision.status,
        billing_period=event.decision.billing_period,
        retry_after=None,
        hold_id=event.hold_id,
        expires_at=to_datetime(event.expires_at),
        event_id="",
        seq=0,
    )


def _preflight(event: PreflightHeld) -> PreflightReply:
    operations = tuple(
        OperationReply(
            operation_type=name,
            allowed=True,
            message=WITHIN_MESSAGE,
            reason_code=WITHIN,
            provider=hold.provider,
            actual_provider_name=hold.actual,
            violated=(),
            limits=_limits(hold),
            usage_status=hold.decision.status,
            billing_period=hold.decision.billing_period,
            retry_after=None,
            hold_id=hold.hold_id,
            expires_at=to_datetime(hold.expires_at),
        )
        for name, hold in zip(event.types, event.operations, strict=True)
    )
    return PreflightReply(
        allowed=True,
        message=WITHIN_MESSAGE,
        reason_code=WITHIN,
        failed_index=None,
        operations=operations,
        event_id="",
        seq=0,
    )


def _limits(event: HoldPlaced | HoldExtended) -> tuple[LimitState, ...]:
    amounts = (event.calls, event.tokens, event.cost_nano)
    return tuple(
        limit_state(
            then.name,
            unit_of(then.name),
            then.kind,
            (then.limit, then.used, then.held, amounts[unit_of(then.name)]),
            event.decision.resets_at,
            disabled=then.limit == 0,  # by a plan that came after the hold
        )
        for then in event.decision.limits
    )
