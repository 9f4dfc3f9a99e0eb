from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.charging import (
    Used,
    charge,
    charge_in_full,
    check_parts,
    estimate,
    with_parts,
)
from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.prices import ESTIMATE, Price, price
from messages.errors import InvalidRequest
from messages.usage import Track
from tests.support.meter import NOON, Meter, a_track, catalog_of, nano, plan, said

PRICES: list[dict[str, str]] = json.loads(
    files("actors.billing.catalog").joinpath("data/prices.json").read_text()
)


def a_price(provider: str = "openai", model: str = "m", **usd: str) -> Price:
    """A row with these prices in USD per unit."""
    pico = {unit: int(Fraction(text) * 10**12) for unit, text in usd.items()}
    return price(provider, model, pico, version=7)


def charged(row: Price, call: Track) -> tuple[int, int, int]:
    """The total, the input and the output part in nano-USD."""
    counts = said(call)
    whole = charge_in_full(row, Used(with_parts(counts, None))).charge
    if row.plain:  # the short way for most calls is the whole rule
        assert charge(row, counts) == whole
    return whole


def rounded(usd: Fraction) -> int:
    """Nano-USD, half to even (as Python rounds fractions)."""
    return round(usd * 10**9)


def counting(unit: str, count: int | None) -> Track:
    counts: dict[str, Any] = {f"{unit}_count": count}
    return a_track(**counts)


FULL = {
    "input_token": "0.000003",
    "output_token": "0.000015",
    "cache_read_token": "0.0000003",
    "cache_write_token": "0.00000375",
    "reasoning_token": "0.00002",
    "request": "0.01",
    "search": "0.005",
    "image": "0.04",
    "page": "0.002",
}
CALL: dict[str, Any] = {
    "tokens_input": 1_000,
    "tokens_output": 500,
    "tokens_cache_read": 300,
    "tokens_cache_write": 200,
    "tokens_reasoning": 100,
    "search_count": 3,
    "image_count": 2,
    "page_count": 5,
}


def test_each_part_of_a_call_is_charged_once_at_its_own_price() -> None:
    found = charged(a_price(**FULL), a_track(**CALL))
    token_in = (
        Fraction("0.000003") * 500 + Fraction("0.0000003") * 300 + Fraction("0.00000375") * 200
    )
    token_out = Fraction("0.000015") * 400 + Fraction("0.00002") * 100
    units = Fraction("0.01") + Fraction("0.005") * 3 + Fraction("0.04") * 2 + Fraction("0.002") * 5
    assert found[1] == rounded(token_in) == nano("0.00234")
    assert found[2] == rounded(token_out) == nano("0.008")
    assert found[0] == rounded(token_in + token_out + units)


@pytest.mark.parametrize(
    ("missing", "instead"),
    [
        ("cache_read_token", "input_token"),
        ("cache_write_token", "input_token"),
        ("reasoning_token", "output_token"),
    ],
)
def test_a_part_that_has_no_price_costs_what_its_whole_costs(missing: str, instead: str) -> None:
    without = {unit: usd for unit, usd in FULL.items() if unit != missing}
    same = {**FULL, missing: FULL[instead]}
    call = a_track(**CALL)
    assert charged(a_price(**without), call) == charged(a_price(**same), call)
    assert charged(a_price(**without), call) != charged(a_price(**FULL), call)


@pytest.mark.parametrize("part", ["cache_read_token", "cache_write_token", "reasoning_token"])
def test_a_part_that_is_free_costs_nothing(part: str) -> None:
    free = charged(a_price(**{**FULL, part: "0"}), a_track(**CALL))
    tokens = {"cache_read_token": 300, "cache_write_token": 200, "reasoning_token": 100}[part]
    saved = rounded(Fraction(FULL[part]) * tokens)
    assert charged(a_price(**FULL), a_track(**CALL))[0] - free[0] == saved > 0


@pytest.mark.parametrize("unit", ["search", "image", "page"])
@pytest.mark.parametrize(("count", "times"), [(None, 1), (0, 0), (1, 1), (7, 7), (10**6, 10**6)])
def test_an_absent_count_is_one_if_the_row_prices_the_unit(
    unit: str, count: int | None, times: int
) -> None:
    price = a_price(**{unit: "0.0123"})
    assert charged(price, counting(unit, count)) == (nano("0.0123") * times, 0, 0)


@pytest.mark.parametrize("unit", ["search", "image", "page"])
def test_a_count_of_a_unit_that_the_row_does_not_price_costs_nothing(unit: str) -> None:
    assert charged(a_price(input_token="0.001"), counting(unit, 5))[0] == 0


