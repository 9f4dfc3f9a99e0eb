"""What the golden files of the catalogue's events mean: an object for each of them."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from messages.stored.catalog import (
    CatalogEvent,
    Detection,
    PlanPut,
    PlanTerms,
    PriceCancelled,
    PricePut,
    PriceTier,
    ProviderArchived,
    ProviderPut,
    UnitArchived,
    UnitPut,
)

MARCH: Final = 1_772_323_200_000_000
APRIL: Final = 1_775_001_600_000_000
FREE: Final = PlanTerms(
    "Free",
    "free",
    1,
    (("gemini_calls", 50), ("openai_calls", 0), ("monthly_cost", 2_000_000_000)),
    ("basic_content_generation",),
)
PRICE: Final = PricePut(
    provider="openai",
    model="gpt-5",
    version=7,
    effective_from=MARCH,
    content="0123456789abcdef01234567",
    input_token=1_250_000,
    output_token=10**7,
    cache_read_token=125_000,
    cache_write_token=0,
    reasoning_token=1,
    request=2,
    search=3,
    image=4,
    page=5,
)
CATALOG_EVENTS: Final[dict[str, CatalogEvent]] = {
    "plan": PlanPut(
        terms=FREE,
        price_monthly_nano=29 * 10**9,
        price_yearly_nano=290 * 10**9,
        content="0123456789abcdef01234567",
    ),
    "price": PRICE,
    "price.whole": replace(
        PRICE,
        version=8,
        variant="batch",
        parts={"input_audio": 6, "output_image": 7},
        tiers=(
            PriceTier(128_000, {"input_token": 8}),
            PriceTier(200_000, {"input_token": 9, "input_audio": 10}),
        ),
        units={"seconds": (17 * 10**9, 60), "web_searches": (10**10, 1)},
        multipliers={"eu": 11_000},
        aliases=("gpt-5-chat", "gpt-5-latest"),
        alias="our own",
    ),
    "price_cancelled": PriceCancelled(
        provider="openai",
        model="gpt-5",
        version=9,
        effective_from=APRIL,
        cancelled=8,
        content="0123456789abcdef01234567",
        variant="batch",
        alias="our own",
    ),
    "price.1": replace(PRICE, alias="our own"),
    "provider": ProviderPut(
        id="vllm",
        version=7,
        content="0123456789abcdef01234567",
        name="Öwn machines",
        kind="llm",
        default_model="llama-3",
        aliases=("our own", "llama.local"),
        served_by="rack 4",
        detect=(Detection("rack 5", ("*-70b",), ("/five/?*",)), Detection("rack 6", ("a\\*",))),
        groups=("ai_text_generation",),
        unpriced="zero",
        token_counting="exclusive",
        registered=True,
    ),
    "provider.registered": ProviderPut(id="vllm", version=8, registered=True),
    "provider_archived": ProviderArchived(id="vllm", version=9, content="0123456789abcdef01234567"),
    "price.bare": PricePut(
        provider="openai",
        model="gpt-5",
        version=7,
        effective_from=MARCH,
        content="0123456789abcdef01234567",
    ),
}
CATALOG_EVENTS["unit"] = UnitPut(
    id="gpu_seconds",
    name="Sekunden einer GPU, ü",
    scale=3,
    max_per_call=10**15,
    version=8,
    content="0123456789abcdef01234567",
)
CATALOG_EVENTS["unit_archived"] = UnitArchived(
    id="gpu_seconds",
    name="gpu_seconds",
    scale=0,
    max_per_call=1,
    version=9,
    content="0123456789abcdef01234567",
)
