"""Replies as samples, and a service that gives them without a connection."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from messages.admission import EnforceReply, Held, LimitState
from messages.client.client import UsageClient
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from messages.reports import (
    AlertReply,
    Estimated,
    LogEntry,
    NamedUsage,
    PlanLimits,
    StatsReply,
)
from messages.usage import ResetReply, TrackReply

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRACKED = TrackReply(
    event_id="k-1",
    cost=Decimal("0.000123"),
    cost_input=Decimal(0),
    cost_output=Decimal(0),
    cost_catalog=None,
    tokens_used=418,
    billing_period="2026-03",
    usage_status="active",
    priced="catalog",
    provider="openai",
    actual_provider_name="openai",
    late=False,
    hold_status=None,
    late_settle=False,
    alerts=(),
    seq=7,
)
LIMIT = LimitState(
    window="billing_period",
    name="monthly_cost",
    unit="cost",
    kind="hard",
    limit=Decimal(5),
    used=Decimal("4.9"),
    held=Decimal(0),
    requested=Decimal("0.2"),
    remaining=Decimal("0.1"),
    percentage=98.0,
    resets_at=NOW,
)
REFUSED = EnforceReply(
    allowed=False,
    message="The limit monthly_cost is reached",
    reason_code="cost_limit_reached",
    provider="openai",
    actual_provider_name="openai",
    violated=("monthly_cost",),
    limits=(LIMIT,),
    usage_status="warning",
    billing_period="2026-03",
    retry_after=60,
    seq=7,
)
RESET = ResetReply(
    reset=True,
    counters_reset=True,
    reason=None,
    billing_period="2026-03",
    event_id="k",
    seq=8,
)
ALERT = AlertReply(
    id="a",
    type="usage_warning",
    threshold_percentage=90,
    severity="warning",
    user_id="alice",
    limit_name="monthly_cost",
    unit="cost",
    provider=None,
    title="90 % used",
    message="of [monthly_cost]",
    used=Decimal("4.9"),
    limit=Decimal(5),
    billing_period="2026-03",
    created_at=NOW,
    is_read=False,
    read_at=None,
    seq=7,
)
STATS = StatsReply(
    billing_period="2026-03",
    period_start=NOW,
    period_end=NOW,
    usage_status="warning",
    total_calls=1234,
    total_tokens=5678,
    total_cost=Decimal("4.900000000"),
    avg_response_time=0.25,
    error_rate=1.5,
    error_count=3,
    limits=PlanLimits("Free", "free", {"monthly_cost": Decimal(5)}, ()),
    units={"seconds": Decimal("1.5")},
    estimated=Estimated(1, 2, Decimal("0.000002")),
    unpriced_calls=1,
    provider_breakdown={
        "openai": NamedUsage(1234, 5678, Decimal("4.9"), {"seconds": Decimal("1.5")}),
        "exa": NamedUsage(0, 0, Decimal(), {}),
    },
    actual_provider_breakdown={},
    model_breakdown={"[red]model": NamedUsage(1, 1, Decimal(1), {})},
    usage_percentages={"monthly_cost": 98.0},
    alerts=(ALERT,),
    held=Held(1, 2, Decimal("0.3"), 1),
    last_updated=NOW,
    seq=7,
)


def entry_of(number: int) -> LogEntry:
    absent: dict[str, Any] = {
        name: None
        for name in LogEntry.__struct_fields__
        if name not in {"timestamp", "logged_at", "late"}
    }
    return LogEntry(
        **absent
        | {
            "event_id": f"k-{number}",
            "provider": "openai",
            "endpoint": "",
            "method": "POST",
            "model_used": "gpt-4o-mini",
            "actual_provider_name": "openai",
            "tokens_input": 374,
            "tokens_output": 44,
            "response_time": 0.0,
            "status_code": 200,
            "retry_count": 0,
            "cost": Decimal("0.1"),
            "cost_input": Decimal(0),
            "cost_output": Decimal(0),
            "tokens_used": 418,
            "priced": "catalog",
            "outcome": "ok",
            "price_model": "gpt-4o-mini",
            "matched_by": "exact",
            "token_counting": "inclusive",
            "price_factors": (),
            "unpriced": (),
            "units": {},
            "billing_period": "2026-03",
            "seq": number,
        },
        timestamp=NOW,
        logged_at=NOW,
        late=False,
    )


Answer = Callable[[str, dict[str, Any]], object]


@dataclass
class FakeReply:
    data: bytes
    headers: dict[str, str] | None = None


@dataclass
class FakeService:
    """A connection whose service answers with `answer`; it keeps what it was asked."""

    answer: Answer
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    is_connected: bool = True
    is_closed: bool = False
    max_payload: int = 1024 * 1024

    async def request(self, subject: str, payload: bytes = b"", timeout: float = 0.5) -> FakeReply:  # noqa: ASYNC109 - nats-py
        body = msgspec.json.decode(payload)
        self.asked.append((subject, body))
        try:
            return FakeReply(encode_reply(self.answer(subject, body)))
        except RequestError as error:
            return FakeReply(encode_reply(ErrorReply(error.body())), error_headers(error))

    async def close(self) -> None:
        self.is_closed = True


def serve(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> FakeService:
    """Every connection leads to a service that answers so; no setting of the shell applies."""
    service = FakeService(answer)

    async def connect(url: str, **options: Any) -> UsageClient:
        return UsageClient(service, prefix=options["prefix"], budget_s=0.01)

    monkeypatch.setattr(UsageClient, "connect", connect)
    for name in [name for name in os.environ if name.startswith("METERD_")]:
        monkeypatch.delenv(name)
    return service
