"""The reply of a change, made from its stored event alone.

So it is the same when the change happens and whenever its key comes again.
"""

from __future__ import annotations

from typing import Any

from actors.billing.admission.decide import WITHIN, WITHIN_MESSAGE
from actors.billing.limits.limits import unit_of
from actors.billing.periods.subscription import state_of
from actors.billing.wire.decision import (
    changed,
    decision_text,
    hold_text,
    limit_head,
    limit_tail,
    limit_text,
    preflight_text,
)
from actors.billing.wire.track import track_reply
from messages.admission import ReleaseReply
from messages.codec import encode_reply, quoted
from messages.reports import AckReply
from messages.stored.events import (
    AlertsRead,
    CountersReset,
    Event,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    LimitThen,
    PreflightHeld,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.subscriptions import SubscriptionChangeReply
from messages.usage import ResetReply


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
    if isinstance(event, HoldPlaced | HoldExtended | PreflightHeld):
        text = _preflight(event) if isinstance(event, PreflightHeld) else _hold(event)
        return changed(text, key, seq, duplicate=duplicate)
    reply = _reply(event, at)
    reply.event_id, reply.seq, reply.duplicate = key, seq, duplicate
    return encode_reply(reply)


def _reply(event: Event, at: int) -> Any:
    match event:
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


def _hold(event: HoldPlaced | HoldExtended) -> str:
    return hold_text(_granted(event), event.hold_id, event.expires_at)


def _granted(event: HoldPlaced | HoldExtended) -> str:
    """The decision on a hold that was granted."""
    then = event.decision
    amounts = (event.calls, event.tokens, event.cost_nano)
    tail = limit_tail(then.resets_at)
    limits = ",".join([_limit(limit, amounts, tail) for limit in then.limits])
    names, about = (event.provider, event.actual), (then.status, then.billing_period)
    return decision_text(True, WITHIN_MESSAGE, WITHIN, names, (), limits, about, None)


def _limit(then: LimitThen, amounts: tuple[int, int, int], tail: str) -> str:
    unit = unit_of(then.name)
    head = limit_head(then.name, unit, then.kind, then.limit)
    return limit_text(head, unit, then.limit, then.used, then.held, amounts[unit], tail)


def _preflight(event: PreflightHeld) -> str:
    operations = [
        f'{{"operation_type":{"null" if name is None else quoted(name)},{_hold(hold)}}}'
        for name, hold in zip(event.types, event.operations, strict=True)
    ]
    return preflight_text(WITHIN, WITHIN_MESSAGE, None, operations)
