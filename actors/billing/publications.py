"""What a stored event publishes: alerts and notable events, made from its row.

A notice is made from the log row alone, so that it is the same, id included, whenever it is
published again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

from actors.billing.periods.subscription import state_of
from actors.billing.reports.alerts import alert_reply, raised_by_row
from actors.billing.reports.stats import summary
from actors.billing.state.snapshot import period_of
from messages.codec import encode_reply
from messages.publications import PeriodNotice
from messages.reports import Usage
from messages.stored.errors import MISFITS, UnreadableEvent
from messages.stored.events import (
    KIND,
    CountersReset,
    Event,
    PeriodClosed,
    PeriodRolled,
    PeriodTotals,
    StoredSubscription,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.subjects import alert_subject, event_subject
from messages.units import to_datetime, usd


class Notice(NamedTuple):
    """One message to publish; ``id`` goes along as ``Nats-Msg-Id``."""

    subject: str
    id: str
    payload: bytes


def notifies(event: Event) -> bool:
    """Whether an event has something to publish."""
    if type(event) is UsageRecorded:  # nearly always
        return bool(event.alerts) or event.adjusted is not None
    return isinstance(
        event, PeriodRolled | PeriodClosed | CountersReset | Subscribed | SubscriptionChanged
    )


def notices_of(prefix: str, user: str, event: Event, at: int, seq: int) -> list[Notice]:
    """The messages of a stored event, in the order in which they are published.

    Raises:
        UnreadableEvent: it says what no message can say.
    """
    try:
        return _notices_of(prefix, user, event, at, seq)
    except MISFITS as error:
        raise UnreadableEvent(KIND[type(event)], str(error), seq) from error


def _notices_of(prefix: str, user: str, event: Event, at: int, seq: int) -> list[Notice]:
    alerts = [
        Notice(
            alert_subject(prefix, user, raised.alert.limit_name, raised.alert.threshold_percentage),
            raised.alert.id,
            encode_reply(alert_reply(user, raised)),
        )
        for raised in reversed(raised_by_row(event, at, seq))
    ]
    told = [_notice(prefix, user, kind, at, seq, fields) for kind, fields in _told(event, at, seq)]
    return alerts + told


def _notice(prefix: str, user: str, kind: str, at: int, seq: int, fields: dict[str, Any]) -> Notice:
    source = f"{user}\0{seq}\0{kind}\0{at}"
    notice_id = blake2b(source.encode(), digest_size=12).hexdigest()
    body = PeriodNotice(
        id=notice_id, kind=kind, user_id=user, at=to_datetime(at), seq=seq, **fields
    )
    return Notice(event_subject(prefix, kind, user), notice_id, encode_reply(body))


def _told(event: Event, at: int, seq: int) -> list[tuple[str, dict[str, Any]]]:
    """The notable events beside alerts: kind and what it says."""
    match event:
        case UsageRecorded() if event.adjusted is not None:
            calls, tokens, cost = event.adjusted
            totals = Usage(calls, tokens, usd(cost))
            return [("period_adjusted", {"billing_period": event.billing_period, "totals": totals})]
        case CountersReset():
            return [("reset", {"billing_period": event.billing_period, "reason": event.reason})]
        case PeriodRolled() | PeriodClosed():
            return _over(event, at, seq)
        case Subscribed():
            return [_changed("subscribe", event.subscription, at, suspended=event.suspended)]
        case SubscriptionChanged():
            kind, fields = _changed(event.change, event.subscription, at, suspended=event.suspended)
            return [(kind, {**fields, "reason": event.reason})]
        case _:
            return []


def _over(
    event: PeriodRolled | PeriodClosed, at: int, seq: int
) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(event, PeriodClosed):
        return [_closed(event.totals, seq)]
    told: list[tuple[str, dict[str, Any]]] = []
    if event.closed is not None and not event.announced:
        told.append(_closed(event.closed, seq))
    told.append(
        (
            "period_opened",
            {
                "billing_period": event.key,
                "period_start": to_datetime(event.start),
                "period_end": to_datetime(event.end),
            },
        )
    )
    if event.subscription is not None:
        change = "renew" if event.renewed else "end"
        told.append(_changed(change, event.subscription, at, suspended=event.suspended))
    return told


def _closed(totals: PeriodTotals, seq: int) -> tuple[str, dict[str, Any]]:
    period = period_of(totals)
    return "period_closed", {
        "billing_period": period.key,
        "period_start": to_datetime(period.start),
        "period_end": to_datetime(period.end),
        "stats": summary(period, seq=seq),
    }


def _changed(
    change: str, subscription: StoredSubscription | None, at: int, *, suspended: bool
) -> tuple[str, dict[str, Any]]:
    state = state_of(subscription, at, suspended=suspended)
    return "subscription_changed", {"change": change, "subscription": state}
