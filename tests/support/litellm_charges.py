"""What litellm itself charges for a call, by its own functions over its own list.

A call is drawn for an entry of its list with every dimension that the entry prices, and with some
that it does not; `charged` asks litellm, and the `Usage` beside it is the same call in our words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from tests.support.pricing_twin import Usage
from tests.support.sdks import sdk

_LIST = "model_prices_and_context_window_backup.json"
_SIZES = (0, 1, 7, 900, 12_345, 99_999, 100_000, 100_001, 130_000, 200_000, 200_001, 272_000)
_SIZED = re.compile(
    r"(?:[a-z_]+/)??(?:(?P<quality>low|medium|high|hd|standard)/)?(?P<size>\d+-x-\d+)/(?P<model>[^/]+)"
)
_TIERS = ("flex", "priority", "ultrafast", "balanced")
_RESIDENCIES = ("us", "eu", "fedramp")


@dataclass(frozen=True)
class Case:
    """A call of an entry, as litellm would see it and as we do."""

    listed: str
    entry: Mapping[str, Any]
    asked: str
    usage: Usage
    said: Mapping[str, Any] = field(default_factory=dict)


def provider_of(entry: Mapping[str, Any]) -> str:
    """The provider that litellm is called with."""
    named = str(entry["litellm_provider"])
    for family in ("vertex_ai", "fireworks_ai"):
        if named.startswith(f"{family}-"):
            return family
    return {"bedrock_converse": "bedrock"}.get(named, named)


def drawn(  # noqa: PLR0911 -- a mode each
    rng: Random, provider: str, model: str, listed: str, entry: Mapping[str, Any]
) -> Case:
    """A call of a model, with what its mode is about."""
    mode = entry.get("mode")
    seconds = Decimal(rng.randrange(1, 7_200_000)) / 1_000
    if mode == "search":
        count = rng.choice([1, 2, 40])
        return Case(listed, entry, "search", Usage(provider, model, search_count=count))
    if mode == "rerank":
        count = rng.choice([1, 3])
        return Case(listed, entry, "rerank", Usage(provider, model, search_count=count))
    if mode == "ocr":
        pages, annotated = rng.choice([1, 30]), rng.choice([0, 7])
        usage = Usage(
            provider,
            model,
            page_count=pages,
            units={"annotated_pages": annotated},
            price_variant=rng.choice(["", "batch"]),
        )
        return Case(listed, entry, "ocr", usage)
    if mode == "video_generation":
        return Case(listed, entry, "video", Usage(provider, model, units={"seconds": seconds}))
    if mode == "audio_transcription" and not entry.get("input_cost_per_token"):
        usage = Usage(provider, model, units={"seconds": seconds})
        return Case(listed, entry, "transcription", usage)
    if mode == "audio_speech" and entry.get("input_cost_per_character") is not None:
        usage = Usage(provider, model, units={"characters": rng.choice([1, 1_000, 40_001])})
        return Case(listed, entry, "speech", usage)
    if mode == "audio_speech" and "output_cost_per_image" in entry:
        return Case(listed, entry, "speech", Usage(provider, model, image_count=1))
    by_token = any(k in entry for k in ("input_cost_per_token", "output_cost_per_image_token"))
    paid = any(entry.get(f"{way}_cost_per_token") for way in ("input", "output"))
    song = "output_cost_per_image" in entry and not paid
    song = song and "output_cost_per_image_token" not in entry
    if song or (mode in ("image_generation", "image_edit") and not by_token):
        usage = Usage(provider, model, image_count=rng.choice([1, 2, 10]))
        return Case(listed, entry, "image", usage)
    return _tokens(rng, provider, model, listed, entry)


def _tokens(rng: Random, provider: str, model: str, listed: str, entry: Mapping[str, Any]) -> Case:
    asked = "tokens"
    variant = ""
    names = " ".join(entry)
    if rng.random() < 0.4:
        priced = [one for one in _TIERS if f"_{one}" in names]
        variant = rng.choice(priced or ["flex"])
    elif rng.random() < 0.3 and "_batches" in names:
        asked, variant = "batch", "batch"
    bounds = [int(k.split("_above_")[-1].split("k_")[0]) * 1_000 for k in entry if "k_tokens" in k]
    if bounds and rng.random() < 0.5:
        whole = rng.choice(bounds) + rng.choice([-1, 0, 1, 50_000])
    else:
        whole = rng.choice([*_SIZES, rng.randrange(400_000)])
    left = whole
    counts: dict[str, int] = {}

    def part(name: str, chance: float, of: int) -> int:
        counts[name] = rng.randrange(of + 1) if rng.random() < chance else 0
        return counts[name]

    def chance(key: str) -> float:
        return 0.4 if any(key in one for one in entry) else 0.05

    left -= part("read", 0.5, left)
    left -= part("write", 0.3, left)
    counts["long"] = 0
    if counts["write"] and rng.random() < 0.5:
        counts["long"] = rng.randrange(counts["write"] + 1)
    for kind in ("audio", "image", "video"):
        left -= part(f"in_{kind}", chance(f"input_cost_per_{kind}_token"), left)
    part("read_audio", chance("cache_read_input_audio"), counts["read"])
    part("read_image", chance("cache_read_input_image"), counts["read"] - counts["read_audio"])
    out = rng.choice([0, 1, 500, 8_192, rng.randrange(64_000)])
    rest = out - part("reasoning", 0.4, out)
    for kind in ("audio", "image", "video"):
        rest -= part(f"out_{kind}", chance(f"output_cost_per_{kind}_token"), rest)
    searches = rng.choice([1, 3]) if "search_context" in names and rng.random() < 0.4 else 0
    said: dict[str, Any] = {"whole": whole, "out": out, "searches": searches, "variant": variant}
    factors: set[str] = set()
    if rng.random() < 0.3:
        _factors(rng, entry, said, factors)
    return Case(listed, entry, asked, _usage(provider, model, said, counts, factors), said | counts)


def _factors(
    rng: Random, entry: Mapping[str, Any], said: dict[str, Any], factors: set[str]
) -> None:
    if entry["litellm_provider"] == "anthropic":
        if rng.random() < 0.6:
            said["geo"] = "us"
            factors.add("us")
        if rng.random() < 0.6:
            said["speed"] = "fast"
            factors.add("fast")
    elif entry["litellm_provider"] == "openai":
        said["residency"] = rng.choice(_RESIDENCIES)
        factors.add(said["residency"])
    elif provider_of(entry) == "vertex_ai":
        said["location"] = "us-east5"
        factors.add("regional")


def _usage(
    provider: str, model: str, said: Mapping[str, Any], counts: Mapping[str, int], factors: set[str]
) -> Usage:
    parts = {
        "input_audio": counts["in_audio"],
        "input_image": counts["in_image"],
        "input_video": counts["in_video"],
        "output_audio": counts["out_audio"],
        "output_image": counts["out_image"],
        "output_video": counts["out_video"],
        "cache_read_audio": counts["read_audio"],
        "cache_read_image": counts["read_image"],
        "cache_write_long": counts["long"],
    }
    return Usage(
        provider,
        model,
        said["whole"],
        said["out"],
        counts["read"],
        counts["write"],
        counts["reasoning"],
        token_parts={name: count for name, count in parts.items() if count},
        units={"web_searches": said["searches"]},
        price_variant=said["variant"],
        price_factors=frozenset(factors),
    )


def charged(case: Case) -> Fraction:
    """What litellm says, in USD; its floats are as exact as they come."""
    ask = {
        "tokens": _ask_tokens,
        "batch": _ask_tokens,
        "video": _ask_video,
        "image": _ask_image,
        "ocr": _ask_ocr,
    }.get(case.asked, _ask_call)
    return Fraction(ask(case))


def _ask_call(case: Case) -> Any:
    cost_per_token = sdk("litellm.cost_calculator").cost_per_token

    usage = case.usage
    prompt, completion = cost_per_token(
        model=case.listed,
        custom_llm_provider=provider_of(case.entry),
        call_type=case.asked,
        number_of_queries=usage.search_count,
        rerank_billed_units={"search_units": usage.search_count or 0},
        audio_transcription_file_duration=float(usage.units.get("seconds", 0)),
        prompt_characters=int(usage.units.get("characters", 0)),
    )
    return prompt + completion


def _ask_video(case: Case) -> Any:
    default_video_cost_calculator = sdk("litellm.cost_calculator").default_video_cost_calculator

    seconds = float(case.usage.units["seconds"])
    return default_video_cost_calculator(case.listed, seconds, provider_of(case.entry))


def _ask_image(case: Case) -> Any:
    default_image_cost_calculator = sdk("litellm.cost_calculator").default_image_cost_calculator
    calculators = sdk("litellm.litellm_core_utils.llm_cost_calc.utils").CostCalculatorUtils

    types = sdk("litellm.types.utils")

    sized = _SIZED.fullmatch(case.listed)
    if sized is not None:
        return default_image_cost_calculator(
            model=sized["model"],
            custom_llm_provider=provider_of(case.entry),
            quality=sized["quality"],
            n=case.usage.image_count,
            size=sized["size"],
        )
    images = [types.ImageObject(url="x") for _ in range(case.usage.image_count or 0)]
    return calculators.route_image_generation_cost_calculator(
        model=case.listed,
        completion_response=types.ImageResponse(data=images),
        custom_llm_provider=provider_of(case.entry),
        call_type="image_generation",
    )


def _ask_ocr(case: Case) -> Any:
    ocr_batch_cost = sdk("litellm.cost_calculator").ocr_batch_cost
    ocr_cost = sdk("litellm.cost_calculator").ocr_cost
    types = sdk("litellm.llms.base_llm.ocr.transformation")

    info = types.OCRUsageInfo(
        pages_processed=case.usage.page_count,
        pages_processed_annotation=int(case.usage.units["annotated_pages"]),
    )
    provider = provider_of(case.entry)
    if case.usage.price_variant == "batch":
        return sum(ocr_batch_cost(case.listed, provider, info))
    response = types.OCRResponse(pages=[], model=case.listed, usage_info=info)
    return sum(ocr_cost(case.listed, provider, response))


def _ask_tokens(case: Case) -> Any:
    cost_per_token = sdk("litellm.cost_calculator").cost_per_token
    tools = sdk(
        "litellm.litellm_core_utils.llm_cost_calc.tool_call_cost_tracking"
    ).StandardBuiltInToolCostTracking
    types = sdk("litellm.types.utils")

    usage = _litellm_usage(case)
    said = case.said
    provider = provider_of(case.entry)
    prompt, completion = cost_per_token(
        model=case.listed,
        custom_llm_provider=provider,
        usage_object=usage,
        prompt_tokens=said["whole"],
        completion_tokens=said["out"],
        service_tier=said["variant"] if case.asked == "tokens" and said["variant"] else None,
        data_residency=said.get("residency"),
        vertex_location=said.get("location"),
        call_type="retrieve_batch" if case.asked == "batch" else "completion",
    )
    cost = prompt + completion
    if said["searches"]:
        cost += tools.get_cost_for_built_in_tools(
            model=case.listed,
            response_object=types.ModelResponse(model=case.listed),
            usage=usage,
            custom_llm_provider=provider,
        )
    return cost


def _litellm_usage(case: Case) -> Any:
    utils = sdk("litellm.types.utils")

    said = case.said
    lasting = any("above_12hr" in key for key in case.entry)
    short, long = ("30m", "12h") if lasting else ("5m", "1h")
    details = utils.CacheCreationTokenDetails(
        **{
            f"ephemeral_{short}_input_tokens": said["write"] - said["long"],
            f"ephemeral_{long}_input_tokens": said["long"],
        }
    )
    cached = said["read_audio"] + said["read_image"]
    prompt = utils.PromptTokensDetailsWrapper(
        cached_tokens=said["read"],
        audio_tokens=said["in_audio"] + said["read_audio"],
        image_tokens=said["in_image"] + said["read_image"],
        video_tokens=said["in_video"],
        cache_creation_tokens=said["write"],
        cache_creation_token_details=details if said["write"] else None,
        cached_tokens_details=(
            {
                "audio_tokens": said["read_audio"],
                "image_tokens": said["read_image"],
                "text_tokens": said["read"] - cached,
            }
            if cached
            else None
        ),
    )
    completion = utils.CompletionTokensDetailsWrapper(
        reasoning_tokens=said["reasoning"],
        audio_tokens=said["out_audio"],
        image_tokens=said["out_image"],
        video_tokens=said["out_video"],
    )
    usage = utils.Usage(
        prompt_tokens=said["whole"],
        completion_tokens=said["out"],
        total_tokens=said["whole"] + said["out"],
        prompt_tokens_details=prompt,
        completion_tokens_details=completion,
    )
    if said["searches"]:
        usage.server_tool_use = utils.ServerToolUse(web_search_requests=said["searches"])
    if "geo" in said:
        usage.inference_geo = said["geo"]
    if "speed" in said:
        usage.speed = said["speed"]
    return usage


@cache
def list_text() -> str:
    """LiteLLM's list as its package has it, which need not be imported for that."""
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(_LIST).read_text("utf-8")


def entries_of(text: str) -> dict[str, dict[str, Any]]:
    """The list with plain numbers."""
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return entries
