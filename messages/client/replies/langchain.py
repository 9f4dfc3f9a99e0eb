"""Messages of LangChain: their ``usage_metadata``, whatever model is behind it.

What it counts: caches are in the input, reasoning is in the output, of every provider. Details
need not come to the sum, and need not be there.
"""

from __future__ import annotations

from typing import Final

from .anthropic import price_factors
from .counts import MODALITIES, Tokens, total
from .fields import ReplyFields, body
from .providers import provider_of
from .reading import Reply

_TIERS: Final = ("flex", "priority")
"""Tiers that come before the names of counts, as in ``flex_cache_read``."""


def langchain_message(
    reply: object,
    *,
    provider: str | None = None,
    model: str | None = None,
    price_variant: str | None = None,
) -> ReplyFields:
    """An ``AIMessage``, also the sum of its chunks, or a ``UsageMetadata`` alone.

    Args:
        reply: the message, or a mapping of its fields; or its ``usage_metadata``.
        provider: the provider's id, if the message does not say ``model_provider``.
        model: what was asked for, if the message does not name a model.
        price_variant: ``batch``, say; else what the message says.

    Raises:
        InvalidRequest: a field of the reply is not what it has to be, or nobody says the
            provider; the error names it.
    """
    said = Reply(reply)
    usage = said if said.has("input_tokens") else said.at("usage_metadata")
    about = said.at("response_metadata")
    # What the provider's own SDK said, where LangChain keeps it.
    own = about.at("usage")
    return body(
        provider_of(provider, about.text("model_provider")),
        about.text("model_name", "model", "model_version") or model,
        _tokens(usage).fields(),
        units={"web_searches": own.at("server_tool_use").count("web_search_requests")},
        variant=price_variant or about.text("service_tier") or _tier(usage, own),
        factors=price_factors(own),
        outcome="ok" if about.text("finish_reason", "stop_reason") else None,
    )


def _tokens(usage: Reply) -> Tokens:
    inside, outside = usage.at("input_token_details"), usage.at("output_token_details")
    long = inside.count("ephemeral_1h_input_tokens")
    by_life = total(inside.count("ephemeral_5m_input_tokens"), long)
    written = inside.count("cache_creation", *_tiered("cache_creation"))
    return Tokens(
        input=usage.count("input_tokens"),
        output=usage.count("output_tokens"),
        cache_read=inside.count("cache_read", *_tiered("cache_read")),
        # Some versions say the sum beside its parts, others 0.
        cache_write=max(written or 0, by_life or 0),
        written_long=long,
        reasoning=outside.count("reasoning", *_tiered("reasoning")),
        inputs={name: inside.count(name) for name in MODALITIES},
        outputs={name: outside.count(name) for name in MODALITIES},
    )


def _tiered(name: str) -> list[str]:
    return [f"{tier}_{name}" for tier in _TIERS]


def _tier(usage: Reply, own: Reply) -> str | None:
    inside = usage.at("input_token_details")
    by_name = next((tier for tier in _TIERS if inside.has(tier, f"{tier}_cache_read")), None)
    return own.text("service_tier") or by_name
