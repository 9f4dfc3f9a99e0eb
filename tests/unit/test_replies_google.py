"""What is odd about replies of google-genai, beside what is in the thirty."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support import google_replies as google
from tests.support.real_reply import plain


def test_cached_tokens_are_taken_off_their_modality() -> None:
    usage = google.counts(
        *(10_000, 0),
        cached_content_token_count=4_000,
        cache_tokens_details=google.split(audio=3_500, text=500),
        prompt_tokens_details=google.split(audio=9_000, text=700, document=300),
    )
    fields = plain.google_content(google.content(usage))
    assert fields["token_parts"] == {"input_audio": 5_500, "cache_read_audio": 3_500}


def test_modalities_of_a_prompt_and_of_what_tools_gave_back_are_added() -> None:
    usage = google.counts(
        *(100, 0),
        prompt_tokens_details=google.split(text=40, image=60),
        tool_use_prompt_token_count=50,
        tool_use_prompt_tokens_details=google.split(image=30, video=20),
    )
    fields = plain.google_content(google.content(usage))
    assert fields["tokens_input"] == 150
    assert fields["token_parts"] == {"input_video": 20, "input_image": 90}


def test_the_counts_of_an_answer_come_to_the_total_of_the_sdk() -> None:
    usage = google.with_all().usage_metadata
    fields = plain.google_content(google.with_all())
    counted = (fields["tokens_input"] or 0) + (fields["tokens_output"] or 0)
    assert counted == usage.total_token_count


@pytest.mark.parametrize(
    ("model", "searches"),
    [
        *(("gemini-2.5-flash", 1), ("gemini-2.0-flash-001", 1), ("models/gemini-1.5-pro", 1)),
        *(("gemini-3-pro-preview", 2), ("gemini-3.8-flash", 2), ("gemini-20-pro", 2)),
    ],
)
def test_grounding_is_billed_by_prompt_before_gemini_3_and_then_by_query(
    model: str, searches: int
) -> None:
    assert plain.google_content(google.grounded(model))["units"] == {"web_searches": searches}


@pytest.mark.parametrize(
    ("traffic", "variant"),
    [
        *(("ON_DEMAND", None), ("TRAFFIC_TYPE_UNSPECIFIED", None)),
        *(("ON_DEMAND_FLEX", "flex"), ("ON_DEMAND_OFFPEAK", "offpeak")),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
    ],
)
def test_a_type_of_traffic_is_a_variant_if_it_has_a_price_of_its_own(
    traffic: str, variant: str | None
) -> None:
    reply = google.content(google.counts(1, 1, traffic_type=traffic))
    assert plain.google_content(reply).get("price_variant") == variant


@pytest.mark.parametrize(("tier", "variant"), [("priority", "priority"), ("standard", None)])
def test_the_tier_in_the_header_of_an_answer_is_a_variant(tier: str, variant: str | None) -> None:
    reply = google.content(google.counts(1, 1))
    headers = {"headers": {"x-gemini-service-tier": tier}}
    reply.sdk_http_response = google.of("HttpResponse", headers)
    assert plain.google_content(reply).get("price_variant") == variant


def test_a_prompt_that_was_blocked_is_an_answer_and_has_its_tokens() -> None:
    data = {"prompt_feedback": {"block_reason": "SAFETY"}, "model_version": "gemini-2.5-flash"}
    usage = {"prompt_token_count": 20, "total_token_count": 20}
    reply = google.of("GenerateContentResponse", {**data, "usage_metadata": usage})
    assert plain.google_content(reply) == {
        "provider": "gemini",
        "model_used": "gemini-2.5-flash",
        "tokens_input": 20,
        "image_count": 0,
        "outcome": "ok",
    }


def test_a_message_of_the_live_api_is_mapped_with_its_session_s_model() -> None:
    usage = {
        "prompt_token_count": 100,
        "response_token_count": 40,
        "response_tokens_details": google.split(audio=40),
        "prompt_tokens_details": google.split(audio=100),
    }
    reply = google.of("LiveServerMessage", {"usage_metadata": usage})
    fields = plain.google_content(reply, model="gemini-2.5-flash-native-audio")
    assert fields["token_parts"] == {"input_audio": 100, "output_audio": 40}
    assert fields["model_used"] == "gemini-2.5-flash-native-audio"


def test_an_embedding_has_characters_if_it_has_no_tokens_and_never_both() -> None:
    by_characters = {"embeddings": [{}], "metadata": {"billable_character_count": 120}}
    reply = google.of("EmbedContentResponse", by_characters)
    assert plain.google_embedding(reply, model="text-embedding-005")["units"] == {"characters": 120}
    both = {**by_characters, "embeddings": [{"statistics": {"token_count": 30.0}}]}
    fields = plain.google_embedding(
        google.of("EmbedContentResponse", both), model="text-embedding-005"
    )
    assert "units" not in fields
    assert fields["tokens_input"] == 30


def test_images_that_were_filtered_out_are_not_counted() -> None:
    reply = google.images()
    reply.generated_images[0].image = None
    assert plain.google_images(reply, model="imagen-3.0-generate-001")["image_count"] == 1


def test_the_seconds_of_videos_are_those_of_each_that_was_made() -> None:
    reply = google.video()
    reply.response.generated_videos *= 2
    for each in (reply, reply.response):
        fields = plain.google_videos(each, model="veo-3.1-generate-preview", seconds=8)
        assert fields["units"] == {"seconds": Decimal(16)}


def test_an_operation_that_is_not_done_or_failed_made_no_video() -> None:
    waiting = google.of("GenerateVideosOperation", {"name": "op"})
    veo = {"provider": "gemini", "model_used": "veo-3.1-generate-preview"}
    assert plain.google_videos(waiting, model=veo["model_used"], seconds=8) == veo
    failed = google.of("GenerateVideosOperation", {"name": "op", "error": {"code": 3}})
    assert plain.google_videos(failed, model=veo["model_used"], seconds=8) == {
        **veo,
        "outcome": "failed",
    }
