"""Replies that are not what they should be: a clear error, or fields that keep the contract."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from messages.codec import encode_reply
from messages.errors import InvalidRequest
from tests.support.real_replies import REAL_REPLIES
from tests.support.real_reply import as_json, plain

Map = Callable[..., Any]

MAPPINGS: dict[str, Map] = {
    name: getattr(plain, name)
    for name in plain.__all__
    if name not in {"ReplyFields", "anthropic_stream"}
}
for name in ("openai_image_tool", "openai_realtime", "openai_speech", "google_embedding"):
    MAPPINGS[name] = partial(MAPPINGS[name], model="m")
MAPPINGS["google_images"] = partial(plain.google_images, model="m")
MAPPINGS["google_videos"] = partial(plain.google_videos, model="m", seconds=8)
for name in ("langchain_message", "litellm_payload", "opentelemetry_span"):
    MAPPINGS[name] = partial(MAPPINGS[name], provider="p")
MAPPINGS["anthropic_stream"] = lambda event: plain.anthropic_stream([event])
each_mapping = pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)


def deep() -> list[Any]:
    """A list in a list, a hundred thousand times."""
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


def ring() -> dict[str, Any]:
    """An object that has itself in each field."""
    names = ("usage", "response", "message", "choices", "output", "details", "input_tokens")
    found: dict[str, Any] = {}
    return found | dict.fromkeys(names, found)


HOSTILE: tuple[Any, ...] = (
    *(-1, True, 1.5, 12.0, math.nan, math.inf, 10**9 + 1, 10**6_000, Decimal("NaN")),
    *("", "12", "x" * 10_000, "\ud800", "\0", b"\xff", [], {}, [None], ["a"], [{}] * 10_001),
    *(object(), {"type": []}, {"status": {}}, deep(), ring(), lambda: None, MAPPINGS, None),
)


def check(mapping: Map, reply: Any) -> None:
    """A refusal names a field; what is not refused can be sent and keeps the contract."""
    refused: InvalidRequest | None = None
    body = None
    try:
        body = mapping(reply)
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.field
        assert len(str(refused)) < 300
    elif body is not None:
        encode_reply(body)
        check_contract(body)


def check_contract(body: Mapping[str, Any]) -> None:
    """Contract 1.1, sections 2, 4 and 5, of whatever a reply may say."""
    parts = body.get("token_parts", {})
    counts = [count for name, count in body.items() if name.startswith("tokens_")]
    units = body.get("units", {})
    assert all(type(count) is int for count in (*counts, *parts.values()))
    assert all(0 <= count <= 10**9 for count in (*counts, *parts.values()))
    assert all(parts.values())
    read, written = body.get("tokens_cache_read", 0), body.get("tokens_cache_write", 0)
    of = {
        start: sum(parts.get(name, 0) for name in parts if name.startswith(start))
        for start in ("input_", "output_", "cache_read_", "cache_write_")
    }
    whole = body.get("tokens_input", 0)
    if body.get("token_counting") == "exclusive":
        whole += read + written
    assert of["input_"] + read + written <= whole
    assert of["output_"] + body.get("tokens_reasoning", 0) <= body.get("tokens_output", 0)
    assert of["cache_read_"] <= read
    assert of["cache_write_"] <= written
    assert {*units} <= {"seconds", "characters", "web_searches", "file_searches"}
    assert all(amount > 0 for amount in units.values())
    if "seconds" in units:
        assert type(units["seconds"]) is Decimal
        assert units["seconds"].as_tuple().exponent == -3
    texts = (body["provider"], body.get("model_used", ""), body.get("price_variant", ""))
    assert all(len(text) <= 256 for text in (*texts, *body.get("price_factors", ())))
    assert body.get("outcome", "ok") in {"ok", "failed", "cancelled", "unknown"}


def spoiled(value: Any, wrong: Any) -> Iterator[Any]:
    """A JSON value with each of its parts, one after the other, put for another value."""
    yield wrong
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: each} for each in spoiled(part, wrong))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            for each in spoiled(part, wrong):
                yield [*value[:index], each, *value[index + 1 :]]


@pytest.mark.parametrize("wrong", HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
def test_each_part_of_a_reply_may_be_anything(wrong: Any) -> None:
    for reply in REAL_REPLIES:
        whole = as_json(reply.build())
        for each in spoiled(whole, wrong):
            if isinstance(whole, list) and not isinstance(each, list):
                continue  # a stream is an iterable by its type
            check(partial(reply.map, **reply.given), each)


@each_mapping
def test_a_reply_may_be_anything(mapping: Map) -> None:
    for wrong in HOSTILE:
        check(mapping, wrong)


@each_mapping
def test_a_reply_of_another_sdk_is_no_harm(mapping: Map) -> None:
    for reply in REAL_REPLIES:
        whole = as_json(reply.build())
        for each in whole if isinstance(whole, list) else [whole]:
            check(mapping, each)


@each_mapping
def test_a_reply_without_a_usage_gives_no_counts(mapping: Map) -> None:
    body = mapping({})
    assert not body or not {*body} & {"tokens_input", "tokens_output", "token_parts", "units"}


@pytest.mark.parametrize("wrong", [-1, True, 1.0, "12", 10**9 + 1, 10**4_000, [], {}])
def test_the_error_of_a_number_that_cannot_be_one_names_its_place(wrong: Any) -> None:
    details = {"cached_tokens": wrong}
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": details}
    with pytest.raises(InvalidRequest, match="a whole number from 0 to 1,000,000,000") as caught:
        plain.openai_chat({"usage": usage})
    assert caught.value.field == "usage.prompt_tokens_details.cached_tokens"


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 11}}, "tokens_input"),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 11}}, "tokens_input"),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cache_write_tokens": 11}},
            "tokens_input",
        ),
        (
            {"completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}},
            "tokens_output",
        ),
    ],
)
def test_a_part_that_is_more_than_its_whole_is_an_error(usage: Any, field: str) -> None:
    with pytest.raises(InvalidRequest, match="contradicts itself") as caught:
        plain.openai_chat({"usage": usage})
    assert caught.value.field == field


def test_a_sum_of_counts_that_is_too_large_is_an_error() -> None:
    usage = {"prompt_token_count": 10**9, "tool_use_prompt_token_count": 1}
    with pytest.raises(InvalidRequest, match="more than 1,000,000,000") as caught:
        plain.google_content({"usage_metadata": usage})
    assert caught.value.field == "tokens_input"


def test_a_list_is_looked_at_up_to_ten_thousand_entries_and_no_longer() -> None:
    calls = [{"type": "file_search_call"}] * 10_000
    assert plain.openai_response({"output": calls})["units"] == {"file_searches": 10_000}
    with pytest.raises(InvalidRequest, match="at most 10,000 entries") as caught:
        plain.openai_response({"output": [*calls, {}]})
    assert caught.value.field == "output"


@pytest.mark.parametrize("wrong", ["text", 7, 0.5, True, b"", []])
def test_the_error_of_an_object_that_is_none_names_its_place(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="usage must be an object") as caught:
        plain.openai_chat({"usage": wrong})
    assert caught.value.field == "usage"


@pytest.mark.parametrize("seconds", [-1, "x", "", math.nan, math.inf, True, None, 10**10, "1e99"])
def test_seconds_that_are_no_number_are_an_error(seconds: Any) -> None:
    with pytest.raises(InvalidRequest, match="a number of seconds") as caught:
        plain.google_videos({"generated_videos": []}, model="m", seconds=seconds)
    assert caught.value.field == "seconds"


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [(0.0005, "0"), (0.0015, "0.002"), (0.1, "0.1"), (-0.0, "0"), ("8", "8"), (2.5005, "2.5")],
)
def test_seconds_have_three_decimals_half_to_even_of_what_is_written(
    seconds: Any, wanted: str
) -> None:
    usage = {"usage": {"type": "duration", "seconds": seconds}}
    units = plain.openai_transcription(usage, model="m").get("units", {})
    assert units.get("seconds", 0) == Decimal(wanted)


@pytest.mark.parametrize("provider", ["", "Open AI", "x" * 65, "-a", "a/b", None, 7])
def test_a_provider_that_is_no_id_is_an_error(provider: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plain.openai_chat({}, provider=provider)
    assert caught.value.field == "provider"


def test_random_counts_of_modalities_and_caches_keep_the_contract_and_lose_no_token() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(2_000):
        names = ("text", "audio", "image", "video")
        fresh, cached = ({name: draw.randrange(0, 40) for name in names} for _ in range(2))
        written = draw.randrange(0, sum(fresh.values()) + 1)
        whole = sum(fresh.values()) + sum(cached.values())
        known = {name: cached[name] for name in cached if draw.random() < 0.5}
        usage = {
            "input_tokens": whole,
            "input_tokens_details": {
                **{f"{name}_tokens": fresh[name] + cached[name] for name in names},
                "cached_tokens": sum(cached.values()),
                "cache_write_tokens": written,
                "cached_tokens_details": {f"{name}_tokens": known[name] for name in known},
            },
        }
        body = plain.openai_response({"usage": usage})
        check_contract(body)
        parts = body.get("token_parts", {})
        for name in ("audio", "image"):  # none is charged twice, as fresh and as cached
            both = parts.get(f"input_{name}", 0) + parts.get(f"cache_read_{name}", 0)
            assert both <= fresh[name] + cached[name]
            assert parts.get(f"cache_read_{name}", 0) >= known.get(name, 0)
