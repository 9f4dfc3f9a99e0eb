"""Replies that came through LiteLLM as fields of `track`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.support.real_reply import plain
from tests.support.sdks import sdk, unwarned

Json = dict[str, Any]


def payload(
    reply: Any, model: str, provider: str, call: str = "completion", **given: object
) -> Any:
    """What LiteLLM logs of a reply, made by LiteLLM itself."""
    logging = sdk("litellm.litellm_core_utils.litellm_logging")
    now = datetime.now(UTC)
    log = logging.Logging(
        model=model,
        messages=[],
        stream=False,
        call_type=call,
        start_time=now,
        litellm_call_id="1",
        function_id="1",
    )
    about = {"model": model, "custom_llm_provider": provider, "call_type": call}
    with unwarned():
        found = logging.get_standard_logging_object_payload(
            kwargs={**about, "litellm_params": {"metadata": {}}, "optional_params": given},
            init_response_obj=reply,
            start_time=now,
            end_time=now,
            logging_obj=log,
            status="success",
        )
    assert found is not None
    return found


def completion(model: str, **usage: object) -> Any:
    litellm = sdk("litellm")
    with unwarned():
        return litellm.ModelResponse(model=model, choices=[], usage=litellm.Usage(**usage))


def test_the_payload_of_an_anthropic_call_has_the_caches_inside() -> None:
    usage = {
        "prompt_tokens": 28_000,
        "completion_tokens": 2_000,
        "cache_read_input_tokens": 17_000,
        "cache_creation_input_tokens": 10_000,
        "prompt_tokens_details": {
            "cached_tokens": 17_000,
            "cache_creation_tokens": 10_000,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": 8_000},
        },
        "server_tool_use": {"web_search_requests": 3},
    }
    reply = completion("claude-sonnet-4-5", **usage)
    assert plain.litellm_payload(payload(reply, "claude-sonnet-4-5", "anthropic")) == {
        "provider": "anthropic",
        "model_used": "claude-sonnet-4-5",
        "tokens_input": 28_000,
        "tokens_output": 2_000,
        "tokens_cache_read": 17_000,
        "tokens_cache_write": 10_000,
        "token_counting": "inclusive",
        "token_parts": {"cache_write_long": 8_000},
        "units": {"web_searches": 3},
        "outcome": "ok",
    }


def test_the_payload_of_a_gemini_call_has_modalities_and_one_search_for_its_prompt() -> None:
    usage = {
        "prompt_tokens": 10_000,
        "completion_tokens": 500,
        "reasoning_tokens": 100,
        "prompt_tokens_details": {
            "audio_tokens": 9_000,
            "text_tokens": 1_000,
            "cached_tokens": 4_000,
            "cached_tokens_details": {"audio_tokens": 4_000},
            "web_search_requests": 2,
        },
    }
    details = sdk("litellm.types.utils").PromptTokensDetailsWrapper
    usage["prompt_tokens_details"] = details(**usage["prompt_tokens_details"])  # type: ignore[arg-type]
    reply = completion("gemini-2.5-flash", **usage)
    fields = plain.litellm_payload(payload(reply, "gemini-2.5-flash", "gemini"))
    assert fields["token_parts"] == {"input_audio": 5_000, "cache_read_audio": 4_000}
    assert fields["tokens_reasoning"] == 100
    assert fields["units"] == {"web_searches": 1}
    reply = completion("gemini-3-pro", **usage)
    fields = plain.litellm_payload(payload(reply, "gemini-3-pro", "gemini"))
    assert fields["units"] == {"web_searches": 2}


def test_the_tier_of_a_payload_is_that_of_the_reply_else_that_of_the_request() -> None:
    reply = completion("gpt-5", prompt_tokens=1, completion_tokens=1)
    asked = payload(reply, "gpt-5", "openai", service_tier="flex")
    assert plain.litellm_payload(asked)["price_variant"] == "flex"
    asked["response"]["service_tier"] = "default"
    assert "price_variant" not in plain.litellm_payload(asked)


def test_images_of_a_payload_are_counted_if_no_tokens_are() -> None:
    types = sdk("litellm.types.utils")
    data = [types.ImageObject(url="https://example.com/1")] * 2
    by_image = types.ImageResponse(created=1, data=data)
    assert plain.litellm_payload(payload(by_image, "dall-e-3", "openai", "image_generation")) == {
        "provider": "openai",
        "model_used": "dall-e-3",
        "image_count": 2,
        "outcome": "ok",
    }
    usage = {
        "input_tokens": 50,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 50},
        "output_tokens": 4_160,
        "total_tokens": 4_210,
    }
    by_tokens = types.ImageResponse(created=1, data=data[:1], usage=usage)
    fields = plain.litellm_payload(payload(by_tokens, "gpt-image-1", "openai", "image_generation"))
    assert fields["token_parts"] == {"output_image": 4_160}
    assert fields["image_count"] == 0


def test_seconds_of_a_payload_are_those_of_its_usage() -> None:
    logged = payload(completion("whisper-1", prompt_tokens=0, completion_tokens=0), "x", "openai")
    logged["metadata"]["usage_object"] = {"type": "duration", "seconds": 12.5}
    fields = plain.litellm_payload(logged)
    assert fields["units"] == {"seconds": Decimal("12.500")}
    assert "tokens_input" not in fields


def test_a_reply_out_of_the_cache_of_litellm_costs_nothing() -> None:
    logged = payload(completion("gpt-5", prompt_tokens=9, completion_tokens=1), "gpt-5", "openai")
    assert "cost" not in plain.litellm_payload(logged)
    assert plain.litellm_payload({**logged, "cache_hit": True})["cost"] == 0


def test_a_payload_without_a_usage_has_its_sums_and_a_failed_one_says_so() -> None:
    logged = payload(completion("gpt-5", prompt_tokens=9, completion_tokens=1), "gpt-5", "openai")
    logged |= {"status": "failure", "response": "redacted-by-litellm"}
    logged["metadata"]["usage_object"] = None
    assert plain.litellm_payload(logged) == {
        "provider": "openai",
        "model_used": "gpt-5",
        "tokens_input": 9,
        "tokens_output": 1,
        "outcome": "failed",
    }
