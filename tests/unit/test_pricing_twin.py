"""The twin of the price rules prices by hand-made rows, and imported ones, as was worked out."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from actors.cli.importer.pricelists.litellm import read_litellm
from tests.support.litellm_charges import list_text
from tests.support.pricing_names import find
from tests.support.pricing_twin import Priced, Refused, Row, Usage, charge, price

MICRO = Decimal("0.000001")
ROW: dict[str, Any] = {
    "provider": "openai",
    "model": "m",
    "cost_per_input_token": MICRO,
    "cost_per_output_token": 4 * MICRO,
}


def cost(row: Row, **said: Any) -> Priced:
    return charge({**ROW, **row}, Usage("openai", "m", **said))


@cache
def imported() -> tuple[Row, ...]:
    return tuple(row.body() for row in read_litellm(list_text()).rows)


# What was worked out apart from this project: calls, and what both lists say that they cost.
STUDY: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("openai", "gpt-5.6-sol", {"tokens_input": 300_000, "tokens_output": 1_000}, "2.43"),
    ("gemini", "gemini-2.5-pro", {"tokens_input": 250_000, "tokens_output": 1_000}, "0.64"),
    ("gemini", "gemini-2.5-pro", {"tokens_input": 200_000, "tokens_output": 1_000}, "0.26"),
    ("anthropic", "claude-haiku-5-5", {"tokens_input": 150_000, "tokens_output": 1_000}, "0.0775"),
    ("openai", "sora-2", {"units": {"seconds": 8}}, "0.8"),
    ("openai", "whisper-1", {"units": {"seconds": 3_600}}, "0.36"),
    ("openai", "tts-1", {"units": {"characters": 1_000}}, "0.015"),
    ("openai", "high/1024-x-1024/gpt-image-1", {"image_count": 1}, "0.167"),
    ("exa", "search", {"search_count": 1}, "0.005"),
    ("exa", "exa-search", {}, "0.005"),
    ("mistral", "voxtral-mini-latest", {"units": {"seconds": 3_600}}, "0.18"),
    ("openai", "gpt-image-1", {"tokens_input": 50, "tokens_output": 4_160}, "0.16665"),
    (
        "gemini",
        "gemini-3-pro-image",
        {"tokens_input": 20, "tokens_output": 1_120, "token_parts": {"output_image": 1_120}},
        "0.13444",
    ),
    ("gemini", "gemini-3-pro-image", {"tokens_input": 20, "tokens_output": 30}, "0.0004"),
    (
        "anthropic",
        "claude-sonnet-4-5",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_variant": "batch"},
        "0.0225",
    ),
    (
        "openai",
        "gpt-5",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_variant": "flex"},
        "0.01125",
    ),
    (
        "openai",
        "gpt-5",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_variant": "priority"},
        "0.045",
    ),
    (
        "anthropic",
        "claude-opus-4-8",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_factors": frozenset({"fast"})},
        "0.15",
    ),
    (
        "anthropic",
        "claude-opus-4-8",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_factors": frozenset({"us"})},
        "0.0825",
    ),
    (
        "openai",
        "gpt-5.5",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_factors": frozenset({"eu"})},
        "0.088",
    ),
    (
        "openai",
        "gpt-5",
        {"tokens_input": 10_000, "tokens_output": 1_000, "price_factors": frozenset({"fedramp"})},
        "0.02475",
    ),
    (
        "anthropic",
        "claude-sonnet-4-5",
        {"tokens_input": 1_000, "tokens_output": 500, "units": {"web_searches": 5}},
        "0.0605",
    ),
    (
        "gemini",
        "gemini-3.8-flash",
        {"tokens_input": 1_000, "tokens_output": 500, "units": {"web_searches": 3}},
        "0.044625",
    ),
    (
        "openai",
        "gpt-audio",
        {"tokens_input": 1_000, "tokens_output": 1_000, "token_parts": {"output_audio": 1_000}},
        "0.0665",
    ),
    (
        "gemini",
        "gemini-2.5-flash",
        {"tokens_input": 10_000, "tokens_output": 500, "token_parts": {"input_audio": 9_000}},
        "0.01055",
    ),
    (
        "openai",
        "gpt-image-2",
        {"tokens_input": 1_000, "token_parts": {"input_image": 1_000}},
        "0.008",
    ),
    (
        "anthropic",
        "claude-opus-4-8",
        {
            "tokens_input": 10_000,
            "tokens_output": 500,
            "tokens_cache_write": 9_000,
            "token_parts": {"cache_write_long": 9_000},
        },
        "0.1075",
    ),
    (
        "openai",
        "gpt-5.6-sol",
        {
            "tokens_input": 10_000,
            "tokens_output": 500,
            "tokens_cache_write": 9_000,
            "token_parts": {"cache_write_long": 9_000},
        },
        "0.104",
    ),
    ("gemini", "gemini-exp-1206", {"tokens_input": 10_000, "tokens_output": 500}, "0"),
)


@pytest.mark.parametrize(("provider", "model", "said", "usd"), STUDY)
def test_each_call_of_the_study_costs_what_it_should(
    provider: str, model: str, said: dict[str, Any], usd: str
) -> None:
    priced = price(imported(), Usage(provider, model, **said))
    assert priced is not None
    # The list has the price of an image by its pixels: 0.167 is 1.59e-7 of each.
    near = Fraction(1, 10**3) if "-x-" in model else 0
    assert abs(priced.exact - Fraction(usd)) <= near
    assert priced.unpriced == frozenset()


def test_each_part_is_charged_once_and_one_without_a_price_costs_what_its_whole_does() -> None:
    parts = {"input_audio": 100, "cache_read_audio": 10, "cache_write_long": 20, "output_image": 5}
    priced = cost(
        {"token_parts": {"input_audio": 10 * MICRO}, "cost_per_cache_write_token": 2 * MICRO},
        tokens_input=1_000,
        tokens_cache_read=50,
        tokens_cache_write=30,
        tokens_output=50,
        tokens_reasoning=7,
        token_parts=parts,
    )
    # 820 uncached and 50 read at 1, 30 written at 2 (the long ones too), 100 of audio at 10.
    assert priced.nano_input == (820 + 50 + 2 * 30 + 100 * 10) * 1_000
    assert priced.nano_output == 50 * 4 * 1_000
    assert priced.unpriced == frozenset()


def test_exclusive_counts_lie_beside_the_input_before_the_tier_is_chosen() -> None:
    tiers = [{"above_input_tokens": 149, "cost_per_input_token": 3 * MICRO}]
    rows = [{**ROW, "tiers": tiers}]
    priced = price(rows, Usage("openai", "m", 100, 0, 30, 20, token_counting="exclusive"))
    assert priced is not None
    assert (priced.tier, priced.nano) == (149, 150 * 3_000)
    with pytest.raises(Refused):
        price(rows, Usage("openai", "m", 10, tokens_cache_read=11))


@pytest.mark.parametrize(
    ("tokens", "tier", "each"), [(100, None, 1), (101, 100, 2), (200, 100, 2), (201, 200, 1)]
)
def test_the_last_tier_strictly_below_replaces_what_it_names_for_the_whole_call(
    tokens: int, tier: int | None, each: int
) -> None:
    tiers = [
        {"above_input_tokens": 100, "cost_per_input_token": 2 * MICRO},
        {"above_input_tokens": 200, "cost_per_output_token": 9 * MICRO},
    ]
    priced = cost({"tiers": tiers}, tokens_input=tokens)
    assert (priced.tier, priced.nano) == (tier, tokens * each * 1_000)


def test_factors_multiply_tokens_alone_and_an_unknown_one_is_named() -> None:
    row = {
        "multipliers": {"us": Decimal("1.1"), "fast": 2},
        "cost_per_request": MICRO,
        "units": {"seconds": {"usd": Decimal("0.017"), "per": 60}},
    }
    priced = cost(
        row,
        tokens_input=10,
        units={"seconds": Decimal("1.5")},
        price_factors=frozenset({"us", "fast", "x"}),
    )
    wanted = 10 * Fraction(MICRO) * Fraction("2.2") + Fraction(MICRO) + Fraction("0.017") / 40
    assert (priced.exact, priced.unpriced) == (wanted, frozenset({"x"}))


def test_the_one_rounding_is_half_to_even() -> None:
    for tokens, nano in ((1, 0), (3, 2), (5, 2), (7, 4)):
        assert cost({"cost_per_input_token": Decimal("5e-10")}, tokens_input=tokens).nano == nano


@pytest.mark.parametrize(
    ("said", "images"),
    [
        ({}, 1),
        ({"status_code": 500}, 0),
        ({"status_code": 500, "image_count": 2}, 2),
        ({"units": {"web_searches": 1}}, 0),
        ({"units": {"web_searches": 0}}, 1),
        ({"page_count": 0}, 0),
    ],
)
def test_an_absent_count_is_one_unless_the_call_says_something_else(
    said: dict[str, Any], images: int
) -> None:
    row = {"cost_per_image": Decimal("0.04"), "units": {"web_searches": 0}}
    assert cost(row, **said).nano == images * 40_000_000


def test_absent_is_not_zero_and_is_named() -> None:
    only_input = {name: value for name, value in ROW.items() if name != "cost_per_output_token"}
    priced = charge(only_input, Usage("openai", "m", 5, 6, search_count=2, units={"seconds": 1}))
    assert priced.unpriced == {"tokens_output", "search_count", "seconds"}
    assert priced.nano == 5_000


def test_a_variant_stands_alone_and_one_without_a_row_is_the_standard_one() -> None:
    rows = [ROW, {**ROW, "variant": "batch", "cost_per_input_token": MICRO / 2}]
    batch = price(rows, Usage("openai", "m", 10, price_variant="batch"))
    flex = price(rows, Usage("openai", "m", 10, price_variant="flex"))
    assert batch is not None
    assert flex is not None
    assert (batch.nano, batch.variant_priced) == (5_000, True)
    assert (flex.nano, flex.variant_priced) == (10_000, False)


NAMES = (
    *({"model": "gpt-4o"}, {"model": "claude-sonnet-4-5", "aliases": ["claude-sonnet-4-5-latest"]}),
    *({"model": "gemini-2.5-flash"}, {"model": "ft:gpt-4o"}, {"model": "Twin"}, {"model": "twin"}),
)


@pytest.mark.parametrize(
    ("provider", "name", "model", "by"),
    [
        ("openai", "gpt-4o", "gpt-4o", "exact"),
        ("anthropic", "claude-sonnet-4-5-latest", "claude-sonnet-4-5", "alias"),
        ("openai", " GPT-4o", "gpt-4o", "normalised"),
        ("openai", "openai/gpt-4o", "gpt-4o", "normalised"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash", "normalised"),
        ("gemini", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash", "normalised"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o", "undated"),
        ("openai", "gpt-4o-20240806", "gpt-4o", "undated"),
        ("openai", "gpt-4o-2024-12-99", None, None),
        ("openai", "ft:gpt-4o-2024-08-06:acme::AbC123", "ft:gpt-4o", "undated"),
        ("openai", "ft:gpt-4o:acme::AbC123", "ft:gpt-4o", "exact"),
        ("anthropic", "vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5", "undated"),
        (
            "anthropic",
            "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5",
            "undated",
        ),
        ("gemini", "gemini-2.5-flash-001", "gemini-2.5-flash", "undated"),
        ("openai", "gemini-2.5-flash-001", None, None),
        ("openai", "gpt-4o-latest", None, None),
        ("openai", "azure/my-gpt4o-deployment", None, None),
        ("openai", "TWIN", None, None),
    ],
)
def test_a_model_is_found_by_the_rules_of_the_contract(
    provider: str, name: str, model: str | None, by: str | None
) -> None:
    match = find(NAMES, provider, name)
    assert (match and match.model, match and match.by) == (model, by)


def test_a_region_that_is_taken_off_applies_its_factor() -> None:
    rows = [{**ROW, "multipliers": {"us": Decimal("1.1")}}]
    priced = price(rows, Usage("openai", "us.openai.m-2025-01-02", 10))
    assert priced is not None
    assert (priced.matched_by, priced.nano, priced.unpriced) == ("undated", 11_000, frozenset())
