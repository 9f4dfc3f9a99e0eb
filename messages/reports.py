"""What a user is shown: ``stats``, ``trends``, ``logs``, alerts and the dashboard.

See `usage` for the forms of commands and replies.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from .admission import Held, Number
from .scalars import (
    Key,
    KeyId,
    Moment,
    Outcome,
    PeriodKey,
    StatusCode,
    Tags,
    Text,
    TokenCounting,
)


class Stats(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The live summary of the current period, or of an earlier one."""

    billing_period: PeriodKey | None = None
    deadline: Moment | None = None


class Logs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the usage log, newest arrival first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    provider: Text | None = None
    status_code: StatusCode | None = None
    model_used: Text | None = None
    key: KeyId | None = None
    outcome: Outcome | None = None
    tags: Tags | None = None
    billing_period: PeriodKey | None = None
    event_id: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    deadline: Moment | None = None


class Trends(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's last periods."""

    months: Annotated[int, Meta(ge=1, le=36)] | None = None
    deadline: Moment | None = None


class Alerts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The alerts that were raised, newest first."""

    unread_only: bool | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    billing_period: PeriodKey | None = None
    deadline: Moment | None = None


class Ack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mark alerts read: those of ``ids``, or all."""

    ids: Annotated[list[Text], Meta(max_length=1000)] | None = None
    all: bool | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Dashboard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stats, trends, unread alerts and projections in one reply."""

    deadline: Moment | None = None


class Usage(Struct):
    """Calls, tokens and cost of one provider or model."""

    calls: int
    tokens: int
    cost: Decimal


class NamedUsage(Usage):
    """`Usage` and the units of one provider or model, those that are not zero."""

    units: dict[str, Number]


class Estimated(Struct):
    """Calls, tokens and cost that were priced by the estimate."""

    calls: int
    tokens: int
    cost: Decimal


class PlanLimits(Struct):
    """The plan in force with its limits."""

    plan_name: str
    tier: str
    limits: dict[str, Number]
    features: tuple[str, ...]


class AlertReply(Struct, kw_only=True):
    """An alert as replies and publications show it."""

    id: str
    type: str
    threshold_percentage: int
    severity: str
    user_id: str
    limit_name: str
    unit: str
    provider: str | None
    title: str
    message: str
    used: Number
    limit: Number
    billing_period: str
    created_at: datetime
    is_read: bool
    read_at: datetime | None
    seq: int


class StatsReply(Struct, kw_only=True):
    """The summary of one billing period; ``avg_response_time`` in seconds, rates in percent."""

    billing_period: str
    period_start: datetime
    period_end: datetime
    usage_status: str
    total_calls: int
    total_tokens: int
    total_cost: Decimal
    avg_response_time: float
    error_rate: float
    error_count: int
    limits: PlanLimits
    units: dict[str, Number]
    estimated: Estimated
    unpriced_calls: int
    provider_breakdown: dict[str, NamedUsage]
    actual_provider_breakdown: dict[str, NamedUsage]
    model_breakdown: dict[str, NamedUsage]
    usage_percentages: dict[str, float]
    alerts: tuple[AlertReply, ...]
    held: Held
    last_updated: datetime | None
    seq: int


class LogEntry(Struct, kw_only=True):
    """One usage event as it was logged."""

    event_id: str
    timestamp: datetime
    provider: str
    endpoint: str
    method: str
    model_used: str
    actual_provider_name: str
    tokens_input: int
    tokens_output: int
    tokens_cache_read: int | None
    tokens_cache_write: int | None
    tokens_reasoning: int | None
    search_count: int | None
    image_count: int | None
    page_count: int | None
    response_time: float
    status_code: int
    request_size: int | None
    response_size: int | None
    user_agent: str | None
    ip_address: str | None
    error_message: str | None
    retry_count: int
    hold_id: str | None
    metadata: dict[str, str] | None
    outcome: Outcome
    key: str | None
    tags: dict[str, str] | None
    token_parts: dict[str, int] | None
    token_counting: TokenCounting
    price_variant: str | None
    price_factors: tuple[str, ...]
    units: dict[str, Number]
    cost: Decimal
    cost_input: Decimal
    cost_output: Decimal
    cost_catalog: Decimal | None
    tokens_used: int
    priced: str
    price_model: str | None
    matched_by: str | None
    variant_priced: bool | None
    tier: int | None
    unpriced: tuple[str, ...]
    billing_period: str
    late: bool
    logged_at: datetime
    seq: int


class LogsReply(Struct, kw_only=True):
    """A page of the usage log, newest arrival first."""

    logs: tuple[LogEntry, ...]
    next_cursor: str | None
    total_count: int | None
    seq: int


class ProviderTrend(Struct):
    """A provider's use by period."""

    calls: tuple[int, ...]
    cost: tuple[Decimal, ...]
    tokens: tuple[int, ...]


class TrendsReply(Struct, kw_only=True):
    """The user's last periods, oldest first; every array is as long as ``periods``."""

    periods: tuple[str, ...]
    total_calls: tuple[int, ...]
    total_cost: tuple[Decimal, ...]
    total_tokens: tuple[int, ...]
    provider_trends: dict[str, ProviderTrend]
    unit_trends: dict[str, tuple[Number, ...]]
    seq: int


class AlertsReply(Struct, kw_only=True):
    """Alerts, newest first; ``total`` of them match, ``unread_count`` are unread."""

    alerts: tuple[AlertReply, ...]
    total: int
    unread_count: int
    seq: int


class AckReply(Struct, kw_only=True):
    """How many alerts this marked read, and how many are left unread."""

    acked: int
    unread_count: int
    event_id: str
    duplicate: bool = False
    seq: int


class Projections(Struct, kw_only=True):
    """What the period comes to at this rate; ``cost_limit`` is null if there is none."""

    projected_cost: Decimal
    cost_limit: Decimal | None
    projected_percentage: float | None
    days_left: int


class DashboardReply(Struct, kw_only=True):
    """Stats, trends of six months, unread alerts and projections, all as of ``seq``."""

    stats: StatsReply
    trends: TrendsReply
    alerts: tuple[AlertReply, ...]
    projections: Projections
    seq: int
