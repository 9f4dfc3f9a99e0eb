"""What happened and is stored for ever. Add kinds and optional fields; never edit one.

An event carries all that its effect needed of the catalogue and the clock: the charge and
the version of its price, the period it counts in, the alerts it raised, and at a period's
opening the plan's terms. Replay looks at nothing else. Money is in nano-USD (``*_nano``),
instants in microseconds since the epoch.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

Counters = tuple[int, int, int]
"""Calls, tokens and cost in nano-USD, in this order."""


class PlanTerms(Struct, frozen=True, cache_hash=True):
    """A plan as it holds for one period of one user.

    ``limits`` are (name, value) pairs in the order of the plan: calls and tokens as counts,
    cost limits in nano-USD.
    """

    name: str
    tier: str
    version: int
    limits: tuple[tuple[str, int], ...]
    features: tuple[str, ...] = ()


class Alert(Struct, frozen=True, kw_only=True):
    """A limit's threshold was crossed, as stored and published.

    ``used`` and ``limit`` are counts, or nano-USD where ``unit`` is ``cost``.
    """

    id: str
    type: str
    threshold_percentage: int
    severity: str
    limit_name: str
    unit: str
    provider: str | None
    title: str
    message: str
    used: int
    limit: int
    billing_period: str


class PeriodTotals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a period counted, as a closed period is kept.

    ``providers`` holds the counters since the last reset, ``earlier`` what was counted before
    it; ``wavespeed_calls`` counts the calls of or served by wavespeed.
    """

    key: str
    start: int
    end: int
    terms: PlanTerms
    providers: dict[str, Counters] = {}
    earlier: dict[str, Counters] = {}
    wavespeed_calls: int = 0
    actual_providers: dict[str, Counters] = {}
    models: dict[str, Counters] = {}
    errors: int = 0
    response_micros: int = 0
    last_updated: int | None = None


class PeriodRolled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A period became the current one; ``closed`` is the one that was, if any."""

    key: str
    start: int
    end: int
    terms: PlanTerms
    closed: PeriodTotals | None = None


class PeriodAdded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A late event made a past period known that was never the current one."""

    key: str
    start: int
    end: int
    terms: PlanTerms


class PeriodSealed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A closed period left the grace for late events: these totals are final."""

    totals: PeriodTotals


class CountersReset(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The counters of the current period started again."""

    billing_period: str
    reason: str | None = None


class UsageRecorded(Struct, frozen=True, omit_defaults=True, gc=False):
    """A call was made, priced and counted in ``billing_period``.

    ``timestamp`` is when the call was made as its caller says, absent where that is when it
    arrived. ``response_time`` is in seconds. ``adjusted`` is what a period that was announced
    as closed counts after this late event.
    """

    provider: str
    actual: str
    model: str
    billing_period: str
    status: str
    priced: str
    price_version: int = 0
    cost_nano: int = 0
    cost_input_nano: int = 0
    cost_output_nano: int = 0
    cost_catalog_nano: int | None = None
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    search_count: int | None = None
    image_count: int | None = None
    page_count: int | None = None
    endpoint: str = ""
    method: str = "POST"
    response_time: float = 0.0
    status_code: int = 200
    request_size: int | None = None
    response_size: int | None = None
    retry_count: int = 0
    timestamp: int | None = None
    late: bool = False
    adjusted: Counters | None = None
    hold_id: str | None = None
    hold_status: str | None = None
    alerts: tuple[Alert, ...] = ()


class Personal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The personal fields of a usage event, stored apart so that they can be erased alone."""

    user_agent: str | None = None
    ip_address: str | None = None
    error_message: str | None = None
    metadata: dict[str, str] | None = None


Event = PeriodRolled | PeriodAdded | PeriodSealed | CountersReset | UsageRecorded

KIND: Final[dict[type[Event], str]] = {
    PeriodRolled: "period_rolled",
    PeriodAdded: "period_added",
    PeriodSealed: "period_sealed",
    CountersReset: "reset",
    UsageRecorded: "usage",
}
