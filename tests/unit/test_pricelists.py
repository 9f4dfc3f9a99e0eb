"""Price lists of others: what a row can say is taken exactly, everything else is named."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists import ListedPrice, read_genai_prices, read_litellm

TODAY = date(2026, 11, 24)


def litellm(**models: dict[str, Any]) -> str:
    return json.dumps({name.replace("__", "/"): row for name, row in models.items()})


def test_token_cache_and_reasoning_prices_are_taken_exactly() -> None:
    text = """{"gpt-9": {"litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25E-7, "cache_creation_input_token_cost": 0.0,
        "output_cost_per_reasoning_token": 0.000011, "max_tokens": 5}}"""
    found = read_litellm(text)
    assert found.rows == [
        ListedPrice(
            "openai",
            "gpt-9",
            {
                "cost_per_input_token": Decimal("0.00000125"),
                "cost_per_output_token": Decimal("0.00001"),
                "cost_per_cache_read_token": Decimal("0.000000125"),
                "cost_per_cache_write_token": Decimal(0),
                "cost_per_reasoning_token": Decimal("0.000011"),
            },
        )
    ]
    assert found.left_out == []


def test_cost_fields_that_a_row_cannot_say_are_named() -> None:
    row = {
        "litellm_provider": "gemini",
        "mode": "chat",
        "input_cost_per_token": 1,
        "input_cost_per_token_above_200k_tokens": 2,
        "input_cost_per_audio_token": 3,
        "search_context_cost_per_query": {"search_context_size_low": 0.1},
        "output_cost_per_image": 0.04,
        "new_cost_of_something": 1e-9,
        "supports_vision": True,
        "cost_per_second": None,
    }
    found = read_litellm(litellm(gemini__pro=row))
    assert [price.model for price in found.rows] == ["pro"]
    assert list(found.rows[0].costs) == ["cost_per_input_token"]
    assert [field for _, _, field in found.left_out] == [
        "input_cost_per_token_above_200k_tokens",
        "input_cost_per_audio_token",
        "search_context_cost_per_query",
        "output_cost_per_image",
        "new_cost_of_something",
    ]


@pytest.mark.parametrize(
    ("mode", "field", "ours"),
    [
        ("search", "input_cost_per_query", "cost_per_search"),
        ("image_generation", "output_cost_per_image", "cost_per_image"),
        ("ocr", "ocr_cost_per_page", "cost_per_page"),
    ],
)
def test_a_price_per_unit_is_taken_for_models_that_are_about_that_unit(
    mode: str, field: str, ours: str
) -> None:
    row = {"litellm_provider": "openai", "mode": mode, field: 0.04}
    (price,) = read_litellm(litellm(x=row)).rows
    assert price.costs == {ours: Decimal("0.04")}


def test_models_of_other_providers_are_counted_by_provider() -> None:
    other = {"litellm_provider": "bedrock", "input_cost_per_token": 1}
    found = read_litellm(litellm(sample_spec={"litellm_provider": "x"}, a=other, b=other))
    assert (found.rows, found.left_out, dict(found.skipped)) == ([], [], {"bedrock": 2})


def test_a_price_finer_than_a_unit_price_can_be_is_named_and_not_rounded() -> None:
    text = '{"x": {"litellm_provider": "openai", "input_cost_per_token": 1.5e-12}}'
    found = read_litellm(text)
    assert (found.rows, found.left_out) == ([], [("openai", "x", "cost_per_input_token")])


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


def test_the_package_s_prices_are_taken_and_its_tiers_named() -> None:
    data = import_module("genai_prices.data")  # without its types, which take a checker 40 s
    found = read_genai_prices(data.providers, TODAY)
    prices = {(row.provider, row.model): row.costs for row in found.rows if row.since is None}
    assert prices["openai", "gpt-4o-mini"]["cost_per_input_token"] == Decimal("0.00000015")
    assert {row.provider for row in found.rows} == {"openai", "anthropic", "gemini", "mistral"}
    assert any(field.endswith(": tiers") for _, _, field in found.left_out)
    assert any("web_searches" in field for _, _, field in found.left_out)
    assert "x-ai" in found.skipped


def test_of_dated_prices_the_one_in_force_and_those_to_come_are_taken() -> None:
    class Dated:
        def __init__(self, start: date | None) -> None:
            self.start_date = start

    class Conditional:
        def __init__(self, start: date | None, price: str) -> None:
            self.constraint = None if start is None else Dated(start)
            self.prices = SimpleNamespace(input_mtok=Decimal(price))

    class Model:
        id = "m"
        prices = [  # noqa: RUF012 -- a stand-in
            Conditional(None, "1"),
            Conditional(date(2026, 1, 1), "2"),
            Conditional(date(2027, 1, 1), "3"),
        ]

    class Provider:
        id = "openai"
        models = (Model,)

    rows = read_genai_prices([Provider], TODAY).rows
    each = [(row.since, row.costs["cost_per_input_token"] * 10**6) for row in rows]
    assert each == [(None, Decimal(2)), (date(2027, 1, 1), Decimal(3))]
