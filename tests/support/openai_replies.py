"""Replies of openai, with what they cost by LiteLLM's list.

A look into files costs 0.0025 USD, which that list does not have as a price of a model.
"""

from __future__ import annotations

from typing import Any, Final

from messages.client.replies import (
    openai_batch,
    openai_chat,
    openai_embedding,
    openai_images,
    openai_realtime,
    openai_response,
    openai_speech,
    openai_transcription,
    openai_video,
)
from tests.support.real_reply import RealReply
from tests.support.sdks import sdk

Json = dict[str, Any]


def of(module: str, kind: str, data: Json) -> Any:
    """An object of a type of the SDK."""
    return getattr(sdk(f"openai.types{module}"), kind).model_validate(data)


def chat(usage: Json, model: str = "gpt-5", **more: object) -> Any:
    choice = {
        "finish_reason": "stop",
        "index": 0,
        "message": {"role": "assistant", "content": "Yes."},
    }
    data = {"id": "chatcmpl-1", "created": 1, "object": "chat.completion", "choices": [choice]}
    return of(".chat", "ChatCompletion", {**data, "model": model, "usage": usage, **more})


def tokens(prompt: int, completion: int, **more: object) -> Json:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {**counts, "total_tokens": prompt + completion, **more}


def chat_with_all() -> Any:
    inside = {"cached_tokens": 16_000, "audio_tokens": 0, "cache_write_tokens": 0}
    outside = {
        "reasoning_tokens": 1_800,
        "accepted_prediction_tokens": 100,
        "rejected_prediction_tokens": 50,
        "audio_tokens": 0,
    }
    details = {"prompt_tokens_details": inside, "completion_tokens_details": outside}
    return chat(tokens(20_000, 2_650, **details), service_tier="default")


def last_chunk() -> Any:
    usage = tokens(2_000, 136)
    data = {"id": "chatcmpl-1", "created": 1, "object": "chat.completion.chunk", "choices": []}
    return of(".chat", "ChatCompletionChunk", {**data, "model": "gpt-5-2025-08-07", "usage": usage})


def audio_chat() -> Any:
    details = {
        "prompt_tokens_details": {"audio_tokens": 1_000, "text_tokens": 1_300, "cached_tokens": 0},
        "completion_tokens_details": {"audio_tokens": 1_000, "text_tokens": 0},
    }
    return chat(tokens(2_300, 1_000, **details), model="gpt-audio")


def response(usage: Json, output: list[Json], **more: object) -> Json:
    return {
        "id": "resp_1",
        "created_at": 1,
        "model": "gpt-5.6-sol",
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "completed",
        "usage": usage,
        **more,
    }


def response_tokens(given: int, answered: int, reasoning: int, **details: object) -> Json:
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **details},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + answered,
    }


def web_search(number: int, action: Json | None = None) -> Json:
    return {
        "id": f"ws_{number}",
        "type": "web_search_call",
        "status": "completed",
        "action": action or {"type": "search", "query": "weather"},
    }


def file_search() -> Json:
    return {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["a"]}


def response_with_tools() -> Any:
    lives = {"ttl_30m_tokens": 2_000, "ttl_12h_tokens": 3_000}
    usage = response_tokens(
        *(10_000, 1_600, 400),
        cached_tokens=2_500,
        cache_write_tokens=5_000,
        cache_write_tokens_details=lives,
    )
    tools = [*(web_search(number) for number in range(3)), file_search()]
    opened = web_search(3, {"type": "open_page", "url": "https://example.com"})
    return of(".responses", "Response", response(usage, [*tools, opened]))


def long_response_event() -> Any:
    whole = response(response_tokens(300_000, 5_000, 1_000, cached_tokens=100_000), [])
    data = {"type": "response.completed", "sequence_number": 9, "response": whole}
    return of(".responses", "ResponseCompletedEvent", data)


def embedding() -> Any:
    vector = {"embedding": [0.5], "index": 0, "object": "embedding"}
    usage = {"prompt_tokens": 8_000, "total_tokens": 8_000}
    data = {"data": [vector], "model": "text-embedding-3-large", "object": "list", "usage": usage}
    return of("", "CreateEmbeddingResponse", data)


