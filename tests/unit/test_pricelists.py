"""Price lists of others: what a row can say is taken exactly, everything else is named."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists import litellm as module
from actors.cli.importer.pricelists.litellm import ENTRIES_MAX, read_litellm
from actors.cli.importer.pricelists.providers import provider_id
from actors.cli.importer.pricelists.rows import grouped
from tests.support.acceptable import problems_of_providers, problems_of_rows
from tests.support.litellm_charges import list_text

TODAY = date(2026, 11, 24)


def litellm(**models: dict[str, Any]) -> str:
    return json.dumps({name.replace("__", "/"): row for name, row in models.items()})


def fields_of(row: dict[str, Any], variant: str = "", **more: Any) -> dict[str, Any]:
    entry = {"litellm_provider": "openai", "mode": "chat", **row, **more}
    found = read_litellm(litellm(m=entry))
    return next(one.fields for one in found.rows if one.variant == variant)


def left_out(row: dict[str, Any]) -> list[str]:
    entry = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1, **row}
    return [what for _, _, what in read_litellm(litellm(m=entry)).left_out]


def usd(**amounts: str) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in amounts.items()}


def test_token_cache_and_reasoning_prices_are_taken_exactly() -> None:
    text = """{"gpt-9": {"litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25E-7, "cache_creation_input_token_cost": 0.0,
        "output_cost_per_reasoning_token": 0.000011, "max_tokens": 5}}"""
    found = read_litellm(text)
    assert [(row.provider, row.model, row.variant, row.fields) for row in found.rows] == [
        (
            "openai",
            "gpt-9",
            "",
            usd(
                cost_per_input_token="0.00000125",
                cost_per_output_token="0.00001",
                cost_per_cache_read_token="0.000000125",
                cost_per_cache_write_token="0",
                cost_per_reasoning_token="0.000011",
            ),
        )
    ]
    assert (found.left_out, found.cleaned) == ([], [])


def test_a_price_above_a_bound_is_a_tier_that_says_what_differs() -> None:
    fields = fields_of(
        {
            "input_cost_per_token": 1e-6,
            "output_cost_per_token": 2e-6,
            "input_cost_per_token_above_128k_tokens": 3e-6,
            "input_cost_per_token_above_1000k_tokens": 5e-6,
            "input_cost_per_audio_token": 7e-6,
            "input_cost_per_audio_token_above_1000k_tokens": 9e-6,
        }
    )
    assert fields["token_parts"] == usd(input_audio="0.000007")
    assert fields["tiers"] == [
        {
            "above_input_tokens": 128_000,
            "cost_per_input_token": Decimal("0.000003"),
            "token_parts": usd(input_audio="0.000007"),
        },
        {
            "above_input_tokens": 1_000_000,
            "cost_per_input_token": Decimal("0.000005"),
            "token_parts": usd(input_audio="0.000009"),
        },
    ]


def test_a_bound_that_counts_itself_is_one_token_lower() -> None:
    prices = {"input_cost_per_token": 1e-6, "input_cost_per_token_above_200k_tokens": 2e-6}
    (tier,) = fields_of(prices, litellm_provider="xai")["tiers"]
    assert tier["above_input_tokens"] == 199_999


def test_a_variant_stands_alone_with_what_the_list_says_only_once() -> None:
    row = {
        "input_cost_per_token": 2e-6,
        "output_cost_per_token": 8e-6,
        "output_cost_per_reasoning_token": 9e-6,
        "cache_read_input_token_cost": 1e-6,
        "output_cost_per_audio_token": 6e-5,
        "input_cost_per_token_above_200k_tokens": 4e-6,
        "input_cost_per_token_flex": 1e-6,
        "output_cost_per_token_flex": 4e-6,
        "input_cost_per_token_above_200k_tokens_flex": 2e-6,
        "search_context_cost_per_query": {"search_context_size_medium": 0.01},
        "fedramp_uplift_multiplier": 1.1,
    }
    assert fields_of(row, "flex") == {
        **usd(
            cost_per_input_token="0.000001",
            cost_per_output_token="0.000004",
            cost_per_cache_read_token="0.000001",
        ),
        "token_parts": usd(output_audio="0.00006"),
        "tiers": [{"above_input_tokens": 200_000, **usd(cost_per_input_token="0.000002")}],
        "units": usd(web_searches="0.01"),
        "multipliers": usd(fedramp="1.1"),
    }


def test_what_a_batch_has_no_price_for_costs_half() -> None:
    row = {
        "input_cost_per_token": 2e-6,
        "output_cost_per_token": 8e-6,
        "input_cost_per_token_batches": 5e-7,
    }
    wanted = usd(cost_per_input_token="0.0000005", cost_per_output_token="0.000004")
    assert fields_of(row, "batch") == wanted


def test_output_of_a_model_that_makes_images_costs_what_image_tokens_cost() -> None:
    fields = fields_of(
        {"input_cost_per_token": 5e-6, "output_cost_per_image_token": 4e-5},
        mode="image_generation",
    )
    assert fields["cost_per_output_token"] == Decimal("0.00004")


def test_there_is_no_price_per_image_beside_image_tokens() -> None:
    row = {"output_cost_per_image_token": 3e-5, "output_cost_per_image": 0.039}
    assert "cost_per_image" not in fields_of(row, mode="image_generation")
    found = read_litellm(litellm(m={"litellm_provider": "gemini", "mode": "chat", **row}))
    assert ("gemini", "m", "output_cost_per_image") in found.left_out


def test_an_image_by_the_pixel_costs_what_the_size_in_its_name_has() -> None:
    row = {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 2e-8}
    (price,) = read_litellm(litellm(**{"256-x-256/dall-e-2": row})).rows
    assert price.fields == usd(cost_per_image="0.00131072")


@pytest.mark.parametrize(
    ("row", "units"),
    [
        ({"mode": "audio_transcription", "input_cost_per_second": 0.0001}, {"seconds": "0.0001"}),
        ({"mode": "video_generation", "output_cost_per_video_per_second": 0.5}, {"seconds": "0.5"}),
        ({"mode": "audio_speech", "input_cost_per_character": 1.5e-5}, {"characters": "0.000015"}),
        ({"file_search_cost_per_1k_calls": 2.5}, {"file_searches": "0.0025"}),
        ({"mode": "ocr", "annotation_cost_per_page": 0.003}, {"annotated_pages": "0.003"}),
    ],
)
def test_prices_of_units_are_taken(row: dict[str, Any], units: dict[str, str]) -> None:
    assert fields_of(row)["units"] == usd(**units)


def test_a_second_that_is_the_sixtieth_of_a_minute_is_a_minute() -> None:
    fields = fields_of({"mode": "realtime", "input_cost_per_second": 0.017 / 60})
    assert fields["units"] == {"seconds": {"usd": Decimal("0.017"), "per": 60}}


def test_uplifts_and_speeds_are_factors() -> None:
    row = {
        "input_cost_per_token": 1e-6,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "provider_specific_entry": {"us": 1.1, "fast": 2.0, "switch": 1},
    }
    assert fields_of(row)["multipliers"] == usd(eu="1.1", us="1.1", fast="2")
    assert left_out(row) == ["provider_specific_entry: switch"]


def test_a_table_of_ranges_is_tiers_if_it_has_no_gap() -> None:
    ranges = [
        {"range": [0, 32_000], "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        {
            "range": [32_000, 128_000],
            "input_cost_per_token": 3e-6,
            "output_cost_per_token": 4e-6,
            "cache_read_input_token_cost": 5e-7,
        },
    ]
    fields = fields_of({"tiered_pricing": ranges})
    # Cached input costs what the input costs where a range does not say.
    assert fields["cost_per_cache_read_token"] == Decimal("0.000001")
    assert fields["tiers"][0]["cost_per_cache_read_token"] == Decimal("0.0000005")
    ranges[1]["range"] = [33_000, 128_000]
    assert left_out({"tiered_pricing": ranges}) == ["tiered_pricing"]


def test_whatever_else_has_a_number_in_it_is_named() -> None:
    row = {
        "new_cost_of_something": 1e-9,
        "storage": {"gigabyte": [1]},
        "web_search_billing_unit": "per_query",
        "off_peak_pricing": {"input_cost_per_token": 1, "hours_utc": "00:00-01:00"},
        "search_free_requests": {"count": 1500},
        "supports_vision": True,
        "max_tokens": 5,
        "cost_per_second": None,
        "deep": json.loads("[" * 50 + "]" * 50),
    }
    assert left_out(row) == [
        *("new_cost_of_something", "storage", "web_search_billing_unit", "off_peak_pricing"),
        *("search_free_requests", "deep"),
    ]


def test_what_is_left_out_is_grouped_counted_and_shown_by_a_few() -> None:
    found = [("openai", f"m{n}", "x_cost") for n in range(5)] + [("xai", "g", "y_cost")]
    assert grouped(found) == {
        "x_cost": {"count": 5, "examples": ["openai m0", "openai m1", "openai m2"]},
        "y_cost": {"count": 1, "examples": ["xai g"]},
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *(("exa_ai", "exa"), ("text-completion-openai", "openai"), ("codestral", "mistral")),
        *(("vertex_ai-language-models", "vertex_ai"), ("google", "gemini"), ("x-ai", "xai")),
        *(("huggingface", "mistral"), ("huggingface_groq", "huggingface_groq"), ("scx-ai",) * 2),
        *(("My Cloud", "my-cloud"), ("all", None), ("a_calls", None), ("é", None), ("", None)),
    ],
)
def test_each_provider_of_a_list_is_one_of_ours(theirs: str, ours: str | None) -> None:
    assert provider_id(theirs) == ours


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_names_of_a_model_the_one_with_its_provider_is_the_row(turned: bool) -> None:
    models = {
        "gemini-x": {"litellm_provider": "gemini", "input_cost_per_token": 3e-7},
        "gemini/gemini-x": {"litellm_provider": "gemini", "input_cost_per_token": 0},
    }
    text = json.dumps(dict(reversed(models.items())) if turned else models)
    found = read_litellm(text)
    assert [(row.model, row.fields) for row in found.rows] == [
        ("gemini-x", usd(cost_per_input_token="0"))
    ]
    assert found.skipped == Counter({"another name of the same model": 1})
    assert found.skipped_names == {"another name of the same model": ["gemini-x"]}


def test_a_search_costs_the_same_without_a_model() -> None:
    rows = read_litellm(list_text()).rows
    prices = {(row.provider, row.model): row.fields.get("cost_per_search") for row in rows}
    for provider in ("tavily", "serper", "exa"):
        assert prices[provider, f"{provider}-search"] == prices[provider, "search"] is not None
    assert ("firecrawl", "firecrawl-extract") not in prices  # no search: it has a price by the page


def test_another_name_that_the_list_gives_is_an_alias_of_its_model_alone() -> None:
    chat = {"litellm_provider": "azure", "input_cost_per_token": 1e-6}
    found = read_litellm(
        litellm(
            azure__a=chat,
            azure__b=chat,
            azure__newest={"alias_of": "azure/a"},
            azure__b2={"alias_of": "azure/b"},
        )
    )
    aliases = {row.model: row.fields.get("aliases") for row in found.rows}
    assert aliases == {"a": ["newest"], "b": ["b2"]}


@pytest.mark.parametrize(
    ("listed", "taken", "is_cleaned"),
    [
        ("2.0000000000000002e-07", "0.0000002", True),
        ("1.1428571428571428e-06", "0.000001142857", True),
        ("2.5e-07", "0.00000025", False),
        ("1.0000e-6", "0.000001", False),
    ],
)
def test_the_noise_of_a_float_is_cut_off_and_reported(
    listed: str, taken: str, is_cleaned: bool
) -> None:
    found = read_litellm(
        f'{{"m": {{"litellm_provider": "openai", "input_cost_per_token": {listed}}}}}'
    )
    assert found.rows[0].fields == usd(cost_per_input_token=taken)
    assert bool(found.cleaned) is is_cleaned


@pytest.mark.parametrize(
    "listed",
    ["1.5e-12", "NaN", "Infinity", "-1e-6", "1e300000", "1e-999999999", '"1e-6"', "true", "[1]"],
)
def test_a_price_that_is_none_is_named_and_not_rounded(listed: str) -> None:
    text = f'{{"m": {{"litellm_provider": "openai", "input_cost_per_token": {listed}}}}}'
    found = read_litellm(text)
    assert found.rows == []
    assert found.skipped == Counter({"no price": 1})
    assert found.left_out == [("openai", "m", "input_cost_per_token")]


@pytest.mark.parametrize("listed", ['"1e-6"', "true", "{}", "-1", "NaN", "Infinity"])
@pytest.mark.parametrize("key", ["input_cost_per_token", "output_cost_per_token_batches"])
def test_an_entry_with_a_price_that_is_no_amount_is_not_taken_by_halves(
    listed: str, key: str
) -> None:
    row = f'{{"litellm_provider": "openai", "cache_read_input_token_cost": 1, "{key}": {listed}}}'
    good = '{"litellm_provider": "openai", "input_cost_per_token": 1}'
    found = read_litellm(f'{{"a": {good}, "m": {row}, "z": {good}}}')
    assert [one.model for one in found.rows] == ["a", "z"]
    assert found.left_out == [("openai", "m", key)]
    assert found.skipped_names == {"a price that is no amount": ["m"]}


def test_entries_of_which_nothing_can_be_taken_are_counted_by_why() -> None:
    chat = {"input_cost_per_token": 1e-6}
    found = read_litellm(
        litellm(
            a={"litellm_provider": "openai", "mode": "chat"},
            b={"litellm_provider": "total", **chat},
            c=chat,
            d={"litellm_provider": ["openai"], **chat},
            **{"e" * 257: {"litellm_provider": "openai", **chat}},
        )
    )
    assert found.rows == []
    assert found.skipped == Counter(
        {"no price": 1, "no provider": 3, "a name that is empty or too long": 1}
    )


def test_of_a_key_that_comes_twice_the_last_is_taken_and_it_is_named() -> None:
    row = '{"litellm_provider": "openai", "input_cost_per_token": 1, "input_cost_per_token": 2}'
    found = read_litellm(f'{{"m": {{}}, "m": {row}}}')
    assert found.rows[0].fields == usd(cost_per_input_token="2")
    assert found.skipped_names["a key twice: the last is taken"] == ["input_cost_per_token", "m"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"a": 1}', "{", '"x"'),
        '{"a":' * 100_000,
        '{"\\ud800": {"litellm_provider": "openai", "input_cost_per_token": 1}}',
    ],
    ids=lambda text: text[:12],
)
def test_an_invalid_price_list_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        read_litellm(text)


def test_a_list_over_its_bounds_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    row = '{"litellm_provider": "openai", "input_cost_per_token": 1}'
    many = ", ".join(f'"m{n}": {row}' for n in range(ENTRIES_MAX + 1))
    with pytest.raises(BadInput, match="50,000 models"):
        read_litellm(f"{{{many}}}")
    monkeypatch.setattr(module, "BYTES_MAX", 10)
    with pytest.raises(BadInput, match="over 10"):
        read_litellm('{"m": {}, "n": {}}')


def test_every_row_of_litellm_s_list_is_one_that_a_put_takes() -> None:
    found = read_litellm(list_text())
    assert problems_of_rows(row.body() for row in found.rows) == []
    assert problems_of_providers(one.body() for one in found.providers) == []
    assert len(found.rows) > 5_000
