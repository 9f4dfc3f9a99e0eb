"""The prices of genai-prices as rows: dates, variants, tiers and match rules."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import Any

from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.litellm import names_of
from actors.cli.importer.pricelists.rows import PriceList, grouped
from tests.support.acceptable import problems_of_providers, problems_of_rows
from tests.support.litellm_charges import list_text
from tests.support.sdks import sdk

TODAY = date(2026, 11, 24)


def usd(**amounts: str) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in amounts.items()}


@cache
def genai(since: date | None = None) -> PriceList:
    return read_genai_prices(
        sdk("genai_prices.data").providers, TODAY, since, names_of(list_text())
    )


def test_every_row_of_the_package_is_one_that_a_put_takes() -> None:
    found = genai(date(2026, 5, 1))
    past = [row.body() for row in found.rows if row.past]
    assert past
    assert problems_of_rows(past) == []
    assert problems_of_rows(row.body() for row in found.rows if not row.past) == []
    assert problems_of_providers(one.body() for one in found.providers) == []


def test_match_rules_are_tried_on_known_names_and_written_as_exact_ones() -> None:
    (row,) = (one for one in genai().rows if one.key == ("anthropic", "claude-opus-4-5", ""))
    assert "claude-opus-4-5-20251101" in row.fields["aliases"]
    named = grouped(genai().left_out)
    assert named["match rules tried on known names only"]["count"] > 100


class Starts:
    def __init__(self, start: date) -> None:
        self.start_date = start


def priced(start: date | None, **prices: str) -> Any:
    constraint = None if start is None else Starts(start)
    amounts = {name: Decimal(amount) for name, amount in prices.items()}
    return SimpleNamespace(constraint=constraint, prices=SimpleNamespace(**amounts))


def package(*prices: Any, variants: Any = ()) -> list[Any]:
    model = SimpleNamespace(id="m", prices=list(prices), price_variants=list(variants))
    return [SimpleNamespace(id="openai", models=[model])]


def millionths(found: PriceList, variant: str = "") -> list[tuple[date | None, Decimal]]:
    return [
        (row.since, row.fields["cost_per_input_token"] * 10**6)
        for row in found.rows
        if row.variant == variant
    ]


DATED = (
    priced(None, input_mtok="1"),
    priced(date(2026, 1, 1), input_mtok="2"),
    priced(date(2026, 9, 1), input_mtok="3"),
    priced(date(2027, 1, 1), input_mtok="4"),
)


def test_of_dated_prices_the_one_in_force_and_those_to_come_are_taken() -> None:
    found = read_genai_prices(package(*DATED), TODAY)
    assert millionths(found) == [(None, Decimal(3)), (date(2027, 1, 1), Decimal(4))]


def test_what_was_is_put_newest_first_since_nothing_may_be_in_force_then() -> None:
    found = read_genai_prices(package(*DATED), TODAY, date(2026, 3, 1))
    assert millionths(found) == [
        (date(2026, 9, 1), Decimal(3)),
        (date(2026, 3, 1), Decimal(2)),
        (None, Decimal(3)),
        (date(2027, 1, 1), Decimal(4)),
    ]
    assert [row.past for row in found.rows] == [True, True, False, False]


def test_a_price_by_the_time_of_day_is_named_and_the_one_without_is_in_force() -> None:
    by_hour = SimpleNamespace(
        constraint=SimpleNamespace(start_time=1), prices=SimpleNamespace(input_mtok=Decimal(9))
    )
    found = read_genai_prices(package(priced(None, input_mtok="1"), by_hour), TODAY)
    assert millionths(found) == [(None, Decimal(1))]
    assert found.left_out == [("openai", "m", "SimpleNamespace")]


def test_a_variant_of_the_package_is_its_standard_prices_with_its_own_over_them() -> None:
    def variant(start: date | None, value: str, **prices: str) -> Any:
        one = priced(start, **prices)
        one.when = {"processing": value}
        return one

    found = read_genai_prices(
        package(
            priced(None, input_mtok="2", output_mtok="8"),
            variants=[
                variant(date(2026, 10, 1), "batch", input_mtok="1"),
                variant(None, "standard"),
            ],
        ),
        TODAY,
    )
    assert {row.variant: row.fields for row in found.rows} == {
        "": usd(cost_per_input_token="0.000002", cost_per_output_token="0.000008"),
        "batch": usd(cost_per_input_token="0.000001", cost_per_output_token="0.000008"),
    }


def test_a_speed_that_multiplies_all_token_prices_is_a_factor_too() -> None:
    fast = priced(None, input_mtok="20", output_mtok="100")
    fast.when = {"speed": "fast"}
    found = read_genai_prices(
        package(priced(None, input_mtok="10", output_mtok="50"), variants=[fast]), TODAY
    )
    assert found.rows[0].fields["multipliers"] == usd(fast="2")
    assert found.rows[1].variant == "fast"


def test_tiers_of_several_prices_are_at_every_bound_that_any_has() -> None:
    def tiers(base: str, **steps: str) -> Any:
        return SimpleNamespace(
            base=Decimal(base),
            tiers=[SimpleNamespace(start=int(n[1:]), price=Decimal(p)) for n, p in steps.items()],
        )

    prices = SimpleNamespace(
        input_mtok=tiers("1", _100="2", _200="3"), output_mtok=tiers("10", _200="30")
    )
    model = SimpleNamespace(id="m", prices=prices)
    (row,) = read_genai_prices([SimpleNamespace(id="openai", models=[model])], TODAY).rows
    assert [
        (
            t["above_input_tokens"],
            t["cost_per_input_token"] * 10**6,
            t["cost_per_output_token"] * 10**6,
        )
        for t in row.fields["tiers"]
    ] == [(100, 2, 10), (200, 3, 30)]
