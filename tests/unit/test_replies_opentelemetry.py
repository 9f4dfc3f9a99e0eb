"""Replies that came through OpenTelemetry as fields of `track`."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from messages.errors import InvalidRequest
from tests.support.real_reply import plain

Json = dict[str, Any]

NEW: Json = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5",
    "gen_ai.response.model": "gpt-5-2025-08-07",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.cache_read.input_tokens": 300,
    "gen_ai.usage.cache_write.input_tokens": 400,
    "gen_ai.usage.reasoning.output_tokens": 150,
    "openai.response.service_tier": "flex",
}
FIELDS: Json = {
    "provider": "openai",
    "model_used": "gpt-5-2025-08-07",
    "tokens_input": 1_000,
    "tokens_output": 200,
    "tokens_cache_read": 300,
    "tokens_cache_write": 400,
    "token_counting": "inclusive",
    "tokens_reasoning": 150,
    "price_variant": "flex",
    "outcome": "ok",
}


def renamed(**names: str) -> Json:
    """The attributes with some names put for others, which are written with ``__`` for a dot."""
    table = {new.replace("__", "."): old.replace("__", ".") for new, old in names.items()}
    return {table.get(name, name): value for name, value in NEW.items()}


@pytest.mark.parametrize(
    "attributes",
    [
        NEW,
        renamed(
            gen_ai__usage__cache_write__input_tokens="gen_ai__usage__cache_creation__input_tokens"
        ),
        renamed(
            gen_ai__provider__name="gen_ai__system",
            gen_ai__usage__input_tokens="gen_ai__usage__prompt_tokens",
            gen_ai__usage__output_tokens="gen_ai__usage__completion_tokens",
            gen_ai__usage__cache_read__input_tokens="gen_ai__usage__cache_read_input_tokens",
            gen_ai__usage__cache_write__input_tokens="gen_ai__usage__cache_creation_input_tokens",
            gen_ai__usage__reasoning__output_tokens="gen_ai__usage__reasoning_tokens",
            openai__response__service_tier="gen_ai__openai__response__service_tier",
        ),
    ],
    ids=["new", "released", "old"],
)
def test_new_and_old_names_of_attributes_become_the_same_fields(attributes: Json) -> None:
    assert plain.opentelemetry_span(attributes) == FIELDS
    assert (
        plain.opentelemetry_span(SimpleNamespace(attributes=MappingProxyType(attributes))) == FIELDS
    )


def test_the_new_name_goes_before_the_old_one_where_both_are_there() -> None:
    both = {**NEW, "gen_ai.usage.prompt_tokens": 7, "gen_ai.system": "az.ai.openai"}
    assert plain.opentelemetry_span(both) == FIELDS


def test_modalities_of_a_span_are_parts_without_what_was_cached() -> None:
    split = {
        "gen_ai.usage.audio.input_tokens": 600,
        "gen_ai.usage.audio.cache_read.input_tokens": 250,
        "gen_ai.usage.text.cache_read.input_tokens": 50,
        "gen_ai.usage.image.output_tokens": 50,
    }
    fields = plain.opentelemetry_span({**NEW, **split})
    # Of 400 tokens that were written to the cache 350 are all the text that is left.
    assert fields["token_parts"] == {
        "input_audio": 300,
        "cache_read_audio": 250,
        "output_image": 50,
    }
    assert fields["image_count"] == 0  # else an image would cost beside its tokens


@pytest.mark.parametrize(
    "operation", ["invoke_agent", "execute_tool", "create_agent", "fetch_response"]
)
def test_a_span_that_is_no_inference_is_no_call(operation: str) -> None:
    assert plain.opentelemetry_span({**NEW, "gen_ai.operation.name": operation}) is None
    assert plain.opentelemetry_span({"http.request.method": "GET"}) is None


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        *(("gcp.gemini", "gemini"), ("gcp.vertex_ai", "vertex_ai"), ("aws.bedrock", "bedrock")),
        *(("azure.ai.openai", "azure"), ("mistral_ai", "mistral"), ("x_ai", "xai")),
        *(("anthropic", "anthropic"), ("cohere", "cohere")),
    ],
)
def test_the_provider_of_a_span_is_an_id_of_a_price_list(said: str, provider: str) -> None:
    fields = plain.opentelemetry_span({**NEW, "gen_ai.provider.name": said})
    assert fields["provider"] == provider


def test_a_span_in_error_is_a_failed_call() -> None:
    failed = {**NEW, "error.type": "timeout"}
    wrong = SimpleNamespace(attributes=NEW, status=SimpleNamespace(is_ok=False))
    right = SimpleNamespace(attributes=NEW, status=SimpleNamespace(is_ok=True))
    assert plain.opentelemetry_span(failed) == {**FIELDS, "outcome": "failed"}
    assert plain.opentelemetry_span(wrong) == {**FIELDS, "outcome": "failed"}
    assert plain.opentelemetry_span(right) == FIELDS


def test_caches_beside_the_input_are_an_error_unless_the_caller_says_that_they_are() -> None:
    beside = {**NEW, "gen_ai.usage.input_tokens": 100}
    with pytest.raises(InvalidRequest, match="tokens_input"):
        plain.opentelemetry_span(beside)
    assert plain.opentelemetry_span(beside, exclusive=True) == {
        **FIELDS,
        "tokens_input": 100,
        "token_counting": "exclusive",
    }
