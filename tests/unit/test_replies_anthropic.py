"""What is odd about replies of anthropic, beside what is in the thirty."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import anthropic_replies as claude
from tests.support.real_reply import plain
from tests.support.sdks import sdk


def test_the_counts_of_a_stream_are_the_last_and_no_sum() -> None:
    fields = plain.anthropic_stream(claude.stream())
    assert fields["tokens_output"] == 300
    assert fields["tokens_input"] == 350


def test_a_delta_that_says_only_the_output_leaves_the_rest_as_it_began() -> None:
    fields = plain.anthropic_stream([claude.stream_start(), claude.stream_delta(300, "end_turn")])
    assert fields == plain.anthropic_stream(claude.stream())


def test_searches_and_input_of_a_stream_are_those_of_its_last_delta() -> None:
    last = claude.stream_delta(
        *(300, "end_turn"),
        input_tokens=5_000,
        server_tool_use={"web_search_requests": 2, "web_fetch_requests": 0},
    )
    fields = plain.anthropic_stream([claude.stream_start(), claude.stream_delta(120), last])
    assert fields["tokens_input"] == 5_000
    assert fields["units"] == {"web_searches": 2}


@pytest.mark.parametrize("zero_at", ["start", "end"])
def test_a_stream_that_says_its_input_at_one_end_only_has_it(zero_at: str) -> None:
    start = claude.stream_start()
    last = claude.stream_delta(300, "end_turn", input_tokens=0 if zero_at == "end" else 350)
    start["message"]["usage"]["input_tokens"] = 350 if zero_at == "end" else 0
    assert plain.anthropic_stream([start, last])["tokens_input"] == 350


def test_the_long_cache_writes_of_a_stream_are_those_of_its_start() -> None:
    start = claude.stream_start()
    lives = {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}
    start["message"]["usage"]["cache_creation"] = lives
    last = claude.stream_delta(300, cache_creation_input_tokens=1_000)
    assert plain.anthropic_stream([start, last])["token_parts"] == {"cache_write_long": 600}


def test_a_stream_that_broke_off_is_what_was_said_and_has_no_outcome() -> None:
    fields = plain.anthropic_stream([claude.stream_start()])
    assert fields["tokens_output"] == 4
    assert "outcome" not in fields
    assert plain.anthropic_stream([], model="claude-opus-4-8") == {
        "provider": "anthropic",
        "model_used": "claude-opus-4-8",
    }


def test_a_tier_of_anthropic_that_the_list_does_not_know_is_kept_to_be_seen() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": "priority"}
    assert plain.anthropic_message(claude.message(usage))["price_variant"] == "priority"
    for place in ("global", "not_available"):
        usage = {"input_tokens": 1, "output_tokens": 1, "speed": "standard"}
        fields = plain.anthropic_message(claude.message({**usage, "inference_geo": place}))
        assert "price_factors" not in fields


def test_a_message_whose_input_was_all_cached_has_its_own_numbers() -> None:
    usage = {"input_tokens": 0, "output_tokens": 1, "cache_read_input_tokens": 5_000}
    fields = plain.anthropic_message(claude.message(usage))
    assert fields["tokens_input"] == 0
    assert fields["tokens_cache_read"] == 5_000
    assert fields["token_counting"] == "exclusive"


def test_tokens_of_a_compaction_are_added_and_those_of_iterations_are_not() -> None:
    once = {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_read_input_tokens": 7,
        "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
    }
    iterations = [{**once, "type": "message"}, {**once, "type": "compaction"}]
    usage = {**once, "iterations": iterations}
    message = sdk("anthropic.types.beta").BetaMessage.model_validate(claude.whole(usage))
    assert plain.anthropic_message(message) == {
        "provider": "anthropic",
        "model_used": "claude-sonnet-4-5",
        "outcome": "ok",
        "tokens_input": 200,
        "tokens_output": 20,
        "tokens_cache_read": 14,
        "tokens_cache_write": 10,
        "token_counting": "exclusive",
        "token_parts": {"cache_write_long": 6},
    }


@pytest.mark.parametrize(
    ("result", "outcome"),
    [("canceled", "cancelled"), ("errored", "failed"), ("expired", "failed")],
)
def test_a_line_of_a_batch_without_a_message_says_how_it_ended(result: str, outcome: str) -> None:
    data: dict[str, Any] = {"custom_id": "1", "result": {"type": result}}
    if result == "errored":
        error = {"type": "error", "error": {"type": "api_error", "message": "no"}}
        data["result"]["error"] = error
    types = sdk("anthropic.types.messages")
    line = types.MessageBatchIndividualResponse.model_validate(data)
    assert plain.anthropic_batch_result(line, model="claude-opus-4-8") == {
        "provider": "anthropic",
        "model_used": "claude-opus-4-8",
        "price_variant": "batch",
        "outcome": outcome,
    }


def test_the_message_of_a_line_of_a_batch_is_mapped_in_the_variant_batch() -> None:
    message = claude.whole({"input_tokens": 10_000, "output_tokens": 2_000})
    line = {"custom_id": "1", "result": {"type": "succeeded", "message": message}}
    assert plain.anthropic_batch_result(line) == {
        **plain.anthropic_message(message),
        "price_variant": "batch",
    }
