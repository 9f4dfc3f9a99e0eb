"""What is published by itself, beside alerts, which look as they do in `reports`."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from .reports import StatsReply, Usage
from .subscriptions import SubscriptionState


class PeriodNotice(Struct, kw_only=True):
    """``period_opened``, ``reset``, ``period_closed`` (with that period's stats),
    ``period_adjusted`` (with its totals, over all resets) and ``subscription_changed`` (with the
    subscription from then on; ``change`` is subscribe, renew, end, cancel, suspend or resume).
    """

    id: str
    kind: str
    user_id: str
    at: datetime
    seq: int
    billing_period: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    stats: StatsReply | None = None
    totals: Usage | None = None
    reason: str | None = None
    change: str | None = None
    subscription: SubscriptionState | None = None
