"""Replies that came through LangChain as fields of `track`."""

from __future__ import annotations

from typing import Any

import pytest

from messages.errors import InvalidRequest
from tests.support.real_reply import plain
from tests.support.sdks import sdk

Json = dict[str, Any]


def message(counts: Json | None, **metadata: object) -> Any:
    kind = sdk("langchain_core.messages").AIMessage
    return kind(content="Yes.", usage_metadata=counts, response_metadata=metadata)


def usage_of(given: int, answered: int, **details: object) -> Json:
    counts = {"input_tokens": given, "output_tokens": answered}
    return {**counts, "total_tokens": given + answered, **details}


def test_the_usage_of_a_langchain_message_has_caches_inside_and_details_that_need_not_sum() -> None:
    usage = usage_of(
        *(350, 240),
        input_token_details={"audio": 10, "cache_creation": 200, "cache_read": 100},
        output_token_details={"audio": 10, "reasoning": 200},
    )
    about = {"model_provider": "openai", "model_name": "gpt-audio", "finish_reason": "stop"}
    assert plain.langchain_message(message(usage, **about)) == {
        "provider": "openai",
        "model_used": "gpt-audio",
        "tokens_input": 350,
        "tokens_output": 240,
        "tokens_cache_read": 100,
        "tokens_cache_write": 200,
        "token_counting": "inclusive",
        "tokens_reasoning": 200,
        "token_parts": {"input_audio": 10, "output_audio": 10},
        "outcome": "ok",
    }


@pytest.mark.parametrize("generic", [0, 10_000], ids=["no sum", "sum beside the parts"])
def test_cache_writes_of_anthropic_by_langchain_are_counted_once(generic: int) -> None:
    lives = {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 8_000}
    details = {"cache_read": 17_000, "cache_creation": generic, **lives}
    own = {"server_tool_use": {"web_search_requests": 3}, "speed": "fast", "service_tier": "batch"}
    about = {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5", "usage": own}
    usage = usage_of(28_000, 2_000, input_token_details=details)
    assert plain.langchain_message(message(usage, **about, stop_reason="end_turn")) == {
        "provider": "anthropic",
        "model_used": "claude-sonnet-4-5",
        "tokens_input": 28_000,
        "tokens_output": 2_000,
        "tokens_cache_read": 17_000,
        "tokens_cache_write": 10_000,
        "token_counting": "inclusive",
        "token_parts": {"cache_write_long": 8_000},
        "units": {"web_searches": 3},
        "price_variant": "batch",
        "price_factors": ["fast"],
        "outcome": "ok",
    }


def test_counts_that_have_a_tier_before_their_names_are_found_and_the_tier_too() -> None:
    usage = usage_of(
        *(100, 50),
        input_token_details={"flex": 60, "flex_cache_read": 40},
        output_token_details={"flex": 20, "flex_reasoning": 30},
    )
    fields = plain.langchain_message(message(usage), provider="openai", model="gpt-5")
    assert fields["tokens_cache_read"] == 40
    assert fields["tokens_reasoning"] == 30
    assert fields["price_variant"] == "flex"


def test_a_sum_of_chunks_and_a_usage_alone_are_mapped_as_a_message() -> None:
    kind = sdk("langchain_core.messages").AIMessageChunk
    chunks = [kind(content="Y", usage_metadata=usage_of(100, 20)), kind(content="es")]
    whole = plain.langchain_message(chunks[0] + chunks[1], provider="mistral", model="m")
    alone = plain.langchain_message(usage_of(100, 20), provider="mistral", model="m")
    assert whole == alone
    assert whole["tokens_input"] == 100


@pytest.mark.parametrize(
    ("said", "provider"),
    [
        *(("google_genai", "gemini"), ("mistralai", "mistral"), ("groq", "groq")),
        *(("google_vertexai", "vertex_ai"), ("bedrock_converse", "bedrock"), ("OpenAI", "openai")),
    ],
)
def test_the_provider_of_langchain_is_an_id_of_a_price_list(said: str, provider: str) -> None:
    assert plain.langchain_message(message(None, model_provider=said)) == {"provider": provider}
    assert (
        plain.langchain_message(message(None, model_provider=said), provider="own")["provider"]
        == "own"
    )


def test_a_message_that_says_no_provider_needs_one() -> None:
    with pytest.raises(InvalidRequest, match="give one") as caught:
        plain.langchain_message(message(usage_of(1, 1)))
    assert caught.value.field == "provider"
