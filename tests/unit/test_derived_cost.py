"""What a call to be made may cost, of its counts: contract 1.1, section 4."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from actors.billing.catalog.prices import UnitPrice, price
from actors.billing.catalog.provider_changes import put_provider
from messages.admission import EnforceReply
from messages.catalog import ProvidersPut
from messages.errors import InvalidRequest
from tests.support.meter import Meter, catalog_of, nano, plan

# In millionths of a USD: 2 and 5 for tokens, 1 for cached ones, 7 for audio; above 1,000 tokens
# of input all is twice that. 0.017 USD for a minute.
ROW = price(
    "openai",
    "m",
    {
        "input_token": 2_000_000,
        "output_token": 5_000_000,
        "cache_read_token": 1_000_000,
        "input_audio": 7_000_000,
    },
    tiers=(
        (
            1_000,
            {
                "input_token": 4_000_000,
                "output_token": 10_000_000,
                "cache_read_token": 2_000_000,
                "input_audio": 14_000_000,
            },
        ),
    ),
    units={"seconds": UnitPrice(17 * 10**9, 60)},
    multipliers={"us": 11_000},
    aliases=("m-latest",),
)
BATCH = price("openai", "m", {"input_token": 1_000_000, "output_token": 2_500_000}, variant="batch")


def metered() -> Meter:
    return Meter(catalog_of(ROW, BATCH), terms=plan({"monthly_cost": nano(100)}))


def cost_of(reply: EnforceReply) -> Decimal:
    (state,) = reply.limits
    return Decimal(state.requested)


@pytest.mark.parametrize(
    ("asked", "usd"),
    [
        ({"tokens_input": 100, "tokens_output": 10}, "0.00025"),
        ({"tokens_input": 100, "tokens_output": 10, "calls": 3}, "0.00075"),
        ({"tokens_input": 100, "tokens_cache_read": 40}, "0.00016"),
        (
            {"tokens_input": 100, "tokens_cache_read": 40, "token_counting": "exclusive"},
            "0.00024",
        ),
        ({"tokens_input": 100, "token_parts": {"input_audio": 10}}, "0.00025"),
        ({"tokens_input": 1_000}, "0.002"),
        ({"tokens_input": 1_001}, "0.004004"),
        ({"tokens_input": 100, "price_variant": "batch"}, "0.0001"),
        ({"tokens_input": 100, "price_factors": ["us"]}, "0.00022"),
        ({"tokens_input": 100, "units": {"seconds": 90}}, "0.0257"),
    ],
)
def test_with_counts_it_is_what_a_call_of_these_is_charged(asked: dict[str, Any], usd: str) -> None:
    units = asked.get("units")
    calls = asked.get("calls", 1)
    made = {name: said for name, said in asked.items() if name != "calls"}
    assert metered().track(model_used="m", **made).cost * calls == Decimal(usd)
    wanted = {name: said for name, said in asked.items() if name != "units"}
    if units is not None:
        wanted["units_requested"] = units
    reply = metered().enforce(model_used="m", **wanted)
    assert cost_of(reply) == Decimal(usd)
    assert (reply.priced, reply.price_model, reply.matched_by) == ("catalog", "m", "exact")
    assert reply.unpriced == ()


def test_tokens_beyond_the_counts_cost_the_dearer_ones_and_choose_the_tier() -> None:
    asked: dict[str, Any] = {"model_used": "m", "tokens_input": 100, "tokens_output": 10}
    more = metered().enforce(**asked, tokens_requested=210)
    assert cost_of(more) == Decimal("0.00075")  # 100 more of output
    tier = metered().enforce(**asked, tokens_requested=1_001)
    assert cost_of(tier) == Decimal("0.0005") + Decimal("0.00001") * 891
    with pytest.raises(InvalidRequest, match="below the tokens") as refused:
        metered().enforce(**asked, tokens_requested=109)
    assert refused.value.field == "tokens_requested"


def test_without_counts_it_is_the_formula_of_version_1_and_a_given_cost_stands() -> None:
    assert cost_of(metered().enforce(model_used="m", tokens_requested=100)) == Decimal("0.0005")
    given = metered().enforce(model_used="m", tokens_input=100, cost_requested=1)
    assert (cost_of(given), given.priced) == (Decimal(1), "caller")


def test_it_says_how_the_price_was_found_and_what_has_none() -> None:
    reply = metered().enforce(
        model_used="m-latest", tokens_input=1, search_count=2, price_factors=["moon"]
    )
    assert (reply.price_model, reply.matched_by) == ("m", "alias")
    assert sorted(reply.unpriced) == ["moon", "search_count"]


@pytest.mark.parametrize(
    ("policy", "allowed", "reason", "cost"),
    [
        ("estimate", True, "within_limits", "0.0001"),
        ("zero", True, "within_limits", "0"),
        ("refuse", False, "unpriced_model", "0.0001"),
    ],
)
def test_where_it_would_be_the_estimate_the_provider_says_what_happens(
    policy: Any, *, allowed: bool, reason: str, cost: str
) -> None:
    meter = metered()
    entry = ProvidersPut(id="vllm", unpriced=policy)
    meter.catalog.take(put_provider(meter.catalog, entry), meter.catalog.seq + 1)
    reply = meter.enforce("vllm", model_used="own", tokens_input=100)
    assert (reply.allowed, reply.reason_code) == (allowed, reason)
    assert (reply.priced, reply.matched_by) == ("estimate", None)
    made = meter.track("vllm", model_used="own", tokens_input=100)
    assert (made.priced, made.cost) == ("estimate", Decimal(cost))
