"""What LiteLLM logs of a call: its ``StandardLoggingPayload``.

What it counts: as openai, of every provider, with caches in the input and reasoning in the
output. Its price is not taken: meterd has its own.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ...scalars import Outcome
from .anthropic import price_factors
from .counts import Tokens, total
from .fields import ReplyFields, body
from .google import is_billed_by_prompt
from .openai import image_tokens, openai_tokens, with_image_count
from .providers import provider_of
from .reading import Reply

_IMAGES: Final = re.compile(r"a?image_(generation|edit|variation)")
_OUTCOMES: Final[dict[str | None, Outcome]] = {"success": "ok", "failure": "failed"}
_LONG: Final = ("ephemeral_1h_input_tokens", "ephemeral_12h_input_tokens")
_BATCHES: Final = ("batch", "aretrieve_batch", "retrieve_batch")


def litellm_payload(
    reply: object,
    *,
    provider: str | None = None,
    model: str | None = None,
    price_variant: str | None = None,
) -> ReplyFields:
    """A ``StandardLoggingPayload``, as callbacks get it in ``kwargs["standard_logging_object"]``.

    A reply out of LiteLLM's own cache asked no provider: its ``cost`` is 0.

    Args:
        reply: the payload.
        provider: the provider's id, if the payload has no ``custom_llm_provider``.
        model: what was asked for, if the payload names no model.
        price_variant: ``batch``, say; else what the reply or the request says.

    Raises:
        InvalidRequest: a field of the payload is not what it has to be, or nobody says the
            provider; the error names it.
    """
    said = Reply(reply)
    usage = _usage(said)
    name = said.text("model") or model
    is_image = _IMAGES.fullmatch(said.text("call_type") or "") is not None
    counts = _tokens(said, usage, is_image=is_image)
    if is_image and not counts.input and not counts.output:
        counts = Tokens()  # zeros stand for no usage, of images that are billed one by one
    images = _response(said).size("data") if is_image else None
    fields = counts.fields()
    found = body(
        provider_of(provider, said.text("custom_llm_provider")),
        name,
        fields,
        units={"web_searches": _searches(usage, name), "seconds": usage.seconds("seconds")},
        image_count=with_image_count(fields, images) if is_image else None,
        variant=price_variant or _tier(said, usage),
        factors=price_factors(usage),
        outcome=_OUTCOMES.get(said.text("status")),
    )
    if said.is_true("cache_hit"):
        found["cost"] = Decimal(0)
    return found


def _usage(said: Reply) -> Reply:
    """The usage with its details: where it is kept, or in the reply of the provider."""
    kept = said.at("metadata").at("usage_object")
    hidden = said.at("hidden_params").at("usage_object")
    return kept or hidden or _response(said).at("usage")


def _response(said: Reply) -> Reply:
    """The reply of the provider; a text where logging of it is off, or an embedding's list."""
    return said.at("response") if said.holds_object("response") else Reply(None)


def _tokens(said: Reply, usage: Reply, *, is_image: bool) -> Tokens:
    counts = image_tokens(usage) if is_image else openai_tokens(usage)
    details = usage.at("prompt_tokens_details", "input_tokens_details")
    if counts.input is None and counts.output is None and not usage.has("seconds"):
        counts.input, counts.output = said.count("prompt_tokens"), said.count("completion_tokens")
    if counts.cache_read is None:
        counts.cache_read = usage.count("cache_read_input_tokens")
    if counts.cache_write is None:
        beside = usage.count("cache_creation_input_tokens")
        counts.cache_write = details.count("cache_creation_tokens") if beside is None else beside
    kept = details.at("cache_creation_token_details")
    if counts.written_long is None:
        counts.written_long = total(*(kept.count(name) for name in _LONG))
    return counts


def _searches(usage: Reply, model: str | None) -> int | None:
    """How many searches are billed; a search in a grounded prompt of Gemini before 3 is one."""
    details = usage.at("prompt_tokens_details", "input_tokens_details")
    searches = details.count("web_search_requests")
    if searches is None:
        searches = usage.at("server_tool_use").count("web_search_requests")
    return min(searches or 0, 1) if is_billed_by_prompt(model) else searches


def _tier(said: Reply, usage: Reply) -> str | None:
    """The tier that served it; if nobody says it, the one that was asked for."""
    if said.text("call_type") in _BATCHES:
        return "batch"
    return (
        usage.text("service_tier")
        or _response(said).text("service_tier")
        or said.at("model_parameters").text("service_tier")
    )
