"""The names that columns usually have elsewhere, and whether rows say anything that counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from actors.billing.catalog.providers import BUILTIN
from messages.dimensions import COUNT_FIELDS

_NAMES: Final = {
    "user": ("user_id", "userid", "end_user", "customer", "customer_id", "account", "account_id"),
    "provider": ("vendor", "custom_llm_provider", "provider_name"),
    "event_id": ("request_id", "id", "call_id", "generation_id", "idempotency_key"),
    "model_used": ("model", "model_name", "model_id", "engine"),
    "tokens_input": (
        *("prompt_tokens", "input_tokens", "tokens_in", "prompt_token_count"),
        *("promptTokens", "inputTokens", "n_context_tokens_total", "tokens_prompt"),
    ),
    "tokens_output": (
        *("completion_tokens", "output_tokens", "tokens_out", "candidates_token_count"),
        *("completionTokens", "outputTokens", "n_generated_tokens_total", "tokens_completion"),
    ),
    "tokens_cache_read": ("cached_tokens", "cached_content_token_count", "input_cached_tokens"),
    "tokens_reasoning": ("reasoning_tokens", "thoughts_token_count", "native_tokens_reasoning"),
    "cost": ("cost_usd", "total_cost", "spend", "price_usd"),
    "timestamp": ("time", "created_at", "start_time", "startTime", "datetime", "ts"),
    "status_code": ("status", "http_status", "response_status"),
    "error_message": ("error",),
}
_BY_NAME: Final = {
    name.lower().replace("-", "_"): field for field, names in _NAMES.items() for name in names
}
# A call to these counts as one of what they sell if it says nothing.
_BY_CALL: Final = {
    name
    for provider in BUILTIN.values()
    if provider.kind != "llm"
    for name in (provider.id, *provider.aliases)
}


def proposed(columns: Iterable[str], filled: Iterable[str]) -> dict[str, str]:
    """Which column looks like which field, of fields that nothing fills; the first one wins.

    Returns:
        The column by the field.
    """
    taken = set(filled)
    found: dict[str, str] = {}
    for column in columns:
        field = _BY_NAME.get(column.strip().lower().replace("-", "_").replace(" ", "_"))
        if field is not None and field not in taken:
            found[field] = column
            taken.add(field)
    return found


def as_options(mapping: Mapping[str, str]) -> str:
    """A mapping as options of the command."""
    return " ".join(f"--map {field}={column}" for field, column in mapping.items())


def says_something(body: Mapping[str, object]) -> bool:
    """Whether a row counts more than a call of nothing: tokens, units, a cost, or a service
    that is paid by the call.
    """
    counts = any(body.get(field) for field in COUNT_FIELDS)
    return counts or bool(body.get("cost")) or body["provider"] in _BY_CALL
