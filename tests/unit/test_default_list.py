"""The default list of prices: made by its script from the pinned package, and fit to be put."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from actors.billing.catalog.default_list import DefaultPrice, all_rows, default_list
from actors.cli.importer import default_catalogue
from actors.cli.importer.default_catalogue import LICENCE, LIST, made
from actors.cli.importer.pricelists.providers import BUILTIN
from tests.support.acceptable import problems_of_providers, problems_of_rows

BYTES_MAX = 600_000


def test_the_script_makes_these_very_bytes_of_the_pinned_package() -> None:
    own = default_list()
    assert own.source == f"genai-prices {version('genai-prices')}"
    assert own.names == f"litellm {version('litellm')}"
    assert made(date.fromisoformat(own.date)) == LIST.read_bytes()


def test_a_later_day_without_a_newer_list_makes_the_same_bytes() -> None:
    assert made(date.fromisoformat(default_list().date).replace(day=30)) == LIST.read_bytes()


def test_the_file_is_small_and_says_what_it_is_made_from() -> None:
    raw = LIST.read_bytes()
    assert len(raw) < BYTES_MAX
    head = json.loads(raw)
    assert (head["licence"], head["source"].split()[0]) == ("MIT", "genai-prices")
    assert "MIT License" in LICENCE.read_text("utf-8")


def test_each_row_and_provider_is_one_that_a_put_takes() -> None:
    raw = json.loads(LIST.read_bytes(), parse_float=Decimal, parse_int=Decimal)
    assert problems_of_rows(raw["prices"]) == []
    assert problems_of_providers(raw["providers"]) == []
    known = {one["id"] for one in raw["providers"]} | set(BUILTIN)
    assert {row["provider"] for row in raw["prices"]} <= known
    builtin = {name for one in BUILTIN.values() for name in (one.name, *one.aliases)}
    assert not builtin & {
        name for one in raw["providers"] for name in (one["id"], *one.get("aliases", ()))
    }


def test_the_form_that_is_read_loses_nothing() -> None:
    raw = json.loads(LIST.read_bytes(), parse_float=Decimal, parse_int=Decimal)
    own = default_list()
    assert len(own.prices) == len(raw["prices"]) > 2_000
    for row, listed in zip(all_rows(), raw["prices"], strict=True):
        assert {n: v for n, v in plain(row).items() if n != "effective_from"} == {
            n: v for n, v in listed.items() if n != "effective_from"
        }
        assert (row.effective_from is None) == ("effective_from" not in listed)


def plain(row: DefaultPrice) -> dict[str, object]:
    built: dict[str, object] = msgspec.to_builtins(row, builtin_types=(Decimal,))
    return without_absent(built)


def without_absent(of: dict[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in of.items():
        if value in (None, {}, [], (), ""):
            continue
        if isinstance(value, list | tuple):
            kept[name] = [without_absent(v) if isinstance(v, dict) else v for v in value]
        else:
            kept[name] = value
    return kept


def test_a_row_of_v1_wins_as_a_whole_and_no_alias_takes_its_name() -> None:
    text = LIST.with_name("prices.json").read_bytes()
    v1 = {(row["provider"], row["model"]) for row in json.loads(text)}
    assert len(v1) == 49
    for row in all_rows():
        assert row.variant or (row.provider, row.model) not in v1
        assert not v1 & {(row.provider, name) for name in row.aliases}


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("anthropic", "claude-sonnet-4-5", "0.000003"),
        ("openai", "gpt-5", "0.00000125"),
        ("groq", "llama-3.3-70b-versatile", "0.00000059"),
    ],
)
def test_models_that_people_use_have_a_price(provider: str, model: str, usd: str) -> None:
    prices = {(row.provider, row.model, row.variant): row for row in all_rows()}
    assert prices[provider, model, ""].cost_per_input_token == Decimal(usd)


def test_the_command_writes_the_list_and_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIST", "LICENCE"):
        monkeypatch.setattr(
            default_catalogue, name, tmp_path / getattr(default_catalogue, name).name
        )
    monkeypatch.setattr("sys.argv", ["default_catalogue", "--until", default_list().date])
    default_catalogue.main()
    assert (tmp_path / LIST.name).read_bytes() == LIST.read_bytes()
    assert (tmp_path / LICENCE.name).read_bytes() == LICENCE.read_bytes()
