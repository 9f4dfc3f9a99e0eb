"""The price fields of LiteLLM's list: what each is here.

A key is a price, perhaps ``_above_<n>k_tokens``, perhaps of a service tier or a batch.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

PART: Final = "token_parts."
"""In front of a name: it is a part of the tokens."""
LONG_WRITE: Final = f"{PART}cache_write_long"

TOKENS: Final = {
    "input_cost_per_token": "cost_per_input_token",
    "output_cost_per_token": "cost_per_output_token",
    "cache_read_input_token_cost": "cost_per_cache_read_token",
    "cache_creation_input_token_cost": "cost_per_cache_write_token",
    "output_cost_per_reasoning_token": "cost_per_reasoning_token",
    "input_cost_per_audio_token": f"{PART}input_audio",
    "input_cost_per_image_token": f"{PART}input_image",
    "input_cost_per_video_token": f"{PART}input_video",
    "output_cost_per_audio_token": f"{PART}output_audio",
    "output_cost_per_image_token": f"{PART}output_image",
    "output_cost_per_video_token": f"{PART}output_video",
    "cache_read_input_audio_token_cost": f"{PART}cache_read_audio",
    "cache_read_input_image_token_cost": f"{PART}cache_read_image",
    "cache_creation_input_token_cost_above_1hr": LONG_WRITE,
    "cache_creation_input_token_cost_above_12hr": LONG_WRITE,
}
"""Prices of tokens, which tiers and variants may have."""
PAGES: Final = {"ocr_cost_per_page": "cost_per_page"}
"""Other prices that a batch has."""
VARIANTS: Final = {
    "flex": "flex",
    "priority": "priority",
    "ultrafast": "ultrafast",
    "balanced": "balanced",
    "decisions": "decisions",
    "batches": "batch",
}
BATCH: Final = "batch"
CACHE_HIT: Final = "input_cost_per_token_cache_hit"
"""Another word for the price of a cache read."""
UPLIFTS: Final = {
    "regional_processing_uplift_multiplier_us": "us",
    "regional_processing_uplift_multiplier_eu": "eu",
    "fedramp_uplift_multiplier": "fedramp",
    "regional_endpoint_uplift_multiplier": "regional",
}
FACTORS: Final = frozenset({"us", "eu", "fast"})
"""What is a factor in ``provider_specific_entry``; other numbers there are switches."""

_KEY: Final = re.compile(
    r"(?P<base>.+?)(?:_above_(?P<bound>\d{1,9})(?P<kilo>k?)_tokens)?"
    rf"(?:_(?P<variant>{'|'.join(VARIANTS)}))?"
)
_NO_PRICE: Final = re.compile(
    r"litellm_provider|mode|source|metadata|comment|rules|alias_of|successor_model|rpm|tpm|"
    r"(?:max|supports|supported|uses|deprecation|token_count|reasoning|default|bedrock)_.*|"
    r"output_vector_size|prompt_cache_min_tokens|tool_use_system_prompt_tokens|"
    r"vertex_ai_audio_api|audio_transcription_config|input_sequence_length|.*_config"
)
"""Fields that say what a model can do. Whatever else has a number in it may be a price."""
_PRICE_WORDS: Final = frozenset({"web_search_billing_unit"})
_DEPTH_MAX: Final = 8


class TokenKey(NamedTuple):
    """A price of tokens: our field, the variant, and the bound of its tier (0: none)."""

    field: str
    variant: str
    bound: int


def token_key(key: str) -> TokenKey | None:
    """What a key of the list says, if it is a price that tiers and variants have."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    field = TOKENS.get(found["base"]) or PAGES.get(found["base"])
    if field is None:
        return None
    bound = int(found["bound"] or 0) * (1_000 if found["kilo"] else 1)
    return TokenKey(field, VARIANTS.get(found["variant"] or "", ""), bound)


def bears_price(key: str, value: Any) -> bool:
    """Whether a field may be about money: it has a number in it, and is none that is known."""
    if key in _PRICE_WORDS:
        return True
    return not _NO_PRICE.fullmatch(key) and _has_number(value, _DEPTH_MAX)


def _has_number(value: Any, depth: int) -> bool:
    if depth == 0:
        return True  # who knows
    if isinstance(value, dict):
        return any(_has_number(one, depth - 1) for one in value.values())
    if isinstance(value, list):
        return any(_has_number(one, depth - 1) for one in value)
    return value is not None and not isinstance(value, bool | str)
