"""Replies of google-genai, with what they cost by LiteLLM's list."""

from __future__ import annotations

from typing import Any, Final

from messages.client.replies import (
    google_content,
    google_embedding,
    google_images,
    google_videos,
)
from tests.support.real_reply import RealReply
from tests.support.sdks import sdk

Json = dict[str, Any]


def of(kind: str, data: Json) -> Any:
    """An object of a type of the SDK."""
    return getattr(sdk("google.genai.types"), kind).model_validate(data)


def content(usage: Json, model: str = "gemini-2.5-flash", **candidate: object) -> Any:
    answer = {"content": {"role": "model", "parts": [{"text": "Yes."}]}, "finish_reason": "STOP"}
    data = {"candidates": [{**answer, **candidate}], "model_version": model}
    return of("GenerateContentResponse", {**data, "usage_metadata": usage})


def counts(prompt: int, candidates: int, **more: object) -> Json:
    return {
        "prompt_token_count": prompt,
        "candidates_token_count": candidates,
        "total_token_count": prompt + candidates,
        **more,
    }


def split(**tokens: int) -> list[Json]:
    return [{"modality": name.upper(), "token_count": count} for name, count in tokens.items()]


def with_all() -> Any:
    usage = counts(
        *(5_000, 420),
        cached_content_token_count=2_500,
        cache_tokens_details=split(text=2_500),
        prompt_tokens_details=split(text=5_000),
        thoughts_token_count=8_000,
        tool_use_prompt_token_count=1_000,
        tool_use_prompt_tokens_details=split(text=1_000),
    )
    return content({**usage, "total_token_count": 14_420})


def with_audio() -> Any:
    return content(counts(10_000, 500, prompt_tokens_details=split(text=1_000, audio=9_000)))


def one_image() -> Any:
    usage = counts(20, 1_300, candidates_tokens_details=split(image=1_290, text=10))
    return content(usage, "gemini-2.5-flash-image")


def refusal() -> Any:
    usage = counts(20, 30, candidates_tokens_details=split(text=30))
    return content(usage, "gemini-2.5-flash-image")


def grounded(model: str = "gemini-2.5-flash") -> Any:
    found = {"web_search_queries": ["weather in Berlin", "Berlin rain"]}
    return content(counts(1_000, 300), model, grounding_metadata=found)


def embedding() -> Any:
    vector = {"values": [0.5], "statistics": {"token_count": 500.0, "truncated": False}}
    return of("EmbedContentResponse", {"embeddings": [vector]})


def video() -> Any:
    made = {"generated_videos": [{"video": {"uri": "gs://bucket/video.mp4"}}]}
    return of("GenerateVideosOperation", {"name": "op", "done": True, "response": made})


def images() -> Any:
    made = {"image": {"image_bytes": b"AA==", "mime_type": "image/png"}}
    return of("GenerateImagesResponse", {"generated_images": [made, made]})


def _reply(
    name: str, build: Any, usd: str, made_by: Any = google_content, **given: object
) -> RealReply:
    return RealReply(name, "gemini", build, made_by, usd, given)


REPLIES: Final = (
    _reply("content: thoughts, cached, tool-use prompt", with_all, "0.022175"),
    _reply(
        "content: over 200k", lambda: content(counts(250_000, 1_000), "gemini-2.5-pro"), "0.640000"
    ),
    _reply("content: audio", with_audio, "0.010550"),
    _reply("content: one image", one_image, "0.038731"),
    _reply("content: refusal of an image model", refusal, "0.000081"),
    _reply("content: grounded", grounded, "0.036050"),
    _reply(
        "content: priority",
        lambda: content(counts(10_000, 1_000, traffic_type="ON_DEMAND_PRIORITY"), "gemini-2.5-pro"),
        "0.040500",
    ),
    _reply("embedding", embedding, "0.000075", google_embedding, model="gemini-embedding-001"),
    _reply("video", video, "3.200000", google_videos, model="veo-3.1-generate-preview", seconds=8),
    _reply("images", images, "0.080000", google_images, model="imagen-3.0-generate-001"),
)
