"""Spans of OpenTelemetry's conventions for generative AI, by the new names and the old ones.

What they count, by the conventions: input tokens are of all kinds, cached ones too; reasoning is
in the output. The names are kept in a table here, since the released packages lag behind them.
"""

from __future__ import annotations

from typing import Final

from ...scalars import Outcome
from .counts import MODALITIES, Tokens
from .fields import ReplyFields, body
from .providers import provider_of
from .reading import Reply

_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
)
_CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
)
_REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_output_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.reasoning_tokens",
)
_PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system")
_TIER: Final = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
)
_NO_INFERENCE: Final = frozenset(
    {
        "create_agent",
        "execute_tool",
        "fetch_response",
        "invoke_agent",
        "invoke_workflow",
        "retrieval",
    }
)
"""Operations that repeat what the spans under them say, or use no tokens."""


def opentelemetry_span(
    span: object,
    *,
    provider: str | None = None,
    model: str | None = None,
    price_variant: str | None = None,
    exclusive: bool = False,
) -> ReplyFields | None:
    """A span, or a mapping of its attributes; None if it is no inference of a model.

    The spans of an agent or a workflow repeat what those of its inferences say, so these are not
    taken.

    Args:
        span: anything with ``attributes``, or these.
        provider: the provider's id, if the span does not say it.
        model: the model, if the span does not say it.
        exclusive: whether this instrumentation counts caches beside the input, against the
            conventions, as some do for anthropic; a span does not tell.
        price_variant: ``batch``, say; else what the span says.

    Raises:
        InvalidRequest: an attribute is not what it has to be, or nobody says the provider; the
            error names it.
    """
    whole = Reply(span)
    said = whole.at("attributes") if whole.holds_object("attributes") else whole
    operation = said.text("gen_ai.operation.name")
    if operation in _NO_INFERENCE or not (operation or said.has(*_INPUT, *_OUTPUT)):
        return None
    return body(
        provider_of(provider, said.text(*_PROVIDER)),
        said.text("gen_ai.response.model", "gen_ai.request.model") or model,
        _tokens(said, exclusive=exclusive).fields(),
        variant=price_variant or said.text(*_TIER),
        outcome=_outcome(whole, said),
    )


def _tokens(said: Reply, *, exclusive: bool) -> Tokens:
    return Tokens(
        input=said.count(*_INPUT),
        output=said.count(*_OUTPUT),
        cache_read=said.count(*_CACHE_READ),
        cache_write=said.count(*_CACHE_WRITE),
        reasoning=said.count(*_REASONING),
        inputs=_by_modality(said, "input_tokens"),
        cached=_by_modality(said, "cache_read.input_tokens", "text"),
        outputs=_by_modality(said, "output_tokens"),
        exclusive=exclusive,
    )


def _by_modality(said: Reply, kind: str, *more: str) -> dict[str, int | None]:
    return {name: said.count(f"gen_ai.usage.{name}.{kind}") for name in (*MODALITIES, *more)}


def _outcome(whole: Reply, said: Reply) -> Outcome | None:
    """How the call ended: a span that is not in error says nothing, unless the model stopped."""
    if said.has("error.type") or whole.at("status").is_false("is_ok"):
        return "failed"
    return "ok" if said.size("gen_ai.response.finish_reasons") else None
