"""Alerts from raise to read: ``alerts`` and ``ack``, and what ``subscription`` remembers.

Unread alerts are in the live state; those that were read, and who was on which plan before,
are rows of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.change import Change, Now
from actors.billing.effects import Persist
from actors.billing.paging import fitting
from actors.billing.state.account import Account, Raised
from messages.errors import InvalidRequest, RequestError
from messages.reports import Ack, AckReply, AlertReply, Alerts, AlertsReply
from messages.stored.errors import MISFITS, UnreadableEvent
from messages.stored.events import (
    Alert,
    AlertsRead,
    Event,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.units import to_datetime, usd

SHOWN: int = 50
"""Alerts of a reply by default."""


def ack(account: Account, ask: Ack, now: Now) -> Persist:
    """Mark alerts read.

    Args:
        account: whose alerts.
        ask: which.
        now: found are, of the ids that are not unread, those that the log knows.

    Raises:
        RequestError: ``unknown_alert``, or ``invalid_request`` if neither or both are given.
    """
    if (ask.ids is None) == (not ask.all):
        raise InvalidRequest("give either ids or all: true", "ids")
    if ask.ids is None:
        ids = tuple(account.unread)
    else:
        known = set(now.found)
        for alert_id in ask.ids:
            if alert_id not in account.unread and alert_id not in known:
                raise RequestError(
                    "unknown_alert", f"there is no alert {alert_id[:64]!r}", field="ids"
                )
        ids = tuple(dict.fromkeys(name for name in ask.ids if name in account.unread))
    left = len(account.unread) - len(ids)
    return Persist((AlertsRead(ids=ids, unread=left, content=now.fingerprint(ask)),))


def not_unread(account: Account, ask: Ack) -> list[str]:
    """The ids of a request that only the log can know."""
    return [alert_id for alert_id in ask.ids or () if alert_id not in account.unread]


def raised_by_row(event: Event, at: int, seq: int) -> list[Raised]:
    """The alerts of a row, newest first."""
    if not isinstance(event, UsageRecorded | Subscribed | SubscriptionChanged):
        return []
    return [Raised(alert, at, seq) for alert in reversed(event.alerts)]


def unread_alerts(account: Account, period: str | None) -> list[Raised]:
    """The unread alerts, newest first."""
    return [
        raised
        for raised in reversed(account.unread.values())
        if period is None or raised.alert.billing_period == period
    ]


def alerts_reply(
    user: str,
    ask: Alerts,
    found: Sequence[Raised],
    unread: Sequence[Raised],
    read_at: Mapping[str, int],
    seq: int,
    bytes_max: int,
) -> AlertsReply:
    """The newest of ``found``, which match, newest first.

    Args:
        user: the user id.
        ask: the request.
        found: all alerts that match.
        unread: the unread ones of the same billing period.
        read_at: when alerts were read.
        seq: the position that this reflects.
        bytes_max: what the alerts take at most.
    """
    open_ids = {raised.alert.id for raised in unread}
    entries = (
        alert_reply(
            user,
            raised,
            is_read=raised.alert.id not in open_ids,
            read_at=read_at.get(raised.alert.id),
        )
        for raised in found[: ask.limit or SHOWN]
    )
    shown = fitting(entries, bytes_max)
    return AlertsReply(alerts=shown, total=len(found), unread_count=len(unread), seq=seq)


def alert_reply(
    user: str, raised: Raised, *, is_read: bool = False, read_at: int | None = None
) -> AlertReply:
    """An alert as replies and publications show it.

    Raises:
        UnreadableEvent: it says what no reply can say.
    """
    alert, at, seq = raised
    try:
        return _reply_of(user, alert, at, seq, is_read=is_read, read_at=read_at)
    except MISFITS as error:
        raise UnreadableEvent("alert", str(error), seq) from error


def _reply_of(
    user: str, alert: Alert, at: int, seq: int, *, is_read: bool, read_at: int | None
) -> AlertReply:
    money = alert.unit == "cost"
    return AlertReply(
        id=alert.id,
        type=alert.type,
        threshold_percentage=alert.threshold_percentage,
        severity=alert.severity,
        user_id=user,
        limit_name=alert.limit_name,
        unit=alert.unit,
        provider=alert.provider,
        title=alert.title,
        message=alert.message,
        used=usd(alert.used) if money else alert.used,
        limit=usd(alert.limit) if money else alert.limit,
        billing_period=alert.billing_period,
        created_at=to_datetime(at),
        is_read=is_read,
        read_at=_moment(read_at),
        seq=seq,
    )


def _moment(at: int | None) -> datetime | None:
    return None if at is None else to_datetime(at)


def _parts(ask: Ack, _: Catalog) -> list[Any]:
    return [None if ask.ids is None else sorted(set(ask.ids)), ask.all or False]


def _reply(event: AlertsRead, _: int) -> AckReply:
    return AckReply(acked=len(event.ids), unread_count=event.unread, event_id="", seq=0)


ACK: Final = Change(Ack, AlertsRead, ack, _reply, _parts)
