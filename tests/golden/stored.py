"""What the golden files mean: an object for each of them."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from messages.stored.catalog import CatalogEvent, PlanTerms
from messages.stored.detail import HoldDetail, PriceThen, UsageDetail
from messages.stored.events import (
    Alert,
    AlertsRead,
    CountersReset,
    DecisionThen,
    Event,
    HoldExtended,
    HoldPlaced,
    HoldReleased,
    LimitThen,
    PeriodAdded,
    PeriodClosed,
    PeriodRolled,
    PeriodSealed,
    PeriodTotals,
    Personal,
    PreflightHeld,
    StoredSubscription,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from messages.stored.tally import TallyTotals
from tests.golden.stored_catalog import APRIL, CATALOG_EVENTS, FREE, MARCH

MAY: Final = 1_777_593_600_000_000
NOON: Final = 1_773_576_000_000_000  # 2026-03-15T12:00:00Z

BARE: Final = PlanTerms("Bare", "pro", 2, ())
ALERT: Final = Alert(
    id="8f2f0e8d0c5f4d6e9a7b1c3d",
    type="limit_reached",
    threshold_percentage=100,
    severity="error",
    limit_name="monthly_cost",
    unit="cost",
    provider=None,
    title="Limit reached: monthly cost",
    message="monthly_cost is used up in 2026-03: 2.5 of 2 USD.",
    used=2_500_000_000,
    limit=2_000_000_000,
    billing_period="2026-03",
)
WARNING: Final = Alert(
    id="0123456789abcdef01234567",
    type="usage_warning",
    threshold_percentage=80,
    severity="info",
    limit_name="gemini_calls",
    unit="calls",
    provider="gemini",
    title="80% used: gemini calls",
    message="gemini_calls has reached 80% in 2026-03: 40 of 50 calls.",
    used=40,
    limit=50,
    billing_period="2026-03",
)
TOTALS: Final = PeriodTotals(
    key="2026-03",
    start=MARCH,
    end=APRIL,
    terms=FREE,
    providers={"gemini": (2, 1_500, 450_000), "video": (1, 0, 250_000_000)},
    earlier={"gemini": (40, 10**12, 2**64)},
    wavespeed_calls=1,
    actual_providers={"google": (2, 1_500, 450_000), "wavespeed": (1, 0, 250_000_000)},
    models={"gemini-2.5-flash": (2, 1_500, 450_000), "wän": (1, 0, 250_000_000)},
    errors=1,
    response_micros=1_250_000,
    last_updated=NOON,
    slept=(1_769_904_000_000_000,),
)
TALLY: Final = TallyTotals(
    providers={"gemini": {"seconds": 1_500_000_000, "web_searches": 3 * 10**9}},
    actual_providers={"google": {"seconds": 1_500_000_000, "web_searches": 3 * 10**9}},
    models={"other": {"seconds": 1_500_000_000, "web_searches": 3 * 10**9}},
    earlier={"gpu_seconds": 10**24 + 1},
    estimated=(2, 1_500, 2**64),
    unpriced_calls=1,
)
OLD_TOTALS: Final = replace(TOTALS, slept=())
SUBSCRIPTION: Final = StoredSubscription(
    plan="Pro",
    tier="pro",
    price_nano=79 * 10**9,
    billing_cycle="yearly",
    anchor=NOON,
    cycle=12,
    auto_renew=False,
    cancel_at_period_end=True,
    cancelled=True,
    overrides=(("monthly_cost", 5 * 10**9), ("openai_calls", 7)),
)
BARE_SUBSCRIPTION: Final = StoredSubscription(
    plan="Basic", tier="basic", price_nano=0, billing_cycle="monthly", anchor=MARCH
)
DECISION: Final = DecisionThen(
    "2026-03", "warning", APRIL, (LimitThen("monthly_cost", "hard", 2 * 10**9, 10**9, 5),)
)
PLACED: Final = HoldPlaced(
    hold_id="h-1",
    provider="mistral",
    actual="huggingface",
    model="openai/gpt-oss-120b:groq",
    calls=2,
    tokens=10**9,
    cost_nano=10**15,
    expires_at=NOON + 60_000_000,
    decision=DECISION,
    content="0123456789abcdef01234567",
    derived=True,
)
NOTHING: Final = PeriodTotals(key="2026-02", start=0, end=MARCH, terms=BARE)

ROLLED: Final = PeriodRolled(
    key="2026-04",
    start=APRIL,
    end=MAY,
    terms=FREE,
    closed=TOTALS,
    slept=(MARCH,),
    subscription=SUBSCRIPTION,
    renewed=True,
    suspended=True,
)

EXTENDED: Final = HoldExtended(
    hold_id="h-1",
    tokens=5,
    cost_nano=7,
    expires_at=NOON,
    calls=2,
    provider="mistral",
    actual="huggingface",
    decision=DECISION,
    content="0123456789abcdef01234567",
    derived=True,
)
EVENTS: Final[dict[str, Event]] = {
    "period_rolled": ROLLED,
    "period_rolled.1": PeriodRolled(
        key="2026-04", start=APRIL, end=MAY, terms=FREE, closed=OLD_TOTALS
    ),
    "period_rolled.first": PeriodRolled(key="2026-03", start=MARCH, end=APRIL, terms=BARE),
    "period_rolled.2": replace(ROLLED, announced=True),
    "period_closed": PeriodClosed(totals=TOTALS),
    "period_added": PeriodAdded(key="2026-03.2", start=MARCH, end=APRIL, terms=FREE),
    "period_sealed": PeriodSealed(totals=TOTALS),
    "period_sealed.1": PeriodSealed(totals=OLD_TOTALS),
    "period_sealed.empty": PeriodSealed(totals=NOTHING),
    "reset": CountersReset(billing_period="2026-03", reason="renewal of the plan"),
    "reset.bare": CountersReset(billing_period="2026-03"),
    "usage": UsageRecorded(
        provider="mistral",
        actual="huggingface",
        model="openai/gpt-oss-120b:groq",
        billing_period="2026-03",
        status="limit_reached",
        priced="caller",
        price_version=1,
        cost_nano=10**15,
        cost_input_nano=2_000_000,
        cost_output_nano=500_000,
        cost_catalog_nano=2_500_000,
        tokens_input=1_000,
        tokens_output=500,
        tokens_cache_read=300,
        tokens_cache_write=0,
        tokens_reasoning=100,
        search_count=0,
        image_count=1,
        page_count=10**6,
        endpoint='/v1/"chat"\n',
        method="PUT",
        response_time=0.1,
        status_code=503,
        request_size=10**12,
        response_size=0,
        retry_count=3,
        timestamp=NOON,
        late=True,
        adjusted=(43, 10**12 + 3_000, 2**64 + 10**15),
        hold_id="h-1",
        hold_status="released",
        alerts=(WARNING, ALERT),
        late_settle=True,
        source="/gateway/1",
    ),
    "usage.bare": UsageRecorded(
        provider="openai",
        actual="openai",
        model="gpt-4o-mini",
        billing_period="2026-03",
        status="active",
        priced="catalog",
        price_version=1,
        cost_nano=150,
        cost_input_nano=150,
        tokens_input=1,
    ),
    "hold": PLACED,
    "hold.1": replace(PLACED, detail=HoldDetail(key="k-1", tags={"app": "chat", "team": "blau"})),
    "hold.bare": replace(PLACED, derived=False, decision=DecisionThen("2026-03", "active", APRIL)),
    "hold_extended": EXTENDED,
    "hold_released": HoldReleased(hold_id="h-1", content="0123456789abcdef01234567"),
    "preflight": PreflightHeld(
        operations=(PLACED,), types=("summary", None), content="0123456789abcdef01234567"
    ),
    "alerts_read": AlertsRead(ids=("a-1", "a-2"), unread=3, content="0123456789abcdef01234567"),
    "subscribed": Subscribed(
        subscription=SUBSCRIPTION,
        terms=FREE,
        renewal_type="upgrade",
        content="0123456789abcdef01234567",
        opened=True,
        previous="Basic",
        before="2026-03",
        usage_before=(1, 2, 3),
        suspended=True,
        alerts=(WARNING,),
    ),
    "subscribed.bare": Subscribed(
        subscription=BARE_SUBSCRIPTION,
        terms=BARE,
        renewal_type="new",
        content="0123456789abcdef01234567",
    ),
    "subscription_changed": SubscriptionChanged(
        change="cancel",
        content="0123456789abcdef01234567",
        subscription=SUBSCRIPTION,
        suspended=True,
        reason="not paid",
        terms=FREE,
        alerts=(WARNING,),
    ),
    "subscription_changed.bare": SubscriptionChanged(
        change="resume", content="0123456789abcdef01234567"
    ),
}
EVENTS["subscribed.decided"] = Subscribed(
    subscription=replace(
        BARE_SUBSCRIPTION, hard_overrides=(("exa_calls", None), ("openai_calls", 0))
    ),
    terms=replace(BARE, limits=(("openai_calls", 0),), overridden=("openai_calls",)),
    renewal_type="new",
    content="0123456789abcdef01234567",
)
EVENTS["usage.2"] = replace(EVENTS["usage"], price_version=7)
EVENTS["usage.2.bare"] = EVENTS["usage.bare"]
EVENTS["usage.2.unpriced"] = replace(
    EVENTS["usage.bare"],
    status="warning",
    priced="estimate",
    price_version=0,
    hold_id="h-1",
    hold_status="settled",
)
EVENTS["usage.3"] = replace(EVENTS["usage.2"], clipped=("user_agent", "cost", "metadata"))
EVENTS["usage.4"] = replace(
    EVENTS["usage.3"],
    detail=UsageDetail(outcome="cancelled", key="k-1", tags={"app": "chat", "team": "blau"}),
)
EVENTS["usage.4.found"] = replace(
    EVENTS["usage.2.bare"],
    provider="vllm",
    detail=UsageDetail(alias="our own", filled=("model", "actual"), text=True),
)
EVENTS["hold.1.found"] = replace(
    EVENTS["hold.bare"], detail=HoldDetail(alias="our own", filled=("model",), text=True)
)
EVENTS["period_sealed.others"] = PeriodSealed(
    totals=PeriodTotals(
        key="2026-03",
        start=MARCH,
        end=APRIL,
        terms=BARE,
        providers={"openai": (2, 0, 0), "vllm": (3, 4, 5)},
        earlier={"runpod": (1, 0, 2)},
        actual_providers={"openai": (2, 0, 0), "rack 4": (3, 4, 5)},
        models={"m": (5, 4, 5)},
        text_calls=3,
    )
)
EVENTS["usage.5"] = replace(
    EVENTS["usage.4"],
    detail=UsageDetail(
        outcome="cancelled",
        key="k-1",
        tags={"app": "chat", "team": "blau"},
        units={"gpu_seconds": 1, "seconds": 10**24},
        unpriced=("seconds", "search_count"),
    ),
)
EVENTS["hold.2"] = replace(
    PLACED,
    detail=HoldDetail(key="k-1", tags={"team": "blau"}, units={"seconds": 1_500_000_000}),
)
EVENTS["hold_extended.1"] = replace(EVENTS["hold_extended"], units={"seconds": 10**24})
EVENTS["hold_extended.dropped"] = replace(EVENTS["hold_extended"], units={})
EVENTS["period_sealed.2"] = PeriodSealed(totals=replace(TOTALS, tally=TALLY))
EVENTS["period_closed.1"] = PeriodClosed(totals=replace(TOTALS, tally=TALLY))
EVENTS["usage.priced"] = replace(
    EVENTS["usage.4"],
    detail=UsageDetail(
        outcome="unknown",
        key="k-1",
        tags={"app": "chat"},
        token_parts={"cache_read_audio": 1, "input_audio": 2},
        token_counting="exclusive",
        price_variant="batch",
        price_factors=("fast", "us"),
        price_model="gpt-oss-120b",
        matched_by="undated",
        variant_priced=False,
        tier=200_000,
        units={"seconds": 1},
        unpriced=("image_count", "seconds"),
        alias="our own",
        filled=("model", "counting"),
        text=True,
    ),
)
EVENTS["hold.priced"] = replace(
    PLACED,
    detail=HoldDetail(
        key="k-1",
        tags={"app": "chat"},
        counts={"tokens_input": 5, "image_count": 0},
        token_parts={"input_audio": 2},
        token_counting="exclusive",
        price_variant="batch",
        price_factors=("us",),
        units={"seconds": 1},
        alias="our own",
        filled=("model",),
        text=True,
    ),
    price=PriceThen("catalog", "alias", "gpt-5", ("image_count",)),
)
EVENTS["hold_extended.priced"] = replace(
    EVENTS["hold_extended.1"],
    price=PriceThen("provider_default", "provider_default", "default"),
)
EVENTS["usage.1"] = replace(EVENTS["usage"], hold_status="unknown", late_settle=False, source=None)
OLDER: Final = frozenset({"usage", "usage.1", "usage.bare"})
"""Forms that are read and not written any more: a call under the full names of its fields."""
ALL: Final[dict[str, Event | CatalogEvent]] = {**EVENTS, **CATALOG_EVENTS}
PERSONAL: Final = Personal(
    user_agent="agent/1.0",
    ip_address="2001:db8::1",
    error_message="tïmeout\n",
    metadata={"team": "blue", "": "empty"},
)
