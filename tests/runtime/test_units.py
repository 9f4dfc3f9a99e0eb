"""Units: through the catalogue, the actor, the log and a restart."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from actors.billing.catalog.units import BUILT_IN
from tests.support.meter import micros
from tests.support.rig import Rig, Start

GPU = {"id": "gpu_seconds", "name": "Seconds of a GPU", "scale": 3, "max_per_call": 10_000}
"""At most 10 of it in a call."""
SENT = {"gpu_seconds": 1.5, "seconds": 0.25, "web_searches": 2, "characters": 0}
KEPT = {"gpu_seconds": 1.5, "seconds": 0.25, "web_searches": 2}


async def put(rig: Rig, **fields: Any) -> Any:
    answer = await rig.catalog("units.put", **{**GPU, **fields})
    assert answer.code == "", answer.payload
    return answer.body


async def test_units_are_listed_put_and_archived_and_come_back(rig: Rig) -> None:
    built_in = (await rig.catalog("units.list")).body
    assert [unit["id"] for unit in built_in["units"]] == [unit.id for unit in BUILT_IN]
    assert {unit["builtin"] for unit in built_in["units"]} == {True}
    made = await put(rig, event_id="p")
    entry = {**GPU, "builtin": False, "archived": False}
    assert (made["unit"], made["version"], made["duplicate"]) == (entry, 2, False)
    archived = await rig.catalog("units.archive", id="gpu_seconds", event_id="a")
    assert archived.body["unit"] == entry | {"archived": True}
    listed = (await rig.catalog("units.list")).body
    assert listed["units"][-1] == entry | {"archived": True}
    assert listed["version"] == 3
    back = await put(rig, max_per_call=1)
    assert back["unit"] == entry | {"max_per_call": 1}
    assert len((await rig.catalog("units.list")).body["units"]) == len(BUILT_IN) + 1


async def test_a_change_of_a_unit_that_is_repeated_gets_its_original_reply(rig: Rig) -> None:
    first = await put(rig, event_id="p", id="pages", name=None, scale=None, max_per_call=None)
    assert first["unit"]["name"] == "pages"
    full = {"id": "pages", "name": "pages", "scale": 0, "max_per_call": 10**12}
    archived = await rig.catalog("units.archive", id="pages", event_id="a")
    for again in (full, {"id": "pages"}):
        assert (await rig.catalog("units.put", **again, event_id="p")).body == first | {
            "duplicate": True
        }
    repeated = await rig.catalog("units.archive", id="pages", event_id="a")
    assert repeated.body == archived.body | {"duplicate": True}
    other: dict[str, Any]
    for verb, other in (
        ("units.put", full | {"scale": 1}),
        ("units.put", full | {"max_per_call": 1}),
        ("units.archive", {"id": "pages"}),
    ):
        answer = await rig.catalog(verb, **other, event_id="p")
        assert answer.code == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("verb", "body", "code", "field"),
    [
        ("put", {"id": "seconds"}, "invalid_request", "id"),
        ("put", {"id": "tokens_more"}, "invalid_request", "id"),
        ("put", {"id": "Gpu"}, "invalid_request", "id"),
        ("put", {"id": "g" * 49}, "invalid_request", "id"),
        ("put", {"id": "gpu_seconds", "scale": 2}, "invalid_request", "scale"),
        ("put", {"id": "g", "scale": 10}, "invalid_request", "scale"),
        ("put", {"id": "g", "scale": -1}, "invalid_request", "scale"),
        ("put", {"id": "g", "max_per_call": 0}, "invalid_request", "max_per_call"),
        ("put", {"id": "g", "max_per_call": 10**15 + 1}, "invalid_request", "max_per_call"),
        ("put", {"id": "g", "name": ""}, "invalid_request", "name"),
        ("archive", {"id": "seconds"}, "invalid_request", "id"),
        ("archive", {"id": "g"}, "unknown_unit", "id"),
    ],
)
async def test_an_invalid_unit_is_refused_and_its_field_named(
    rig: Rig, verb: str, body: dict[str, Any], code: str, field: str
) -> None:
    await put(rig)
    answer = await rig.catalog(f"units.{verb}", **body)
    assert (answer.code, answer.error["field"], answer.error["retryable"]) == (code, field, False)
    assert (await rig.catalog("units.list")).body["version"] == 2


async def test_units_of_calls_are_in_the_log_the_summary_and_the_trends(rig: Rig) -> None:
    await put(rig)
    call: dict[str, Any] = {"provider": "openai", "model_used": "gpt-4o", "units": SENT}
    assert (await rig.ask("track", event_id="k", **call)).body["usage_logged"] is True
    await rig.ask("track", provider="exa")
    stats = (await rig.ask("stats")).body
    assert stats["units"] == stats["provider_breakdown"]["openai"]["units"] == KEPT
    assert stats["model_breakdown"]["gpt-4o"]["units"] == KEPT
    assert stats["actual_provider_breakdown"]["openai"]["units"] == KEPT
    assert stats["provider_breakdown"]["exa"]["units"] == {}
    logs = (await rig.ask("logs")).body["logs"]
    assert [entry["units"] for entry in logs] == [{}, KEPT]
    trends = (await rig.ask("trends", months=2)).body
    assert trends["unit_trends"] == {unit: [0, total] for unit, total in KEPT.items()}
    dashboard = (await rig.ask("dashboard")).body
    assert dashboard["stats"] == (await rig.ask("stats")).body
    assert dashboard["trends"]["unit_trends"]["web_searches"] == [0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("verb", ["track", "enforce", "hold", "extend", "preflight"])
async def test_a_wrong_amount_is_refused_by_its_field_and_nothing_is_stored(
    rig: Rig, verb: str
) -> None:
    await put(rig)
    await put(rig, id="old")
    await rig.catalog("units.archive", id="old")
    await rig.ask("hold", provider="gemini", event_id="h", tokens_requested=1)
    field = "units" if verb == "track" else "units_requested"
    seq = (await rig.ask("stats")).body["seq"]
    for amounts, code in (
        ({"seconds": 1, "gpu": 1}, "unknown_unit"),
        ({"old": 0}, "unknown_unit"),
        ({"gpu_seconds": 0.0005}, "invalid_request"),
        ({"gpu_seconds": 10.001}, "invalid_request"),
        ({"seconds": -1}, "invalid_request"),
        ({"seconds": "1"}, "invalid_request"),
        ({"seconds": None}, "invalid_request"),
        ({"calls": 1}, "invalid_request"),
        ({"tokens_input": 1}, "invalid_request"),
        ({"page_count": 1}, "invalid_request"),
        ({"Seconds": 1}, "invalid_request"),
        ({f"u{n}": 1 for n in range(17)}, "invalid_request"),
        ([], "invalid_request"),
    ):
        body: dict[str, Any] = {"provider": "gemini", field: amounts}
        if verb == "preflight":
            body = {"operations": [body]}
        elif verb == "extend":
            body = {"hold_id": "h", field: amounts}
        answer = await rig.ask(verb, **body)
        assert answer.code == code, (amounts, answer.payload)
        named = "operations" if verb == "preflight" and code == "invalid_request" else field
        assert answer.error["field"] in {named, field}
    assert (await rig.ask("stats")).body["seq"] == seq


async def test_one_bad_amount_of_a_batch_costs_that_event_alone(rig: Rig) -> None:
    events = [{"provider": "openai", "units": {name: 1}} for name in ("seconds", "gpu", "seconds")]
    answer = await rig.ask("batch", events=events, event_id="b")
    assert (answer.body["accepted"], answer.body["rejected"]) == (2, 1)
    assert answer.body["results"][1]["error"]["code"] == "unknown_unit"
    assert (await rig.ask("stats")).body["units"] == {"seconds": 2}


async def test_a_repeat_after_the_unit_was_archived_gets_its_original_reply(rig: Rig) -> None:
    await put(rig)
    call: dict[str, Any] = {"provider": "gemini", "units": {"gpu_seconds": 1.5}, "event_id": "k"}
    asked: dict[str, Any] = {"provider": "gemini", "units_requested": {"gpu_seconds": 1.5}}
    plan = {"operations": [asked], "hold": {"event_id": "p"}}
    longer = {"hold_id": "h", "units_requested": {"gpu_seconds": 2}, "event_id": "e"}
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("track", call),
        ("hold", asked | {"event_id": "h"}),
    ]
    wishes += [("preflight", plan), ("extend", longer)]
    first = [await rig.ask(verb, **body) for verb, body in wishes]
    await rig.catalog("units.archive", id="gpu_seconds")
    for (verb, body), before in zip(wishes, first, strict=True):
        assert before.code == ""
        again = await rig.ask(verb, **body)
        assert again.body == before.body | {"duplicate": True}
    for amounts in ({"gpu_seconds": 1}, {}, {"gpu_seconds": 1.5, "seconds": 1}):
        changed: dict[str, Any] = call | {"units": amounts}
        other = await rig.ask("track", **changed)
        assert other.code == "idempotency_mismatch"
        changed = asked | {"event_id": "h", "units_requested": amounts}
        other = await rig.ask("hold", **changed)
        assert other.code == "idempotency_mismatch"
    assert (await rig.ask("enforce", **asked)).code == "unknown_unit"


async def test_an_amount_of_nothing_is_the_same_content_as_none(rig: Rig) -> None:
    await rig.ask("track", provider="gemini", event_id="k")
    await rig.ask("hold", provider="gemini", event_id="h")
    nothing: dict[str, Any]
    for nothing in ({}, {"seconds": 0}):
        again = await rig.ask("track", provider="gemini", event_id="k", units=nothing)
        assert again.body["duplicate"] is True
        again = await rig.ask("hold", provider="gemini", event_id="h", units_requested=nothing)
        assert again.body["duplicate"] is True


@pytest.mark.parametrize("snapshot_events", [1, 1_000])
async def test_what_was_counted_and_held_survives_restarts(
    start: Start, snapshot_events: int
) -> None:
    rig = await start(snapshot_events=snapshot_events)
    await put(rig)
    asked: dict[str, Any] = {"provider": "gemini", "units_requested": {"gpu_seconds": 1.5}}
    await rig.ask("hold", event_id="h", **asked)
    await rig.ask("hold", event_id="i", **asked)
    await rig.ask("hold", event_id="j", **asked, key="k")
    plan: dict[str, Any] = {"operations": [asked, {"provider": "exa"}], "hold": {"event_id": "p"}}
    assert (await rig.ask("preflight", **plan)).body["allowed"] is True
    await rig.ask("extend", hold_id="h", ttl=300)
    await rig.ask("extend", hold_id="i", units_requested={"seconds": 7})
    await rig.ask("extend", hold_id="j", units_requested={})
    for number in range(3):
        amounts = {"gpu_seconds": 1.001, "seconds": number}
        await rig.ask("track", provider="gemini", model_used=f"m{number}", units=amounts)
    await rig.ask("reset")
    await rig.ask("track", provider="gemini", model_used="unheard-of", tokens_input=3)
    await rig.ask("track", provider="gemini", units={"gpu_seconds": 0.5})
    reads = ("stats", "trends", "holds", "logs", "dashboard")
    before = [(await rig.ask(verb)).body for verb in reads]
    await rig.idle()
    rig = await rig.restart(snapshot_events=snapshot_events)
    assert [(await rig.ask(verb)).body for verb in reads] == before
    stats, trends, holds, _, _ = before
    assert (stats["units"], stats["estimated"]["calls"]) == ({"gpu_seconds": 0.5}, 1)
    assert trends["unit_trends"]["gpu_seconds"][-1] == 3.503
    assert [(hold["hold_id"], hold["units"], hold["key"]) for hold in holds["holds"]] == [
        ("h", {"gpu_seconds": 1.5}, None),
        ("i", {"seconds": 7}, None),
        ("j", {}, "k"),
        ("p.0", {"gpu_seconds": 1.5}, None),
        ("p.1", {}, None),
    ]
    assert (await rig.catalog("units.list")).body["units"][-1]["id"] == "gpu_seconds"
    await rig.stop()


async def test_a_closed_period_says_its_units_and_its_estimates_also_after_a_late_call(
    start: Start,
) -> None:
    rig = await start(at=micros("2026-03-30T00:00:00Z"))
    guess = {"provider": "openai", "model_used": "unheard-of"}
    await rig.ask("track", **guess, tokens_input=1_000_000, units={"seconds": 1.5})
    rig.clock.at = micros("2026-04-02T00:00:00Z")
    await rig.ask("track", provider="openai", units={"seconds": 4})
    late: dict[str, Any] = {
        "provider": "exa",
        "timestamp": "2026-03-31T00:00:00Z",
        "units": {"characters": 9},
    }
    assert (await rig.ask("track", **late)).body["late"] is True
    await rig.idle()
    told = [json.loads(one.payload, parse_float=Decimal) for one in rig.link.published]
    (closed,) = [one for one in told if one.get("kind") == "period_closed"]
    assert closed["stats"]["units"] == {"seconds": Decimal("1.5")}
    assert closed["stats"]["estimated"] == {"calls": 1, "tokens": 1_000_000, "cost": 1}
    (adjusted,) = [one for one in told if one.get("kind") == "period_adjusted"]
    assert {*adjusted["totals"]} == {"calls", "tokens", "cost"}
    march = {"seconds": 1.5, "characters": 9}
    assert (await rig.ask("stats", billing_period="2026-03")).body["units"] == march
    rig.clock.at = micros("2026-07-01T00:00:00Z")
    await rig.ask("track", provider="openai")
    sealed = (await rig.ask("stats", billing_period="2026-03")).body
    assert (sealed["units"], sealed["estimated"]["calls"]) == (march, 1)
    trends = (await rig.ask("trends", months=5)).body
    assert trends["unit_trends"] == {"characters": [9, 0, 0, 0, 0], "seconds": [1.5, 4, 0, 0, 0]}
