"""What the typed methods of `UsageClient` take, by name. `None` is the same as leaving it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Required, TypedDict

from ..scalars import Outcome, PartName, TokenCounting


class CountFields(TypedDict, total=False):
    """What a call counts, as in `messages.dimensions`."""

    tokens_input: int | None
    tokens_output: int | None
    tokens_cache_read: int | None
    tokens_cache_write: int | None
    tokens_reasoning: int | None
    search_count: int | None
    image_count: int | None
    page_count: int | None


class TrackFields(CountFields, total=False):
    """What `UsageClient.track` takes; ``cost`` in USD, ``response_time`` in seconds.

    Side fields that do not fit are cut by the service: see ``clipped`` of the reply.
    """

    provider: Required[str]
    event_id: str | None
    endpoint: str | None
    method: str | None
    model_used: str | None
    actual_provider_name: str | None
    response_time: float | None
    status_code: int | None
    request_size: int | None
    response_size: int | None
    user_agent: str | None
    ip_address: str | None
    error_message: str | None
    retry_count: int | None
    timestamp: datetime | None
    cost: Decimal | int | None
    hold_id: str | None
    metadata: Mapping[str, object] | None
    outcome: Outcome | None
    key: str | None
    tags: Mapping[str, str] | None
    token_parts: Mapping[PartName, int] | None
    token_counting: TokenCounting | None
    price_variant: str | None
    price_factors: Sequence[str] | None
    units: Mapping[str, int | Decimal] | None


class EnforceFields(CountFields, total=False):
    """What `UsageClient.enforce` takes; ``cost_requested`` in USD, counts of one call."""

    provider: Required[str]
    model_used: str | None
    actual_provider_name: str | None
    endpoint: str | None
    tokens_requested: int | None
    cost_requested: Decimal | int | None
    calls: int | None
    key: str | None
    tags: Mapping[str, str] | None
    token_parts: Mapping[PartName, int] | None
    token_counting: TokenCounting | None
    price_variant: str | None
    price_factors: Sequence[str] | None
    units_requested: Mapping[str, int | Decimal] | None


class OperationFields(EnforceFields, total=False):
    """One operation of `UsageClient.preflight`."""

    operation_type: str | None


class PreflightHoldFields(TypedDict, total=False):
    """How `UsageClient.preflight` holds; ``ttl`` in seconds."""

    ttl: int | None
    event_id: str | None


class HoldFields(EnforceFields, total=False):
    """What `UsageClient.hold` takes; ``ttl`` in seconds."""

    ttl: int | None
    event_id: str | None


class ExtendFields(TypedDict, total=False):
    """What `UsageClient.extend` takes beside the hold; amounts are new totals."""

    ttl: int | None
    tokens_requested: int | None
    cost_requested: Decimal | int | None
    units_requested: Mapping[str, int | Decimal] | None
    event_id: str | None


class SubscribeFields(TypedDict, total=False):
    """What `UsageClient.subscribe` takes; cost limits of ``overrides`` in USD, None lifts one."""

    plan: Required[str]
    billing_cycle: Required[str]
    auto_renew: bool | None
    period_start: datetime | None
    period: str | None
    overrides: Mapping[str, int | Decimal | None] | None
    event_id: str | None


class LogsFields(TypedDict, total=False):
    """What `UsageClient.logs` takes: the filters and the page."""

    limit: int | None
    cursor: str | None
    provider: str | None
    status_code: int | None
    model_used: str | None
    key: str | None
    outcome: Outcome | None
    tags: Mapping[str, str] | None
    billing_period: str | None
    event_id: str | None
    since: datetime | None
    until: datetime | None