def test_the_price_per_request_is_charged_once_whatever_is_counted() -> None:
    call = a_track(tokens_input=9, search_count=9, image_count=9, page_count=9)
    assert charged(a_price(request="0.02"), call)[0] == nano("0.02")


@pytest.mark.parametrize(
    ("tokens", "usd", "total"),
    [
        (1, "0.0000000005", 0),  # half a nano-dollar: down to even
        (3, "0.0000000005", 2),  # one and a half: up to even
        (5, "0.0000000005", 2),
        (7, "0.0000000005", 4),
        (1, "0.000000000501", 1),
        (1, "0.000000000499", 0),
    ],
)
def test_a_charge_is_rounded_half_to_even(tokens: int, usd: str, total: int) -> None:
    assert charged(a_price(input_token=usd), a_track(tokens_input=tokens))[0] == total


def test_the_exact_sum_is_rounded_once_and_not_part_by_part() -> None:
    half = "0.0000000005"
    found = charged(
        a_price(input_token=half, output_token=half, request="0.000000000001"),
        a_track(tokens_input=1, tokens_output=1),
    )
    assert found == (1, 0, 0)  # the two halves make one, though each alone rounds to nothing


unit_prices = st.integers(0, 10**18)
counts = st.none() | st.integers(0, 10**6)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    whole_in, whole_out = draw(st.integers(0, 10**9)), draw(st.integers(0, 10**9))
    read = draw(st.none() | st.integers(0, whole_in))
    return {
        "tokens_input": whole_in,
        "tokens_output": whole_out,
        "tokens_cache_read": read,
        "tokens_cache_write": draw(st.none() | st.integers(0, whole_in - (read or 0))),
        "tokens_reasoning": draw(st.none() | st.integers(0, whole_out)),
        **{f"{unit}_count": draw(counts) for unit in ("search", "image", "page")},
    }


