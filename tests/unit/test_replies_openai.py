"""What is odd about replies of openai, beside what is in the thirty."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support import openai_replies as openai
from tests.support.real_reply import plain


def test_a_chunk_of_a_chat_without_a_usage_gives_no_counts() -> None:
    choice = {"index": 0, "delta": {"content": "Y"}, "finish_reason": None}
    data = {"id": "c", "created": 1, "object": "chat.completion.chunk", "choices": [choice]}
    chunk = openai.of(".chat", "ChatCompletionChunk", {**data, "model": "gpt-5"})
    assert plain.openai_chat(chunk) == {"provider": "openai", "model_used": "gpt-5"}


def test_the_model_that_answered_goes_before_the_one_that_was_asked_for() -> None:
    reply = openai.chat(openai.tokens(1, 1), model="gpt-4o-2024-08-06")
    assert plain.openai_chat(reply, model="gpt-4o")["model_used"] == "gpt-4o-2024-08-06"
    assert plain.openai_batch(openai.batch(), model="gpt-5")["model_used"] == "gpt-5"


@pytest.mark.parametrize(
    ("tier", "variant"),
    [
        *(("auto", None), ("default", None), ("scale", None), (None, None)),
        *(("flex", "flex"), ("priority", "priority"), ("fast", "priority")),
    ],
)
def test_a_tier_of_openai_is_a_variant_if_it_has_a_price_of_its_own(
    tier: str | None, variant: str | None
) -> None:
    reply = openai.chat(openai.tokens(1, 1), service_tier=tier)
    assert plain.openai_chat(reply).get("price_variant") == variant
    assert plain.openai_chat(reply, price_variant="batch")["price_variant"] == "batch"


def test_a_chat_that_cites_the_web_is_one_search() -> None:
    cited = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1}}
    cited["url_citation"] |= {"title": "a", "url": "https://example.com"}  # type: ignore[operator]
    message = {"role": "assistant", "content": "Yes.", "annotations": [cited, cited]}
    choice = {"finish_reason": "stop", "index": 0, "message": message}
    reply = openai.chat(openai.tokens(1, 1), "gpt-4o-search-preview", choices=[choice])
    assert plain.openai_chat(reply)["units"] == {"web_searches": 1}


def test_cached_tokens_of_unknown_modality_are_text_as_far_as_there_is_text() -> None:
    inside = {"audio_tokens": 900, "cached_tokens": 500}
    fields = plain.openai_chat(openai.chat(openai.tokens(1_000, 0, prompt_tokens_details=inside)))
    assert fields["token_parts"] == {"input_audio": 500, "cache_read_audio": 400}
    inside = {"audio_tokens": 400, "cached_tokens": 500, "cache_write_tokens": 100}
    fields = plain.openai_chat(openai.chat(openai.tokens(1_000, 0, prompt_tokens_details=inside)))
    assert fields["token_parts"] == {"input_audio": 400}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *(("completed", "ok"), ("incomplete", "ok"), ("failed", "failed")),
        *(("cancelled", "cancelled"), ("in_progress", "unknown"), ("queued", "unknown")),
    ],
)
def test_the_status_of_a_response_is_the_outcome_of_the_call(status: str, outcome: str) -> None:
    data = openai.response(openai.response_tokens(10, 5, 0), [], status=status)
    assert plain.openai_response(openai.of(".responses", "Response", data))["outcome"] == outcome


def test_the_count_of_billable_searches_of_a_response_goes_before_its_items() -> None:
    used = {
        "image_gen": {
            "input_tokens": 0,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
            "output_tokens": 0,
            "total_tokens": 0,
        },
        "web_search": {"num_requests": 1},
    }
    items = [openai.web_search(number) for number in range(3)]
    data = openai.response(openai.response_tokens(10, 5, 0), items, tool_usage=used)
    reply = openai.of(".responses", "Response", data)
    assert plain.openai_response(reply)["units"] == {"web_searches": 1}
    assert plain.openai_image_tool(reply, model="gpt-image-1") is None


def test_a_search_that_failed_is_not_counted() -> None:
    failed = {**openai.web_search(1), "status": "failed"}
    data = openai.response(openai.response_tokens(10, 5, 0), [failed, openai.web_search(2)])
    reply = openai.of(".responses", "Response", data)
    assert plain.openai_response(reply)["units"] == {"web_searches": 1}


def test_images_that_a_tool_made_are_a_call_of_the_image_model() -> None:
    made = {
        "input_tokens": 600,
        "input_tokens_details": {"image_tokens": 500, "text_tokens": 100},
        "output_tokens": 1_100,
        "output_tokens_details": {"image_tokens": 1_000, "text_tokens": 100},
        "cached_tokens": 300,
        "cached_tokens_details": {"cached_image_tokens": 250, "cached_text_tokens": 50},
        "total_tokens": 1_700,
    }
    used = {"image_gen": made, "web_search": {"num_requests": 0}}
    data = openai.response(openai.response_tokens(10, 5, 0), [], tool_usage=used)
    assert plain.openai_image_tool(data, model="gpt-image-1") == {
        "provider": "openai",
        "model_used": "gpt-image-1",
        "tokens_input": 600,
        "tokens_output": 1_100,
        "tokens_cache_read": 300,
        "token_counting": "inclusive",
        "token_parts": {"input_image": 250, "cache_read_image": 250, "output_image": 1_000},
        "image_count": 0,
    }


def test_images_without_a_usage_are_counted() -> None:
    data = {"created": 1, "data": [{"url": "https://example.com/1"}, {"url": "https://e.com/2"}]}
    reply = openai.of("", "ImagesResponse", data)
    assert plain.openai_images(reply, model="dall-e-3") == {
        "provider": "openai",
        "model_used": "dall-e-3",
        "image_count": 2,
    }


def test_the_words_of_an_image_model_are_no_images() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
        "output_tokens": 300,
        "output_tokens_details": {"image_tokens": 272, "text_tokens": 28},
        "total_tokens": 310,
    }
    data = {"created": 1, "data": [{"b64_json": "AA=="}], "usage": usage}
    fields = plain.openai_images(openai.of("", "ImagesResponse", data), model="gpt-image-1")
    assert fields["token_parts"] == {"output_image": 272}
    assert fields["image_count"] == 0


def test_the_event_of_a_finished_image_is_mapped_as_its_reply() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
        "output_tokens": 272,
        "total_tokens": 282,
    }
    data = {"type": "image_generation.completed", "b64_json": "AA==", "usage": usage}
    made = {"background": "auto", "created_at": 1, "output_format": "png"}
    event = openai.of("", "ImageGenCompletedEvent", {**data, **made, "quality": "low", "size": "a"})
    fields = plain.openai_images(event, model="gpt-image-1")
    assert fields["token_parts"] == {"output_image": 272}
    assert fields["image_count"] == 0


def test_a_transcription_by_duration_has_no_tokens_and_one_by_tokens_no_duration() -> None:
    by_time = plain.openai_transcription(openai.timed_transcription(), model="whisper-1", seconds=5)
    by_tokens = plain.openai_transcription(
        openai.transcription(), model="gpt-4o-transcribe", seconds=5
    )
    assert by_time["units"] == {"seconds": Decimal(600)}
    assert "tokens_input" not in by_time
    assert "units" not in by_tokens


def test_a_transcription_without_a_usage_has_the_seconds_that_are_given() -> None:
    short = openai.of(".audio", "Transcription", {"text": "Hello."})
    fields = plain.openai_transcription(short, model="whisper-1", seconds="12.3456")
    assert fields["units"] == {"seconds": Decimal("12.346")}
    assert "units" not in plain.openai_transcription(short, model="whisper-1")
    verbose = openai.of(
        ".audio", "TranscriptionVerbose", {"text": "", "language": "en", "duration": 8.47}
    )
    fields = plain.openai_transcription(verbose, model="whisper-1")
    assert fields["units"] == {"seconds": Decimal("8.470")}


def test_the_transcription_within_a_realtime_session_is_a_call_of_its_own() -> None:
    data = {
        "type": "conversation.item.input_audio_transcription.completed",
        "content_index": 0,
        "event_id": "e",
        "item_id": "i",
        "transcript": "Hello.",
        "usage": {"type": "duration", "seconds": 1.5},
    }
    kind = "ConversationItemInputAudioTranscriptionCompletedEvent"
    fields = plain.openai_transcription(openai.of(".realtime", kind, data), model="whisper-1")
    assert fields["units"] == {"seconds": Decimal("1.500")}


def test_speech_is_counted_in_code_points_and_its_stream_in_tokens() -> None:
    fields = plain.openai_speech(model="tts-1", text="na\u00efve \U0001f600")
    assert fields["units"] == {"characters": 7}
    usage = {"input_tokens": 20, "output_tokens": 300, "total_tokens": 320}
    event = {"type": "speech.audio.done", "usage": usage}
    fields = plain.openai_speech(event, model="gpt-4o-mini-tts", text="Hello.")
    assert fields["token_parts"] == {"output_audio": 300}
    assert "units" not in fields


@pytest.mark.parametrize(
    ("status", "outcome"), [("failed", "failed"), ("in_progress", "unknown"), ("queued", "unknown")]
)
def test_a_video_that_is_not_there_costs_nothing(status: str, outcome: str) -> None:
    reply = openai.video().model_copy(update={"status": status})
    assert plain.openai_video(reply) == {
        "provider": "openai",
        "model_used": "sora-2-pro",
        "outcome": outcome,
    }


def test_a_realtime_response_that_was_interrupted_is_cancelled_and_counted() -> None:
    done = openai.realtime()
    done.response.status = "cancelled"
    fields = plain.openai_realtime(done, model="gpt-realtime")
    assert fields["outcome"] == "cancelled"
    assert fields["tokens_input"] == 2_300
    assert fields == plain.openai_realtime(done.response, model="gpt-realtime")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("validating", "unknown"), ("expired", "failed"), ("cancelling", "cancelled")],
)
def test_a_batch_says_how_it_ended(status: str, outcome: str) -> None:
    reply = openai.batch().model_copy(update={"status": status})
    assert plain.openai_batch(reply)["outcome"] == outcome


def test_a_compatible_service_has_the_provider_that_is_given() -> None:
    reply = openai.chat(openai.tokens(1, 1), model="grok-4")
    assert plain.openai_chat(reply, provider="xai")["provider"] == "xai"
    assert plain.openai_embedding(openai.embedding(), provider="azure")["provider"] == "azure"
