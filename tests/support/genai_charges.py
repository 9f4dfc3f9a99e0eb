"""What genai-prices itself charges for a call, by its own function over its own data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from tests.support.pricing_twin import Usage
from tests.support.sdks import sdk

_SIZES = (0, 1, 900, 12_345, 100_000, 100_001, 200_000, 200_001, 272_001)
_KINDS = ("audio", "image", "video")


@dataclass(frozen=True)
class Case:
    """A call of a model, in the package's words and in ours."""

    provider: Any
    model: Any
    context: Mapping[str, str]
    said: dict[str, Any]
    usage: Usage


def drawn(rng: Random, provider: Any, model: Any, ours: str, at: datetime) -> Case:
    """A call with all that the model has a price for; parts only of what is priced."""
    standard = vars(model.get_prices(at))
    priced = {name for name, amount in standard.items() if amount is not None}
    context: dict[str, str] = {}
    variant = ""
    if model.price_variants and rng.random() < 0.6:
        context = dict(rng.choice(model.price_variants).when)
        variant = str(next(iter(context.values()))).rpartition("/")[2]
    said: dict[str, Any] = {}
    if any(name.endswith("_mtok") for name in priced):
        _tokens(rng, priced, standard, said)
    units: dict[str, Any] = {}
    counts: dict[str, int] = {}
    if "web_searches_kcount" in priced and rng.random() < 0.5:
        units["web_searches"] = said["web_searches"] = rng.randrange(1, 9)
    if "storage_searches_kcount" in priced and rng.random() < 0.4:
        units["file_searches"] = said["storage_searches"] = rng.randrange(1, 9)
    for name in ("audio", "input_audio", "output_audio"):
        if f"{name}_hours" in priced:
            seconds = Decimal(rng.randrange(10_000, 7_200_000)) / 1_000
            units["seconds"] = seconds
            said |= {"audio_seconds": seconds, f"{name}_seconds": seconds}
            break
    if "input_mchars" in priced:
        units["characters"] = said["input_characters"] = rng.randrange(1, 50_000)
    if "input_document_kpages" in priced:
        counts["page_count"] = rng.randrange(1, 90)
        annotated = rng.randrange(9) if "input_annotated_document_kpages" in priced else 0
        units["annotated_pages"] = annotated
        said["input_document_pages"] = counts["page_count"] + annotated  # theirs has both
        said["input_annotated_document_pages"] = annotated
    return Case(
        provider, model, context, said, _usage(ours, model.id, said, variant, units, counts)
    )


def _tokens(
    rng: Random, priced: set[str], standard: Mapping[str, Any], said: dict[str, Any]
) -> None:
    bounds = [t.start for p in standard.values() for t in getattr(p, "tiers", ())]
    whole = rng.choice([*_SIZES, rng.randrange(400_000)])
    if bounds and rng.random() < 0.5:
        whole = rng.choice(bounds) + rng.choice([0, 1, 9])
    said["input_tokens"] = whole
    said["output_tokens"] = rng.choice([0, 1, 8_192, rng.randrange(64_000)])

    def part(name: str, of: int) -> int:
        if f"{name}_mtok" not in priced:
            return 0
        counted = rng.randrange(of + 1) if rng.random() < 0.6 else 0
        said[f"{name}_tokens"] = counted
        return counted

    cached = part("cache_read", whole)
    written = part("cache_write", whole - cached)
    part("cache_write_1h", written)
    left = whole - cached - written
    rest = said["output_tokens"] - part("output_reasoning", said["output_tokens"])
    for kind in _KINDS:
        left -= part(f"input_{kind}", left)
        read = part(f"cache_{kind}_read", cached)
        cached -= read
        if read:
            said[f"input_{kind}_tokens"] += read  # theirs has both
        rest -= part(f"output_{kind}", rest)


def _usage(
    provider: str,
    model: str,
    said: Mapping[str, Any],
    variant: str,
    units: Mapping[str, Any],
    counts: Mapping[str, int],
) -> Usage:
    parts: dict[str, int] = {}
    for kind in _KINDS:
        read = said.get(f"cache_{kind}_read_tokens", 0)
        parts[f"input_{kind}"] = said.get(f"input_{kind}_tokens", 0) - read
        parts[f"output_{kind}"] = said.get(f"output_{kind}_tokens", 0)
        if kind != "video":
            parts[f"cache_read_{kind}"] = read
    parts["cache_write_long"] = said.get("cache_write_1h_tokens", 0)
    return Usage(
        provider,
        model,
        said.get("input_tokens", 0),
        said.get("output_tokens", 0),
        said.get("cache_read_tokens", 0),
        said.get("cache_write_tokens", 0),
        said.get("output_reasoning_tokens", 0),
        page_count=counts.get("page_count"),
        token_parts={name: count for name, count in parts.items() if count},
        units=units,
        price_variant=variant,
    )


def charged(case: Case, at: datetime) -> Fraction:
    """What the package says, in USD."""
    found = case.model.calc_price(
        sdk("genai_prices.types").Usage(**case.said),
        case.provider,
        genai_request_timestamp=at,
        price_context=case.context,
    )
    return Fraction(found.total_price)
