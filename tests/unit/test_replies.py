"""Real replies of SDKs as fields of `track`: which ones, and that they cost what is right."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from messages.codec import encode_reply
from tests.support.list_price import cost_of
from tests.support.real_replies import REAL_REPLIES
from tests.support.real_reply import RealReply, as_json

OPENAI = {"provider": "openai"}
GPT_5 = {**OPENAI, "model_used": "gpt-5", "outcome": "ok"}
SOL = {**OPENAI, "model_used": "gpt-5.6-sol", "outcome": "ok"}
ANTHROPIC = {"provider": "anthropic", "outcome": "ok"}
SONNET = {**ANTHROPIC, "model_used": "claude-sonnet-4-5"}
GEMINI = {"provider": "gemini", "outcome": "ok", "image_count": 0}
FLASH = {**GEMINI, "model_used": "gemini-2.5-flash"}
PRO = {**GEMINI, "model_used": "gemini-2.5-pro"}
FLASH_IMAGE = {**GEMINI, "model_used": "gemini-2.5-flash-image"}
INCLUSIVE = {"token_counting": "inclusive"}


def tokens(given: int, answered: int) -> dict[str, int]:
    return {"tokens_input": given, "tokens_output": answered}


EXPECTED: dict[tuple[str, str], dict[str, Any]] = {
    ("openai", "chat: cached, reasoning, prediction"): {
        **(GPT_5 | INCLUSIVE | tokens(20_000, 2_650)),
        "tokens_cache_read": 16_000,
        "tokens_reasoning": 1_800,
    },
    ("openai", "chat: flex"): {**GPT_5, **tokens(10_000, 3_000), "price_variant": "flex"},
    ("openai", "chat: priority"): {**GPT_5, **tokens(10_000, 3_000), "price_variant": "priority"},
    ("openai", "chat: last chunk of a stream"): {
        **OPENAI,
        **tokens(2_000, 136),
        "model_used": "gpt-5-2025-08-07",
    },
    ("openai", "chat: audio in and out"): {
        **OPENAI,
        **tokens(2_300, 1_000),
        "model_used": "gpt-audio",
        "outcome": "ok",
        "token_parts": {"input_audio": 1_000, "output_audio": 1_000},
    },
    ("openai", "response: 12 h writes, searches"): {
        **(SOL | INCLUSIVE | tokens(10_000, 1_600)),
        "tokens_cache_read": 2_500,
        "tokens_cache_write": 5_000,
        "tokens_reasoning": 400,
        "token_parts": {"cache_write_long": 3_000},
        "units": {"web_searches": 3, "file_searches": 1},
    },
    ("openai", "response: stream, over 272k"): {
        **(SOL | INCLUSIVE | tokens(300_000, 5_000)),
        "tokens_cache_read": 100_000,
        "tokens_reasoning": 1_000,
    },
    ("openai", "embedding"): {
        **OPENAI,
        "model_used": "text-embedding-3-large",
        "tokens_input": 8_000,
    },
    ("openai", "images: edit"): {
        **OPENAI,
        **tokens(550, 4_160),
        "model_used": "gpt-image-1",
        "token_parts": {"input_image": 500, "output_image": 4_160},
        "image_count": 0,
    },
    ("openai", "transcription: tokens"): {
        **OPENAI,
        **tokens(2_000, 100),
        "model_used": "gpt-4o-transcribe",
        "token_parts": {"input_audio": 2_000},
    },
    ("openai", "transcription: duration"): {
        **OPENAI,
        "model_used": "whisper-1",
        "units": {"seconds": Decimal("600.000")},
    },
    ("openai", "speech: characters"): {
        **OPENAI,
        "model_used": "tts-1",
        "units": {"characters": 3_000},
    },
    ("openai", "video"): {
        **OPENAI,
        "model_used": "sora-2-pro-high-res",
        "units": {"seconds": Decimal("12.000")},
        "outcome": "ok",
    },
    ("openai", "realtime"): {
        **(OPENAI | INCLUSIVE | tokens(2_300, 1_200)),
        "model_used": "gpt-realtime",
        "outcome": "ok",
        "tokens_cache_read": 1_000,
        "token_parts": {
            "input_audio": 1_150,
            "input_image": 150,
            "cache_read_audio": 300,
            "cache_read_image": 500,
            "output_audio": 1_000,
        },
    },
    ("openai", "batch"): {
        **GPT_5,
        **tokens(1_000_000, 200_000),
        "tokens_reasoning": 120_000,
        "price_variant": "batch",
    },
    ("anthropic", "message: 5 m and 1 h writes, thinking, searches"): {
        **SONNET,
        **tokens(1_000, 2_000),
        "tokens_cache_read": 17_000,
        "tokens_cache_write": 10_000,
        "token_counting": "exclusive",
        "tokens_reasoning": 1_500,
        "token_parts": {"cache_write_long": 8_000},
        "units": {"web_searches": 3},
    },
    ("anthropic", "message: batch"): {
        **SONNET,
        **tokens(10_000, 2_000),
        "price_variant": "batch",
    },
    ("anthropic", "message: fast, in the us"): {
        **ANTHROPIC,
        **tokens(10_000, 2_000),
        "model_used": "claude-opus-4-8",
        "price_factors": ["fast", "us"],
    },
    ("anthropic", "stream"): {
        **ANTHROPIC,
        **tokens(350, 300),
        "model_used": "claude-haiku-4-5-20251001",
        "tokens_cache_read": 2_510,
        "tokens_cache_write": 1_000,
        "token_counting": "exclusive",
    },
    ("anthropic", "message: over 100k"): {
        **ANTHROPIC,
        **tokens(150_000, 2_000),
        "model_used": "claude-haiku-5-5",
    },
    ("gemini", "content: thoughts, cached, tool-use prompt"): {
        **(FLASH | INCLUSIVE | tokens(6_000, 8_420)),
        "tokens_cache_read": 2_500,
        "tokens_reasoning": 8_000,
    },
    ("gemini", "content: over 200k"): {**PRO, **tokens(250_000, 1_000)},
    ("gemini", "content: audio"): {
        **FLASH,
        **tokens(10_000, 500),
        "token_parts": {"input_audio": 9_000},
    },
    ("gemini", "content: one image"): {
        **FLASH_IMAGE,
        **tokens(20, 1_300),
        "token_parts": {"output_image": 1_290},
    },
    ("gemini", "content: refusal of an image model"): {**FLASH_IMAGE, **tokens(20, 30)},
    ("gemini", "content: grounded"): {
        **FLASH,
        **tokens(1_000, 300),
        "units": {"web_searches": 1},
    },
    ("gemini", "content: priority"): {
        **PRO,
        **tokens(10_000, 1_000),
        "price_variant": "priority",
    },
    ("gemini", "embedding"): {
        "provider": "gemini",
        "model_used": "gemini-embedding-001",
        "tokens_input": 500,
    },
    ("gemini", "video"): {
        "provider": "gemini",
        "model_used": "veo-3.1-generate-preview",
        "units": {"seconds": Decimal("8.000")},
        "outcome": "ok",
    },
    ("gemini", "images"): {
        "provider": "gemini",
        "model_used": "imagen-3.0-generate-001",
        "image_count": 2,
    },
}
each_reply = pytest.mark.parametrize(
    "reply", REAL_REPLIES, ids=[f"{reply.provider} {reply.name}" for reply in REAL_REPLIES]
)


def test_there_are_thirty_replies_and_none_is_without_its_fields() -> None:
    assert [(reply.provider, reply.name) for reply in REAL_REPLIES] == list(EXPECTED)
    assert len(REAL_REPLIES) == 30


@each_reply
def test_a_reply_becomes_exactly_these_fields(reply: RealReply) -> None:
    assert reply.body() == EXPECTED[reply.provider, reply.name]


@each_reply
def test_the_fields_cost_what_is_right_by_the_rows_of_litellm(reply: RealReply) -> None:
    assert cost_of(reply.body()) == Fraction(reply.usd)


@each_reply
@pytest.mark.parametrize("aliases", [False, True], ids=["names", "aliases"])
def test_a_mapping_of_a_reply_becomes_the_same_fields(reply: RealReply, aliases: bool) -> None:
    assert reply.body_of_json(aliases=aliases) == reply.body()


@each_reply
def test_the_fields_are_sent_as_json_that_holds_the_same_numbers(reply: RealReply) -> None:
    sent = msgspec.json.decode(encode_reply(reply.body()))
    assert sent == msgspec.to_builtins(reply.body(), builtin_types=(Decimal,))


def test_a_reply_as_json_is_made_of_mappings_lists_and_plain_values_alone() -> None:
    def kinds(value: object) -> set[type]:
        if isinstance(value, dict):
            return {dict}.union(*map(kinds, value.values()))
        if isinstance(value, list):
            return {list}.union(*map(kinds, value))
        return {type(value)}

    found = set().union(*(kinds(as_json(reply.build())) for reply in REAL_REPLIES))
    assert found <= {dict, list, str, int, float, bool, type(None)}
