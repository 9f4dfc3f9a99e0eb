"""The catalogue through its actor: plans and prices with versions, estimates, users."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest

from actors.billing.catalog.providers import NAMES
from actors.billing.periods.calendar import add_months
from messages.codec import decode_event
from messages.stored.events import (
    UsageRecorded,
)
from messages.subjects import PREFIX
from persistence.errors import Damaged
from tests.support.faults import Fault
from tests.support.meter import NOON, micros
from tests.support.rig import Rig, Start

GPT = {"provider": "openai", "model": "gpt-9"}
TOO_EARLY = {"effective_from": "0001-01-01T00:00:00+01:00"}
TOO_LATE = {"effective_from": "9999-12-31T23:59:59-01:00"}
PLAN: dict[str, Any] = {
    "name": "Team",
    "tier": "team",
    "price_monthly": 49,
    "price_yearly": 490.5,
    "limits": {"openai_calls": 3, "monthly_cost": 1.5, "exa_cost": 0},
    "features": ["sso"],
}


async def put_price(rig: Rig, **fields: Any) -> Any:
    answer = await rig.catalog("prices.put", **{**GPT, **fields})
    assert answer.code == "", answer.payload
    return answer.body


async def cost(rig: Rig, **fields: Any) -> Any:
    call = {"provider": "openai", "model_used": "gpt-9", "tokens_input": 1_000_000, **fields}
    return (await rig.ask("track", **call)).body["cost"]


async def test_the_default_plans_prices_and_providers_are_listed(rig: Rig) -> None:
    plans = (await rig.catalog("plans.list")).body
    assert [plan["name"] for plan in plans["plans"]] == ["Free", "Basic", "Pro", "Enterprise"]
    assert plans["plans"][2]["price_monthly"] == 79
    assert plans["plans"][0]["limits"]["monthly_cost"] == 2
    prices = (await rig.catalog("prices.list", provider="openai", model="gpt-4o-mini")).body
    assert [row for row in prices["prices"] if not row["variant"]] == [
        {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "cost_per_input_token": 0.00000015,
            "cost_per_output_token": 0.0000006,
            "cost_per_cache_read_token": None,
            "cost_per_cache_write_token": None,
            "cost_per_reasoning_token": None,
            "cost_per_request": None,
            "cost_per_search": None,
            "cost_per_image": None,
            "cost_per_page": None,
            "variant": "",
            "tiers": [],
            "token_parts": {},
            "units": {},
            "multipliers": {},
            "aliases": [],
            "effective_from": "1970-01-01T00:00:00Z",
            "version": 1,
        }
    ]
    providers = (await rig.catalog("providers.list")).body["providers"]
    assert [found["id"] for found in providers if found["builtin"]] == [*NAMES]
    mistral = next(found for found in providers if found["name"] == "mistral")
    assert (mistral["kind"], mistral["aliases"]) == ("llm", ["huggingface"])


async def test_a_price_counts_from_its_moment_on_and_charges_keep_theirs(rig: Rig) -> None:
    assert await cost(rig) == 1  # an estimate
    await put_price(rig, cost_per_input_token=0.000002)
    assert await cost(rig) == 2
    later = "2026-03-15T13:00:00Z"
    put = await put_price(rig, cost_per_input_token=0.000003, effective_from=later)
    assert put["price"]["version"] == put["version"] == 3
    assert await cost(rig) == 2
    rig.clock.at = micros(later)
    assert await cost(rig) == 3
    # Late events are charged by the price of their time.
    assert await cost(rig, timestamp="2026-03-15T12:59:59Z") == 2
    assert await cost(rig, timestamp="2026-03-15T11:59:59Z") == 1
    events = [decode_event(row.kind, row.body) for row in rig.inner._rows if row.user]
    versions = [event.price_version for event in events if isinstance(event, UsageRecorded)]
    assert [version == 3 for version in versions] == [False] * 3 + [True] + [False] * 2
    before = (await rig.ask("stats")).body
    rig = await rig.restart()
    assert (await rig.ask("stats")).body == before
    assert await cost(rig) == 3


async def test_a_price_may_begin_in_the_past_only_for_a_model_without_prices(rig: Rig) -> None:
    past = "2026-03-01T00:00:00Z"
    await put_price(rig, cost_per_input_token=0.000005, effective_from=past)
    assert await cost(rig, timestamp="2026-03-02T00:00:00Z") == 5
    answer = await rig.catalog("prices.put", **GPT, cost_per_request=1, effective_from=past)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "effective_from")
    assert len((await rig.catalog("prices.list", **GPT)).body["prices"]) == 1


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"provider": "nobody"}, "unknown_provider", "provider"),
        ({"cost_per_input_token": "1"}, "invalid_request", "cost_per_input_token"),
        ({"cost_per_input_token": -1}, "invalid_request", "cost_per_input_token"),
        ({"cost_per_image": 1e-13}, "invalid_request", "cost_per_image"),
        ({}, "invalid_request", "cost_per_input_token"),
        ({"nonsense": 1}, "invalid_request", "nonsense"),
        ({"effective_from": "now"}, "invalid_request", "effective_from"),
        ({**TOO_EARLY, "cost_per_page": 1}, "invalid_request", "effective_from"),
        ({**TOO_LATE, "cost_per_page": 1}, "invalid_request", "effective_from"),
        ({"model": ""}, "invalid_request", "model"),
    ],
)
async def test_an_invalid_price_is_refused_and_its_field_named(
    rig: Rig, fields: dict[str, Any], code: str, field: str
) -> None:
    answer = await rig.catalog("prices.put", **{**GPT, **fields})
    assert (answer.code, answer.error["field"]) == (code, field)


async def test_a_listed_price_can_be_put_back_and_aliases_are_resolved(rig: Rig) -> None:
    await put_price(rig, provider="huggingface", cost_per_input_token=0.000002)
    (row,) = (await rig.catalog("prices.list", provider="mistral", model="gpt-9")).body["prices"]
    assert row["provider"] == "mistral"
    rig.clock.at += 1
    answer = await rig.catalog("prices.put", **{**row, "effective_from": None})
    assert answer.body["price"]["version"] == 3


async def test_a_change_that_is_not_durable_prices_nothing(rig: Rig) -> None:
    rig.journal.appends.close()
    put = rig.deliver(
        "usage.v1.catalog.prices.put",
        b'{"provider":"openai","model":"gpt-9","cost_per_input_token":0.000007}',
    )
    track = rig.track(provider="openai", model_used="gpt-9", tokens_input=1_000_000)
    rig.journal.appends.open()
    assert (await rig.answer(put)).code == ""
    assert (await rig.answer(track)).body["cost"] == 1
    assert await cost(rig) == 7


@pytest.mark.parametrize(
    "fault", [Fault.NOT_STORED, Fault.UNKNOWN_BUT_STORED, Fault.UNKNOWN_AND_LOST]
)
async def test_after_a_failed_write_the_catalogue_is_what_the_log_says(
    rig: Rig, fault: Fault
) -> None:
    rig.journal.fail_appends(fault)
    answer = await rig.catalog("prices.put", **GPT, cost_per_input_token=0.000007)
    assert answer.code in {"unavailable", "outcome_unknown"}
    listed = (await rig.catalog("prices.list", **GPT)).body["prices"]
    stored = any(row.kind == "price" for row in rig.inner._rows)
    assert len(listed) == int(stored)
    assert await cost(rig) == (7 if stored else 1)


async def test_a_change_of_unknown_outcome_that_is_stored_takes_effect_by_itself(
    rig: Rig,
) -> None:
    rig.journal.fail_appends(Fault.UNKNOWN_BUT_STORED)
    answer = await rig.catalog("prices.put", **GPT, cost_per_input_token=0.000007)
    assert answer.code == "outcome_unknown"
    await rig.idle()
    assert await cost(rig) == 7


async def test_a_plan_that_is_put_holds_from_the_next_period_or_at_once_on_subscribe(
    rig: Rig,
) -> None:
    put = (await rig.catalog("plans.put", **PLAN)).body
    assert put["plan"] == {**PLAN, "version": 2}
    await rig.ask("subscribe", plan="team", billing_cycle="monthly")
    await rig.catalog("plans.put", **{**PLAN, "limits": {"openai_calls": 9}})
    assert (await rig.ask("stats")).body["limits"]["limits"]["openai_calls"] == 3
    await rig.ask("subscribe", "bob", plan="Team", billing_cycle="monthly")
    assert (await rig.ask("stats", "bob")).body["limits"]["limits"] == {"openai_calls": 9}
    rig.clock.at = micros("2026-04-16T00:00:00Z")
    assert (await rig.ask("stats")).body["limits"]["limits"] == {"openai_calls": 9}
    rig = await rig.restart()
    names = [plan["name"] for plan in (await rig.catalog("plans.list")).body["plans"]]
    assert names == ["Free", "Basic", "Pro", "Enterprise", "Team"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limits": {"openai_call": 1}}, "limits"),
        ({"limits": {"nobody_calls": 1}}, "limits"),
        ({"limits": {"openai_calls": 1.5}}, "limits"),
        ({"limits": {"openai_calls": True}}, "limits"),
        ({"limits": {"monthly_cost": -1}}, "limits"),
        ({"name": "Pro"}, "tier"),
        ({"price_monthly": "9"}, "price_monthly"),
        ({"price_yearly": None}, "price_yearly"),
        ({"features": [1]}, "features"),
        ({"name": ""}, "name"),
    ],
)
async def test_an_invalid_plan_is_refused_and_its_field_named(
    rig: Rig, fields: dict[str, Any], field: str
) -> None:
    answer = await rig.catalog("plans.put", **{**PLAN, **fields})
    assert (answer.code, answer.error["field"]) == ("invalid_request", field)


async def test_a_change_s_key_gives_the_original_reply(rig: Rig) -> None:
    first = await put_price(rig, cost_per_input_token=0.000002, event_id="k")
    rig.clock.at += 1
    await put_price(rig, cost_per_input_token=0.000003)
    again = await put_price(rig, cost_per_input_token=2e-6, event_id="k")
    assert again == {**first, "duplicate": True}
    other = await rig.catalog("prices.put", **GPT, cost_per_input_token=1, event_id="k")
    assert other.code == "idempotency_mismatch"
    assert (await rig.catalog("plans.put", **PLAN, event_id="k")).code == "idempotency_mismatch"
    # Keys belong to one user; the catalogue is none of them.
    assert (await rig.ask("track", provider="exa", event_id="k")).code == ""


@pytest.mark.parametrize("part", [b'"price_monthly": 49', b'"openai_calls": 3'])
async def test_a_known_key_with_bytes_that_are_no_text_is_another_content(
    rig: Rig, part: bytes
) -> None:
    assert (await rig.catalog("plans.put", **PLAN, event_id="k")).code == ""
    body = json.dumps({**PLAN, "event_id": "k"}).encode()
    odd = body.replace(part, part.rpartition(b" ")[0] + b' "\xff"')
    assert odd != body
    found = await rig.answer(rig.deliver(f"{PREFIX}.catalog.plans.put", odd))
    assert found.code == "idempotency_mismatch"


async def test_the_order_of_a_plan_s_limits_is_no_part_of_its_content(rig: Rig) -> None:
    first = (await rig.catalog("plans.put", **PLAN, event_id="k")).body
    limits = dict(reversed(PLAN["limits"].items()))
    again = await rig.catalog("plans.put", **{**PLAN, "limits": limits}, event_id="k")
    assert again.body == {**first, "duplicate": True}


async def test_an_estimate_counts_the_words_of_a_text(rig: Rig) -> None:
    ask = {"provider": "openai", "text": "one two  three\n", "tokens_output": 10}
    body = (await rig.catalog("estimate.cost", **ask)).body
    assert (body["tokens_input"], body["tokens_output"]) == (3, 10)
    assert body["cost"] == pytest.approx(3 * 0.00000015 + 10 * 0.0000006, abs=1e-9)
    assert body["priced"] == "catalog"
    assert (await rig.catalog("estimate.cost", provider="x")).code == "unknown_provider"
    assert (await rig.ask("stats")).body["seq"] == 0


async def test_users_are_listed_in_pages_with_what_their_period_counts(rig: Rig) -> None:
    users = ["alice", "bob", "álvaro", "al b"]
    for count, user in enumerate(users, 1):
        for _ in range(count):
            await rig.ask("track", user, provider="exa", cost=0.5)
    await rig.catalog("plans.put", **PLAN)
    first = (await rig.catalog("users.list", limit=3)).body
    assert [user["user_id"] for user in first["users"]] == ["al b", "alice", "bob"]
    assert first["users"][0] == {
        "user_id": "al b",
        "plan": "Free",
        "billing_period": "2026-03",
        "total_calls": 4,
        "total_tokens": 0,
        "total_cost": 2.0,
        "usage_status": "limit_reached",
        "last_updated": "2026-03-15T12:00:00Z",
    }
    rest = (await rig.catalog("users.list", limit=3, cursor=first["next_cursor"])).body
    assert [user["user_id"] for user in rest["users"]] == ["álvaro"]
    assert rest["next_cursor"] is None
    begins = (await rig.catalog("users.list", prefix="al")).body["users"]
    assert [user["user_id"] for user in begins] == ["al b", "alice"]
    other = await rig.catalog("users.list", prefix="b", cursor=first["next_cursor"])
    assert (other.code, other.error["field"]) == ("invalid_request", "cursor")
    rig.clock.at = NOON + 40 * 86_400_000_000
    now = (await rig.catalog("users.list", limit=1)).body["users"]
    assert [(user["billing_period"], user["total_calls"]) for user in now] == [("2026-04", 0)]
    old = (await rig.catalog("users.list", billing_period="2026-03")).body["users"]
    assert [user["total_calls"] for user in old] == [4, 1, 2, 3]


@pytest.mark.parametrize("awake", [[], [1], range(1, 13)])
async def test_users_are_listed_in_every_period_whose_stats_can_be_read(
    rig: Rig, awake: Iterable[int]
) -> None:
    await rig.ask("track", provider="exa", cost=0.5)
    await rig.ask("suspend", "bob")
    for month in awake:
        rig.clock.at = add_months(NOON, month)
        await rig.ask("stats")
    rig.clock.at = add_months(NOON, 14)
    (then,) = (await rig.catalog("users.list", billing_period="2026-03")).body["users"]
    stats = (await rig.ask("stats", billing_period="2026-03")).body
    assert {name: then[name] for name in then if name in stats} == {
        name: stats[name] for name in stats if name in then
    }
    assert (then["user_id"], then["total_calls"]) == ("alice", 1)
    now = (await rig.catalog("users.list")).body["users"]
    current = [(user["user_id"], user["billing_period"]) for user in now]
    assert current == [("alice", "2027-05"), ("bob", "2027-05")]


async def pages(rig: Rig, what: str, **fields: Any) -> list[list[Any]]:
    """What each page of a list shows."""
    found: list[list[Any]] = []
    cursor = None
    while cursor is not None or not found:
        page = (await rig.catalog(f"{what}.list", **fields, cursor=cursor)).body
        found.append(page[what])
        cursor = page["next_cursor"]
    return found


async def test_users_that_do_not_fit_into_one_reply_come_in_pages(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        await rig.ask("track", f"user-{number}", provider="exa")
    whole = await pages(rig, "users")
    monkeypatch.setattr("actors.app.PAGE_BYTES_MAX", 500)
    rig = await rig.restart()
    found = await pages(rig, "users")
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert [list(chain(*found))] == whole


@pytest.mark.parametrize("what", ["plans", "prices"])
async def test_a_list_too_large_for_one_reply_comes_in_pages(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    whole = [list(chain(*await pages(rig, what)))]
    monkeypatch.setattr("actors.app.PAGE_BYTES_MAX", 2_000 if what == "plans" else 200_000)
    rig = await rig.restart()
    found = await pages(rig, what)
    assert len(found) > 1
    assert [list(chain(*found))] == whole


@pytest.mark.parametrize(
    ("kind", "body"), [("price", "{}"), ("of a newer version", "{}"), ("plan", "[")]
)
async def test_a_row_of_the_catalogue_that_cannot_be_read_refuses_the_start(
    start: Start, kind: str, body: str
) -> None:
    rig = await start()
    price = {"provider": "openai", "model": "m", "event_id": "p", "cost_per_request": 0.01}
    await rig.catalog("prices.put", **price)
    await rig.idle()
    inner = await rig.crash()
    (row,) = inner._rows
    inner._rows[:] = inner._of_user[row.user][:] = [row._replace(kind=kind, body=body)]

    with pytest.raises(Damaged, match=r"row 1 of meterd\.db is not as it was written"):
        await Rig.start(inner)
