"""Prices of contract 1.1 through the whole service: put, found, charged, logged, taken back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.meter import micros
from tests.support.rig import Answer, Rig

SONNET: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-x",
    "cost_per_input_token": 0.000003,
    "cost_per_output_token": 0.000015,
    "cost_per_cache_read_token": 0.0000003,
    "cost_per_cache_write_token": 0.00000375,
    "tiers": [
        {
            "above_input_tokens": 200_000,
            "cost_per_input_token": 0.000006,
            "cost_per_output_token": 0.0000225,
        }
    ],
    "token_parts": {"cache_write_long": 0.000006},
    "units": {"web_searches": 0.01, "seconds": {"usd": 0.017, "per": 60}},
    "multipliers": {"us": 1.1, "fast": 6},
    "aliases": ["claude-latest"],
}
CALL: dict[str, Any] = {"provider": "anthropic", "model_used": "claude-x"}


async def put(rig: Rig, **fields: Any) -> Any:
    answer = await rig.catalog("prices.put", **fields)
    assert answer.code == "", answer.body
    return answer.body["price"]


async def track(rig: Rig, **fields: Any) -> Any:
    answer = await rig.ask("track", **{**CALL, **fields})
    assert answer.code == "", answer.body
    return answer.body


def usd(answer: Any, field: str = "cost") -> Decimal:
    return Decimal(str(answer[field]))


async def test_a_price_is_listed_as_it_was_put(rig: Rig) -> None:
    shown = await put(rig, **SONNET)
    listed = await rig.catalog("prices.list", provider="anthropic", model="claude-x")
    assert listed.body["prices"] == [shown]
    assert shown["tiers"] == [
        {
            "above_input_tokens": 200_000,
            "cost_per_input_token": 0.000006,
            "cost_per_output_token": 0.0000225,
            "cost_per_cache_read_token": None,
            "cost_per_cache_write_token": None,
            "cost_per_reasoning_token": None,
            "token_parts": {},
        }
    ]
    assert shown["token_parts"] == {"cache_write_long": 0.000006}
    assert shown["units"] == {"seconds": {"usd": 0.017, "per": 60}, "web_searches": 0.01}
    assert shown["multipliers"] == {"fast": 6, "us": 1.1}
    assert (shown["aliases"], shown["variant"]) == (["claude-latest"], "")
    again = await put(rig, **{**SONNET, "model": "claude-y", "aliases": []} | {"event_id": "k"})
    same = await rig.catalog(
        "prices.put", **{**SONNET, "model": "claude-y", "aliases": [], "event_id": "k"}
    )
    assert (same.body["duplicate"], same.body["price"]) == (True, again)


async def test_a_price_of_a_unit_for_null_of_it_is_for_one(rig: Rig) -> None:
    """Null in an optional field is the same as leaving it out: contract, section 2."""
    unit = {"seconds": {"usd": 0.5, "per": None}}
    assert (await put(rig, provider="exa", model="m", units=unit))["units"] == {"seconds": 0.5}


async def test_a_call_is_priced_by_all_that_its_row_and_it_say_and_the_log_keeps_how(
    rig: Rig,
) -> None:
    await put(rig, **SONNET)
    said = {
        "tokens_input": 1_000,
        "tokens_output": 500,
        "tokens_cache_read": 250_000,
        "tokens_cache_write": 10_000,
        "token_counting": "exclusive",
        "token_parts": {"cache_write_long": 4_000, "input_audio": 0},
        "price_factors": ["us", "nowhere"],
        "event_id": "e",
    }
    reply = await track(rig, **said)
    # Above 200,000 of the input: 261,000 with what the cache had.
    part_in = 1_000 * 6 + 250_000 * Decimal("0.3") + 6_000 * Decimal("3.75") + 4_000 * 6
    part_out = 500 * Decimal("22.5")
    assert usd(reply, "cost_input") == part_in * Decimal("1.1") / 10**6
    assert usd(reply, "cost_output") == part_out * Decimal("1.1") / 10**6
    assert usd(reply) == (part_in + part_out) * Decimal("1.1") / 10**6
    assert (reply["tier"], reply["unpriced"]) == (200_000, ["nowhere"])
    assert reply["tokens_used"] == 261_500
    assert (await track(rig, **said))["duplicate"] is True
    (entry,) = (await rig.ask("logs")).body["logs"]
    assert (entry["tokens_input"], entry["token_counting"]) == (261_000, "exclusive")
    assert entry["token_parts"] == {"cache_write_long": 4_000}
    assert (entry["price_factors"], entry["tier"]) == (["nowhere", "us"], 200_000)
    assert (entry["price_model"], entry["matched_by"]) == ("claude-x", "exact")
    others: list[dict[str, Any]] = [
        {"token_counting": "inclusive", "tokens_input": 261_000},
        {"price_factors": []},
    ]
    for other in others:
        answer = await rig.ask("track", **{**CALL, **said, **other})
        assert answer.code == "idempotency_mismatch"


async def test_the_bound_of_a_tier_itself_is_below_it(rig: Rig) -> None:
    await put(rig, **SONNET)
    below = await track(rig, tokens_input=200_000)
    above = await track(rig, tokens_input=200_001)
    assert (usd(below), below["tier"]) == (Decimal("0.6"), None)
    assert (usd(above), above["tier"]) == (Decimal("1.200006"), 200_000)


async def test_a_variant_stands_alone_and_a_model_without_it_says_so(rig: Rig) -> None:
    await put(rig, **SONNET)
    half = {"cost_per_input_token": 0.0000015, "variant": "batch"}
    await put(rig, provider="anthropic", model="claude-x", **half)
    batch = await track(rig, price_variant="batch", tokens_input=1_000_000, tokens_output=7)
    assert (usd(batch), batch["variant_priced"]) == (Decimal("1.5"), True)
    assert batch["unpriced"] == ["tokens_output"]
    flex = await track(rig, price_variant="flex", tokens_input=1_000, event_id="f")
    assert (usd(flex), flex["variant_priced"]) == (Decimal("0.003"), False)
    plain = await track(rig, tokens_input=1_000)
    assert (usd(plain), plain["variant_priced"]) == (Decimal("0.003"), None)
    alias = await track(rig, model_used="claude-latest", price_variant="batch", tokens_input=2)
    assert (alias["price_model"], alias["matched_by"]) == ("claude-x", "alias")
    assert (usd(alias), alias["variant_priced"]) == (Decimal("0.000003"), True)
    shown = (await rig.ask("logs")).body["logs"][::-1]
    assert [entry["variant_priced"] for entry in shown] == [True, False, None, True]
    assert [entry["price_variant"] for entry in shown] == ["batch", "flex", None, "batch"]


@pytest.mark.parametrize(
    ("name", "how", "factor"),
    [
        ("claude-x", "exact", 1),
        ("claude-latest", "alias", 1),
        (" Claude-X", "normalised", 1),
        ("anthropic/claude-x", "normalised", 1),
        ("publishers/anthropic/models/claude-x", "normalised", 1),
        ("claude-x-20250929", "undated", 1),
        ("claude-x@20250929", "undated", 1),
        ("us.anthropic.claude-x-20250929-v1:0", "undated", Decimal("1.1")),
        ("eu.anthropic.claude-x-20250929-v1:0", "undated", 1),
        ("bedrock/anthropic.claude-x-2025-09-29", "undated", 1),
    ],
)
async def test_a_model_is_found_by_the_names_that_providers_give_it(
    rig: Rig, name: str, how: str, factor: Decimal | int
) -> None:
    await put(rig, **SONNET)
    reply = await track(rig, model_used=name, tokens_input=1_000, event_id="e")
    assert (reply["priced"], reply["price_model"], reply["matched_by"]) == (
        *("catalog", "claude-x", how),
    )
    assert usd(reply) == Decimal("0.003") * factor
    assert (await track(rig, model_used=name, tokens_input=1_000, event_id="e"))["duplicate"]
    (entry,) = (await rig.ask("logs")).body["logs"]
    assert (entry["model_used"], entry["price_model"], entry["matched_by"]) == (
        *(name, "claude-x", how),
    )
    asked = await rig.ask("enforce", **{**CALL, "model_used": name, "tokens_input": 1_000})
    assert (asked.body["price_model"], asked.body["matched_by"]) == ("claude-x", how)


@pytest.mark.parametrize(
    "name",
    [
        *("claude-x-20250230", "claude-x-2025", "claude-x-latest", "claude-x-09-2025", "claude"),
        *("claude-x-20250929-v1", "openai/claude-x", "us.openai.anthropic.claude-x", ""),
        "ft:claude-x:acme::1",
    ],
)
async def test_no_other_name_finds_it(rig: Rig, name: str) -> None:
    await put(rig, **SONNET)
    reply = await track(rig, model_used=name, tokens_input=1_000)
    assert reply["price_model"] != "claude-x"


async def test_two_models_of_one_normalised_name_are_found_by_neither(rig: Rig) -> None:
    await put(rig, **SONNET)
    await put(rig, **{**SONNET, "model": "Claude-X", "aliases": []})
    assert (await track(rig, model_used="claude-x"))["matched_by"] == "exact"
    for name in ("CLAUDE-X", "claude-x-20250929"):
        assert (await track(rig, model_used=name))["priced"] == "estimate"


async def test_an_alias_of_two_models_is_refused_and_of_the_same_one_is_not(rig: Rig) -> None:
    await put(rig, **SONNET)
    later = {"effective_from": "2026-03-16T00:00:00Z"}
    await put(rig, **{**SONNET, **later})
    other = await rig.catalog("prices.put", **{**SONNET, "model": "claude-y"})
    assert (other.code, other.error["field"]) == ("invalid_request", "aliases")
    variant = await rig.catalog("prices.put", **{**SONNET, "variant": "batch"})
    assert (variant.code, variant.error["field"]) == ("invalid_request", "aliases")


async def test_a_price_to_come_is_taken_back_and_what_it_would_have_replaced_stays(
    rig: Rig,
) -> None:
    await put(rig, **SONNET)
    then = "2026-03-16T00:00:00Z"
    dear = {"cost_per_input_token": 1, "effective_from": then}
    await put(rig, provider="anthropic", model="claude-x", **dear)
    body = {"provider": "anthropic", "model": "claude-x", "effective_from": then}

    async def cancel(**fields: Any) -> Answer:
        return await rig.catalog("prices.cancel", **{**body, **fields})

    for fields, code, field in (
        ({"variant": "batch"}, "unknown_price", "effective_from"),
        ({"model": "claude-z"}, "unknown_price", "effective_from"),
        ({"effective_from": "2026-03-15T23:00:00Z"}, "unknown_price", "effective_from"),
        ({"effective_from": "2026-03-15T12:00:00Z"}, "invalid_request", "effective_from"),
    ):
        refused = await cancel(**fields)
        assert (refused.code, refused.error["field"]) == (code, field), fields
    done = await cancel(event_id="c")
    assert done.body["effective_from"] == then
    assert (await cancel(event_id="c")).body["duplicate"] is True
    assert (await cancel()).code == "unknown_price"
    listed = await rig.catalog("prices.list", provider="anthropic", model="claude-x")
    assert len(listed.body["prices"]) == 1
    rig.clock.at = micros("2026-03-16T01:00:00Z")
    assert usd(await track(rig, tokens_input=1_000)) == Decimal("0.003")
    rig = await rig.restart()
    assert usd(await track(rig, tokens_input=1_000)) == Decimal("0.003")
    await rig.stop()


async def test_a_price_may_lie_in_the_past_where_its_variant_had_none(rig: Rig) -> None:
    past = {"effective_from": "2026-03-15T10:00:00Z"}
    at = {"timestamp": "2026-03-15T11:00:00Z", "tokens_input": 1_000}
    assert (await track(rig, **at))["priced"] == "estimate"
    await put(rig, **{**SONNET, **past})
    assert usd(await track(rig, **at)) == Decimal("0.003")
    again = await rig.catalog("prices.put", **{**SONNET, **past})
    assert (again.code, again.error["field"]) == ("invalid_request", "effective_from")
    await put(
        rig, provider="anthropic", model="claude-x", variant="batch", cost_per_request=1, **past
    )
    before = {"effective_from": "2026-03-15T09:00:00Z"}
    await put(rig, provider="anthropic", model="claude-x", cost_per_request=1, **before)
    assert usd(await track(rig, **at)) == Decimal("0.003")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "cost_per_input_token"),
        ({"multipliers": {"us": 2}}, "cost_per_input_token"),
        ({"tiers": [{"above_input_tokens": 5}]}, "tiers"),
        (
            {"tiers": [{"above_input_tokens": n, "cost_per_input_token": 1} for n in (5, 5)]},
            "tiers",
        ),
        (
            {"tiers": [{"above_input_tokens": n, "cost_per_input_token": 1} for n in range(5)]},
            "tiers",
        ),
        ({"token_parts": {"input_audio": -1}}, "token_parts"),
        ({"token_parts": {"audio": 1}}, "token_parts"),
        ({"units": {"seconds": {"usd": 1, "per": 0}}}, "units"),
        ({"units": {"seconds": {"usd": 1, "each": 1}}}, "units"),
        ({"units": {"seconds": "1"}}, "units"),
        ({"units": {"seconds": None}}, "units"),
        ({"multipliers": {"us": 1000.1}, "cost_per_request": 1}, "multipliers"),
        ({"multipliers": {"us": 1.00001}, "cost_per_request": 1}, "multipliers"),
        ({"aliases": ["a" * 257], "cost_per_request": 1}, "aliases"),
        ({"aliases": ["a"] * 65, "cost_per_request": 1}, "aliases"),
        ({"variant": "v" * 65, "cost_per_request": 1}, "variant"),
    ],
)
async def test_a_price_that_cannot_be_is_refused_and_its_field_named(
    rig: Rig, fields: dict[str, Any], field: str
) -> None:
    answer = await rig.catalog("prices.put", provider="exa", model="m", **fields)
    assert (answer.code, answer.error["field"]) == ("invalid_request", field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tokens_input": 5, "token_parts": {"input_audio": 6}}, "token_parts"),
        (
            {"tokens_input": 5, "tokens_cache_read": 3, "token_parts": {"input_image": 3}},
            "token_parts",
        ),
        ({"tokens_output": 5, "token_parts": {"output_audio": 6}}, "token_parts"),
        ({"tokens_input": 5, "token_parts": {"cache_read_audio": 1}}, "token_parts"),
        (
            {"tokens_input": 9, "tokens_cache_write": 5, "token_parts": {"cache_write_long": 6}},
            "token_parts",
        ),
        (
            {"tokens_input": 10**9, "tokens_cache_read": 1, "token_counting": "exclusive"},
            "tokens_input",
        ),
    ],
)
async def test_parts_over_their_whole_are_refused_everywhere(
    rig: Rig, fields: dict[str, Any], field: str
) -> None:
    for verb in ("track", "enforce", "hold"):
        answer = await rig.ask(verb, **{**CALL, **fields})
        assert (answer.code, answer.error["field"]) == ("invalid_request", field), verb
    answer = await rig.catalog("estimate.cost", **{**CALL, **fields})
    assert (answer.code, answer.error["field"]) == ("invalid_request", field)