def edited_image() -> Any:
    usage = {
        "input_tokens": 550,
        "input_tokens_details": {"image_tokens": 500, "text_tokens": 50},
        "output_tokens": 4_160,
        "total_tokens": 4_710,
    }
    data = {"created": 1, "data": [{"b64_json": "AA=="}], "quality": "high", "usage": usage}
    return of("", "ImagesResponse", data)


def transcription() -> Any:
    usage = {
        "type": "tokens",
        "input_tokens": 2_000,
        "input_token_details": {"audio_tokens": 2_000, "text_tokens": 0},
        "output_tokens": 100,
        "total_tokens": 2_100,
    }
    return of(".audio", "Transcription", {"text": "Hello.", "usage": usage})


def timed_transcription() -> Any:
    usage = {"type": "duration", "seconds": 600.0}
    return of(".audio", "Transcription", {"text": "Hello.", "usage": usage})


def video() -> Any:
    data = {
        "id": "video_1",
        "created_at": 1,
        "model": "sora-2-pro",
        "object": "video",
        "progress": 100,
        "seconds": "12",
        "size": "1792x1024",
        "status": "completed",
    }
    return of("", "Video", data)


def realtime() -> Any:
    cached = {"text_tokens": 200, "audio_tokens": 300, "image_tokens": 500}
    inside = {
        "text_tokens": 200,
        "audio_tokens": 1_450,
        "image_tokens": 650,
        "cached_tokens": 1_000,
        "cached_tokens_details": cached,
    }
    usage = {
        "input_tokens": 2_300,
        "input_token_details": inside,
        "output_tokens": 1_200,
        "output_token_details": {"text_tokens": 200, "audio_tokens": 1_000},
        "total_tokens": 3_500,
    }
    whole = {"id": "resp_1", "object": "realtime.response", "status": "completed", "usage": usage}
    data = {"type": "response.done", "event_id": "event_1", "response": whole}
    return of(".realtime", "ResponseDoneEvent", data)


def batch() -> Any:
    usage = {
        "input_tokens": 1_000_000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 200_000,
        "output_tokens_details": {"reasoning_tokens": 120_000},
        "total_tokens": 1_200_000,
    }
    data = {
        "id": "batch_1",
        "completion_window": "24h",
        "created_at": 1,
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "object": "batch",
        "status": "completed",
        "usage": usage,
    }
    return of("", "Batch", data)


def _reply(name: str, build: Any, made_by: Any, usd: str, **given: object) -> RealReply:
    return RealReply(name, "openai", build, made_by, usd, given)


REPLIES: Final = (
    _reply("chat: cached, reasoning, prediction", chat_with_all, openai_chat, "0.033500"),
    _reply(
        "chat: flex",
        lambda: chat(tokens(10_000, 3_000), service_tier="flex"),
        openai_chat,
        "0.021250",
    ),
    _reply(
        "chat: priority",
        lambda: chat(tokens(10_000, 3_000), service_tier="priority"),
        openai_chat,
        "0.085000",
    ),
    _reply("chat: last chunk of a stream", last_chunk, openai_chat, "0.003860"),
    _reply("chat: audio in and out", audio_chat, openai_chat, "0.099250"),
    _reply("response: 12 h writes, searches", response_with_tools, openai_response, "0.115500"),
    _reply("response: stream, over 272k", long_response_event, openai_response, "1.830000"),
    _reply("embedding", embedding, openai_embedding, "0.001040"),
    _reply("images: edit", edited_image, openai_images, "0.171650", model="gpt-image-1"),
    _reply(
        "transcription: tokens",
        transcription,
        openai_transcription,
        "0.006000",
        model="gpt-4o-transcribe",
    ),
    _reply(
        "transcription: duration",
        timed_transcription,
        openai_transcription,
        "0.060000",
        model="whisper-1",
    ),
    _reply(
        "speech: characters",
        lambda: None,
        openai_speech,
        "0.045000",
        model="tts-1",
        text="three " * 500,
    ),
    _reply("video", video, openai_video, "6.000000", model="sora-2-pro-high-res"),
    _reply("realtime", realtime, openai_realtime, "0.105200", model="gpt-realtime"),
    _reply("batch", batch, openai_batch, "1.625000", model="gpt-5"),
)
