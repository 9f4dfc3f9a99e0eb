"""What the clients of the simulation draw from."""

from __future__ import annotations

from typing import Final

OUTCOMES: Final = ("ok", "failed", "cancelled", "unknown")
BUILTIN: Final = ("openai", "openai", "openai", "exa", "exa", "gemini", "wavespeed", "video")
OWN: Final = ("vllm", "runpod")
IDS: Final = (*BUILTIN, *OWN, "new-1", "new-2")
"""The last ones nobody puts: a call may be the first to name them."""
ALIAS: Final = "Our Own"
"""Of one provider or another, or of none: no provider may have this id."""
ARCHIVED: Final = (*OWN, *OWN, "exa", "new-1")
PROVIDERS: Final = (*IDS, ALIAS, ALIAS)
MODELS: Final = (
    *("gpt-4o", "wan-2.5", "unheard-of", "GPT-4o", "gpt-4o-2024-08-06", "us.gpt-4o", "other"),
)
AGO: Final = (-299, 0, 3_600, 86_400, 9 * 86_400, 34 * 86_400, 36 * 86_400)
TTLS: Final = (1, 60, 3_600, 86_400, 86_400)
LIMITS: Final = (
    *("openai_calls", "openai_tokens", "exa_calls", "monthly_cost", "gemini_cost"),
    "ai_text_generation_calls",
)
OWN_LIMITS: Final = ("vllm_calls", "vllm_cost", "new-1_tokens")
"""Of providers that are there or not."""
PLANS: Final = (
    *(("Free", "free"), ("Basic", "basic"), ("Pro", "pro")),
    *(("Enterprise", "enterprise"), ("Team", "team")),
)
PAGES_MAX: Final = 12
TRIES_MAX: Final = 300
"""How often a patient client repeats; few need more than ten."""
WEIGHTS: Final = {
    "track": 20,
    "batch": 7,
    "hold": 16,
    "extend": 6,
    "release": 5,
    "preflight": 8,
    "reset": 3,
    "ack": 5,
    "subscribe": 4,
    "cancel": 2,
    "suspend": 1,
    "resume": 3,
    "enforce": 5,
    "stats": 4,
    "holds": 5,
    "trends": 2,
    "subscription": 2,
    "alerts": 4,
    "logs": 3,
    "dashboard": 1,
    "rebuild": 3,
    "catalog.plans.put": 3,
    "catalog.prices.put": 5,
    "catalog.prices.cancel": 1,
    "catalog.units.put": 4,
    "catalog.units.archive": 1,
    "catalog.units.list": 1,
    "catalog.providers.put": 4,
    "catalog.providers.archive": 1,
    "catalog.providers.list": 1,
    "catalog.plans.list": 1,
    "catalog.prices.list": 2,
    "catalog.estimate.cost": 2,
    "catalog.users.list": 2,
}
PAGES: Final = {"logs", "catalog.users.list"}
"""What is read page by page."""
