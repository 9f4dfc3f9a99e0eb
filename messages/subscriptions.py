"""Subscriptions: ``subscribe`` to ``resume``, and what they answer; see `usage` for both forms."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Raw, Struct

from .admission import Number
from .scalars import (
    Key,
    Moment,
    Text,
)


class Subscribe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put the user on a plan; ``overrides`` decide limits for this user, null lifts one."""

    plan: Text
    billing_cycle: Literal["monthly", "yearly"]
    auto_renew: bool | None = None
    period_start: Moment | None = None
    period: Literal["keep", "new"] | None = None
    overrides: dict[Text, Raw] | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Cancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the subscription, with its billing cycle or at once."""

    at_period_end: bool | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Suspend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have ``enforce``, ``hold`` and ``preflight`` refuse until ``resume``."""

    reason: Text | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Resume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End a suspension."""

    event_id: Key | None = None
    deadline: Moment | None = None


class Subscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subscription and its history."""

    deadline: Moment | None = None


class SubscriptionState(Struct, kw_only=True):
    """A subscription; the period is the billing cycle's."""

    plan: str
    tier: str
    billing_cycle: str
    status: str
    current_period_start: datetime
    current_period_end: datetime
    auto_renew: bool
    cancel_at_period_end: bool
    overrides: dict[str, Number | None]


class SubscriptionChangeReply(Struct, kw_only=True):
    """The subscription after a change; ``alerts`` are the ids that it raised."""

    subscription: SubscriptionState | None
    renewal_type: str | None
    alerts: tuple[str, ...]
    event_id: str
    duplicate: bool = False
    seq: int


class UsageBefore(Struct, kw_only=True):
    """What the period before a renewal had counted."""

    billing_period: str | None
    calls: int
    tokens: int
    cost: Decimal


class RenewalEntry(Struct, kw_only=True):
    """A subscription that began or went on."""

    renewal_type: str
    plan: str
    tier: str
    billing_cycle: str
    previous_plan: str | None
    period_start: datetime
    period_end: datetime
    usage_before: UsageBefore
    created_at: datetime
    seq: int


class SubscriptionReply(Struct, kw_only=True):
    """The subscription, null if there never was one, and its newest renewals first."""

    subscription: SubscriptionState | None
    history: tuple[RenewalEntry, ...]
    seq: int
