"""What a stored event has to tell the world: alerts and notable events, made from its row.

A notice is made from the log row alone, so that it is the same, id included, whenever it is
published again.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from msgspec import Struct

from actors.billing.snapshot import period_of
from actors.billing.state import Raised
from actors.billing.stats import alert_reply, summary
from messages.codec import encode_reply
from messages.events import CountersReset, Event, PeriodRolled, UsageRecorded
from messages.replies import StatsReply, Usage
from messages.subjects import alert_subject, event_subject
from messages.units import to_datetime, usd


class Notice(NamedTuple):
    """One message to publish; ``id`` goes along as ``Nats-Msg-Id``."""

    subject: str
    id: str
    payload: bytes


class PeriodNotice(Struct, kw_only=True):
    """``period_opened``, ``reset``, ``period_closed`` (with that period's stats) and
    ``period_adjusted`` (with its totals, over all resets).
    """

    id: str
    kind: str
    user_id: str
    billing_period: str
    at: datetime
    seq: int
    period_start: datetime | None = None
    period_end: datetime | None = None
    stats: StatsReply | None = None
    totals: Usage | None = None
    reason: str | None = None


def notifies(event: Event) -> bool:
    """Whether an event has something to publish."""
    if isinstance(event, UsageRecorded):
        return bool(event.alerts) or event.adjusted is not None
    return isinstance(event, PeriodRolled | CountersReset)


def notices_of(prefix: str, user: str, event: Event, at: int, seq: int) -> list[Notice]:
    """The messages of a stored event, in the order in which they are published."""

    def about(kind: str, period: str, **more: Any) -> Notice:
        source = f"{user}\0{seq}\0{kind}\0{at}"
        notice_id = blake2b(source.encode(), digest_size=12).hexdigest()
        body = PeriodNotice(
            id=notice_id,
            kind=kind,
            user_id=user,
            billing_period=period,
            at=to_datetime(at),
            seq=seq,
            **more,
        )
        return Notice(event_subject(prefix, kind, user), notice_id, encode_reply(body))

    match event:
        case UsageRecorded():
            alerts = [
                Notice(
                    alert_subject(prefix, user, alert.limit_name, alert.threshold_percentage),
                    alert.id,
                    encode_reply(alert_reply(user, Raised(alert, at, seq))),
                )
                for alert in event.alerts
            ]
            if event.adjusted is None:
                return alerts
            calls, tokens, cost = event.adjusted
            totals = Usage(calls, tokens, usd(cost))
            return [*alerts, about("period_adjusted", event.billing_period, totals=totals)]
        case CountersReset():
            return [about("reset", event.billing_period, reason=event.reason)]
        case PeriodRolled():
            opened = about(
                "period_opened",
                event.key,
                period_start=to_datetime(event.start),
                period_end=to_datetime(event.end),
            )
            if event.closed is None:
                return [opened]
            closed = period_of(event.closed)
            return [
                about(
                    "period_closed",
                    closed.key,
                    period_start=to_datetime(closed.start),
                    period_end=to_datetime(closed.end),
                    stats=summary(closed, seq=seq),
                ),
                opened,
            ]
        case _:
            return []
