"""Replies of anthropic, with what they cost by LiteLLM's list."""

from __future__ import annotations

from typing import Any, Final

from messages.client.replies import anthropic_message, anthropic_stream
from tests.support.real_reply import RealReply
from tests.support.sdks import sdk

Json = dict[str, Any]


def message(usage: Json, model: str = "claude-sonnet-4-5", **more: object) -> Any:
    return sdk("anthropic.types").Message.model_validate(whole(usage, model, **more))


def whole(usage: Json, model: str = "claude-sonnet-4-5", **more: object) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Yes."}],
        "model": model,
        "stop_reason": "end_turn",
        "usage": usage,
        **more,
    }


def with_all() -> Any:
    return message(
        {
            "input_tokens": 1_000,
            "cache_read_input_tokens": 17_000,
            "cache_creation_input_tokens": 10_000,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 2_000,
                "ephemeral_1h_input_tokens": 8_000,
            },
            "output_tokens": 2_000,
            "output_tokens_details": {"thinking_tokens": 1_500},
            "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2},
            "service_tier": "standard",
            "inference_geo": "not_available",
        }
    )


def stream_start() -> Json:
    usage = {
        "input_tokens": 350,
        "cache_read_input_tokens": 2_510,
        "cache_creation_input_tokens": 1_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 4,
        "service_tier": "standard",
    }
    started = whole(usage, "claude-haiku-4-5-20251001", stop_reason=None)
    return {"type": "message_start", "message": started}


def stream_delta(output: int, stop: str | None = None, **more: object) -> Json:
    usage = {"output_tokens": output, **more}
    return {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}


def stream() -> Any:
    types = sdk("anthropic.types")
    delta = types.RawMessageDeltaEvent.model_validate
    counts = {"input_tokens": 350, "cache_read_input_tokens": 2_510}
    written = {"cache_creation_input_tokens": 1_000}
    return [
        types.RawMessageStartEvent.model_validate(stream_start()),
        delta(stream_delta(120)),
        delta(stream_delta(300, "end_turn", **counts, **written)),
        types.RawMessageStopEvent.model_validate({"type": "message_stop"}),
    ]


def _reply(name: str, build: Any, usd: str, made_by: Any = anthropic_message) -> RealReply:
    return RealReply(name, "anthropic", build, made_by, usd)


def _plain(*counts: int, model: str = "claude-sonnet-4-5", **more: object) -> Any:
    given, answered = counts
    return message({"input_tokens": given, "output_tokens": answered, **more}, model)


REPLIES: Final = (
    _reply("message: 5 m and 1 h writes, thinking, searches", with_all, "0.123600"),
    _reply("message: batch", lambda: _plain(10_000, 2_000, service_tier="batch"), "0.030000"),
    _reply(
        "message: fast, in the us",
        lambda: _plain(10_000, 2_000, model="claude-opus-4-8", speed="fast", inference_geo="us"),
        "0.220000",
    ),
    _reply("stream", stream, "0.003351", anthropic_stream),
    _reply(
        "message: over 100k",
        lambda: _plain(150_000, 2_000, model="claude-haiku-5-5"),
        "0.080000",
    ),
)