@given(calls(), st.dictionaries(st.sampled_from(sorted(FULL)), unit_prices))
def test_a_charge_is_the_exact_sum_of_its_parts_rounded_once(
    call: dict[str, Any], row: dict[str, int]
) -> None:
    usd = {unit: Fraction(pico, 10**12) for unit, pico in row.items()}
    per_in, per_out = usd.get("input_token", Fraction(0)), usd.get("output_token", Fraction(0))
    read, write, thought = (
        call[f"tokens_{part}"] or 0 for part in ("cache_read", "cache_write", "reasoning")
    )
    part_in = (call["tokens_input"] - read - write) * per_in
    part_in += read * usd.get("cache_read_token", per_in)
    part_in += write * usd.get("cache_write_token", per_in)
    part_out = (call["tokens_output"] - thought) * per_out
    part_out += thought * usd.get("reasoning_token", per_out)
    total = part_in + part_out + usd.get("request", Fraction(0))
    silent = all(call[f"{unit}_count"] is None for unit in ("search", "image", "page"))
    for unit in ("search", "image", "page"):
        count = call[f"{unit}_count"]
        total += usd.get(unit, Fraction(0)) * (int(silent) if count is None else count)
    own = price("p", "m", row)
    expected = (rounded(total), rounded(part_in), rounded(part_out))
    assert charged(own, a_track(**call)) == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tokens_input": 10, "tokens_cache_read": 11}, "tokens_cache_read"),
        ({"tokens_cache_read": 1}, "tokens_cache_read"),
        ({"tokens_input": 10, "tokens_cache_write": 11}, "tokens_cache_write"),
        (
            {"tokens_input": 10, "tokens_cache_read": 6, "tokens_cache_write": 5},
            "tokens_cache_write",
        ),
        ({"tokens_output": 10, "tokens_reasoning": 11}, "tokens_reasoning"),
        ({"tokens_input": 10, "tokens_reasoning": 1}, "tokens_reasoning"),
    ],
)
def test_a_part_larger_than_its_whole_is_refused_by_its_field(
    fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_parts(said(a_track(**fields)))
    assert caught.value.field == named
    meter = Meter()
    with pytest.raises(InvalidRequest):
        meter.track(**fields)
    assert meter.log == []


def test_parts_may_be_all_of_their_whole() -> None:
    call = a_track(
        tokens_input=10,
        tokens_output=7,
        tokens_cache_read=6,
        tokens_cache_write=4,
        tokens_reasoning=7,
    )
    check_parts(said(call))


@pytest.mark.parametrize("row", PRICES, ids=lambda row: f"{row['provider']}/{row['model']}")
def test_every_default_price_is_found_by_its_exact_name_and_charged(row: dict[str, str]) -> None:
    found = default_catalog().price(row["provider"], row["model"], NOON)
    usd = {
        key.removeprefix("cost_per_"): Fraction(text) for key, text in row.items() if "cost" in key
    }
    total = usd.get("input_token", 0) * 1_234 + usd.get("output_token", 0) * 567
    total += sum(usd.get(unit, Fraction(0)) for unit in ("request", "search", "image", "page"))
    assert found.how == "catalog"
    call = a_track(tokens_input=1_234, tokens_output=567)
    assert charged(found.price, call)[0] == rounded(Fraction(total))


@pytest.mark.parametrize(
    ("provider", "model", "how", "cost"),
    [
        ("openai", "gpt-4o", "catalog", "0.0125"),
        ("openai", "GPT-4o", "catalog", "0.0125"),
        ("openai", "gpt-4o ", "catalog", "0.0125"),
        ("openai", "gpt-4o-2024", "estimate", "0.002"),
        ("gemini", "gpt-4o", "estimate", "0.002"),
        ("mistral", "mistral-large", "provider_default", "0.004"),
        ("huggingface", "mistral-large", "provider_default", "0.004"),
        ("huggingface", "gpt-oss-120b", "catalog", "0.004"),
        ("video", "unheard-of", "provider_default", "0.25"),
        ("exa", "unheard-of", "estimate", "0.002"),
    ],
)
def test_a_model_without_a_row_gets_its_providers_default_else_an_estimate(
    provider: str, model: str, how: str, cost: str
) -> None:
    reply = Meter().track(provider, model_used=model, tokens_input=1_000, tokens_output=1_000)
    assert (reply.priced, nano(reply.cost)) == (how, nano(cost))


def test_an_estimate_is_one_dollar_per_million_tokens() -> None:
    call = a_track(tokens_input=600_000, tokens_output=400_000, tokens_cache_read=1, search_count=9)
    assert charged(ESTIMATE, call) == (nano(1), nano("0.6"), nano("0.4"))


@pytest.mark.parametrize("billed", ["0", "0.000000001", "1.5", "1000000"])
def test_a_cost_that_the_caller_knows_is_billed_and_the_catalogues_kept(billed: str) -> None:
    meter = Meter(catalog_of(a_price(input_token="0.001")), terms=plan({}))
    reply = meter.track(model_used="m", tokens_input=3, cost=Decimal(billed))
    assert reply.priced == "caller"
    assert nano(reply.cost) == nano(billed)
    assert reply.cost_input == reply.cost_output == 0
    assert reply.cost_catalog is not None
    assert nano(reply.cost_catalog) == nano("0.003")
    assert meter.current.totals() == (1, 3, nano(billed))


def test_without_the_callers_cost_there_is_no_other_cost() -> None:
    reply = Meter().track("openai", tokens_input=1_000)
    assert (reply.priced, reply.cost_catalog) == ("catalog", None)
    assert reply.cost == reply.cost_input == Decimal("0.00015")


def test_a_failed_call_is_priced_like_any_other() -> None:
    failed = Meter().track("openai", tokens_input=1_000, status_code=500)
    assert failed.cost == Meter().track("openai", tokens_input=1_000).cost > 0


def test_a_charge_keeps_which_price_it_used() -> None:
    meter = Meter(catalog_of(a_price(input_token="0.001")), terms=plan({}))
    meter.track(model_used="m", tokens_input=1)
    meter.track(model_used="m", tokens_input=1, cost=1)
    meter.track(model_used="another", tokens_input=1)
    assert [event.price_version for event in meter.usage] == [7, 7, 0]


@pytest.mark.parametrize(
    ("prices", "tokens", "count", "usd"),
    [
        ({"input_token": "0.000001", "output_token": "0.000003"}, 1_000, 1, "0.003"),
        ({"input_token": "0.000003", "output_token": "0.000001"}, 1_000, 1, "0.003"),
        ({"input_token": "0.000003"}, 1_000, 1, "0.003"),
        ({"output_token": "0.000003", "request": "0.5"}, 1_000, 3, "1.503"),
        ({"request": "0.25"}, 0, 4, "1"),
        ({"reasoning_token": "9", "search": "9", "image": "9", "page": "9"}, 1_000, 1, "0"),
        ({"input_token": "0.0000000005"}, 5, 1, "0.000000002"),
    ],
)
def test_calls_not_made_yet_are_estimated_at_the_dearer_token_price(
    prices: dict[str, str], tokens: int, count: int, usd: str
) -> None:
    assert estimate(a_price(**prices), tokens, count) == nano(usd)
