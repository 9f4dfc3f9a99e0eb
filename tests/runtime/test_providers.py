"""Providers as data, through the catalogue's actor and the log: contract 1.1, section 3."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.providers import NAMES
from tests.support.meter import micros
from tests.support.rig import Rig, Start

SHIPPED = [provider.id for provider in default_catalog().providers.all]
"""The providers of a fresh service: the 14 of the contract, then those of the default list."""
OWN: dict[str, Any] = {
    "id": "vllm",
    "name": "Our own machines",
    "kind": "llm",
    "default_model": "llama-3-70b",
    "aliases": ["our own", "llama.local"],
    "served_by": "rack 4",
    "detect": [
        {"actual": "rack 5", "model": ["*-70B"], "endpoint": []},
        {"actual": "rack 6", "model": [], "endpoint": ["/six/?*"]},
    ],
    "groups": ["ai_text_generation", "cheap"],
    "unpriced": "zero",
    "token_counting": "exclusive",
}


async def put(rig: Rig, **fields: Any) -> Any:
    answer = await rig.catalog("providers.put", **fields)
    assert answer.code == "", answer.payload
    return answer.body


async def listed(rig: Rig) -> dict[str, Any]:
    entries = (await rig.catalog("providers.list")).body["providers"]
    return {entry["id"]: entry for entry in entries}


async def breakdown(rig: Rig, user: str = "alice") -> dict[str, int]:
    found = (await rig.ask("stats", user)).body["provider_breakdown"]
    return {name: usage["calls"] for name, usage in found.items() if usage["calls"]}


async def test_a_provider_that_is_put_can_be_named_at_once_and_after_a_restart(rig: Rig) -> None:
    first = await put(rig, **OWN, event_id="p")
    entry = {
        **OWN,
        "detect": [
            {"actual": "rack 5", "model": ["*-70b"], "endpoint": []},
            {"actual": "rack 6", "model": [], "endpoint": ["/six/?*"]},
        ],
        "builtin": False,
        "archived": False,
        "registered": False,
        "version": 2,
    }
    assert first["provider"] == entry
    calls = [
        ({}, "rack 4"),
        ({"model_used": "x-70B"}, "rack 5"),
        ({"endpoint": "/SIX/a"}, "rack 6"),
        ({"endpoint": "/six/"}, "rack 4"),
        ({"model_used": "x-70b", "endpoint": "/six/a"}, "rack 5"),
        ({"model_used": "x-70b", "actual_provider_name": "mine"}, "mine"),
    ]
    for name in ("vllm", "our own"):
        for fields, actual in calls:
            reply = (await rig.ask("track", provider=name, **fields)).body
            assert (reply["provider"], reply["actual_provider_name"]) == ("vllm", actual)
    before = (await rig.ask("stats")).body
    assert before["model_breakdown"]["llama-3-70b"]["calls"] == 6
    rig = await rig.restart()
    assert (await rig.ask("stats")).body == before
    assert (await listed(rig))["vllm"] == entry
    again = (await rig.catalog("providers.put", **OWN, event_id="p")).body
    assert again == {**first, "duplicate": True}
    other = await rig.catalog("providers.put", **{**OWN, "kind": "other"}, event_id="p")
    assert other.code == "idempotency_mismatch"


async def test_what_a_put_leaves_out_is_the_default_and_not_what_was_there(rig: Rig) -> None:
    await put(rig, **OWN)
    bare = (await put(rig, id="vllm"))["provider"]
    assert bare == {
        "id": "vllm",
        "name": "vllm",
        "kind": "other",
        "default_model": "default",
        "aliases": [],
        "served_by": "vllm",
        "detect": [],
        "groups": [],
        "unpriced": "estimate",
        "token_counting": "inclusive",
        "builtin": False,
        "archived": False,
        "registered": False,
        "version": 3,
    }
    await put(rig, id="mistral", default_model="large", aliases=["le chat"])
    mistral = (await put(rig, id="mistral", served_by="mistral"))["provider"]
    assert (mistral["default_model"], mistral["aliases"]) == (
        "openai/gpt-oss-120b:groq",
        ["huggingface"],
    )
    assert (mistral["builtin"], mistral["served_by"]) == (True, "mistral")
    # What is listed can be put.
    assert (await put(rig, **mistral))["provider"] == {**mistral, "version": 6}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *[({"id": name}, "id") for name in ("", "A", "-a", "a b", "é", "a" * 65, "a\n", "_a")],
        *[({"id": f"x_{unit}"}, "id") for unit in ("calls", "tokens", "cost")],
        *[({"id": name}, "id") for name in ("monthly", "default", "other", "total", "all")],
        ({"id": "ai_text_generation"}, "id"),
        ({"id": "huggingface"}, "id"),
        ({"aliases": ["openai"]}, "aliases"),
        ({"aliases": ["huggingface"]}, "aliases"),
        ({"aliases": ["vllm"]}, "aliases"),
        ({"aliases": [""]}, "aliases"),
        ({"aliases": [f"a{n}" for n in range(17)]}, "aliases"),
        ({"kind": ""}, "kind"),
        ({"kind": "k" * 33}, "kind"),
        ({"groups": ["A"]}, "groups"),
        ({"groups": [f"g{n}" for n in range(17)]}, "groups"),
        ({"detect": [{"actual": "a", "model": ["\\"]}]}, "detect"),
        ({"detect": [{"actual": "a", "model": ["*" * 9]}]}, "detect"),
        ({"detect": [{"actual": "a", "endpoint": ["a" * 129]}]}, "detect"),
        ({"detect": [{"actual": "a", "endpoint": ["İ" * 128]}]}, "detect"),
        ({"detect": [{"model": ["a"]}]}, "detect"),
        ({"detect": [{"actual": "a"}] * 33}, "detect"),
        ({"detect": [{"actual": "a", "model": ["m"] * 32}] * 17}, "detect"),
        ({"served_by": "s" * 65}, "served_by"),
        ({"unpriced": "no"}, "unpriced"),
        ({"token_counting": "no"}, "token_counting"),
        ({"id": "openai", "kind": "search"}, "kind"),
        ({"id": "openai", "groups": []}, "groups"),
        ({"id": "openai", "detect": [{"actual": "azure", "model": ["*"]}]}, "detect"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
async def test_an_invalid_provider_is_refused_and_its_field_named(
    rig: Rig, fields: dict[str, Any], field: str
) -> None:
    answer = await rig.catalog("providers.put", **{"id": "vllm", **fields})
    assert (answer.code, (answer.error["field"] or "").split("[")[0].split(".")[0]) == (
        "invalid_request",
        field,
    )
    assert list(await listed(rig)) == SHIPPED


async def test_an_archived_provider_is_refused_where_calls_are_admitted_until_it_is_put(
    rig: Rig,
) -> None:
    await put(rig, **OWN)
    hold = (await rig.ask("hold", provider="vllm", event_id="h")).body
    for name in ("vllm", "openai"):
        gone = (await rig.catalog("providers.archive", id=name)).body
        assert (gone["id"], gone["archived"]) == (name, True)
    for _ in range(2):
        for name in ("vllm", "our own", "openai"):
            operations = [{"provider": "exa"}, {"provider": name}]
            assert (await rig.ask("enforce", provider=name)).code == "unknown_provider"
            assert (await rig.ask("hold", provider=name)).code == "unknown_provider"
            assert (await rig.ask("preflight", operations=operations)).code == "unknown_provider"
            assert (await rig.ask("track", provider=name)).code == ""
        again = (await rig.ask("hold", provider="vllm", event_id="h")).body
        assert again == {**hold, "duplicate": True}
        assert (await listed(rig))["vllm"]["archived"]
        rig = await rig.restart()
    settled = (await rig.ask("track", provider="vllm", hold_id="h")).body
    assert settled["hold_status"] == "settled"
    taken = await rig.catalog("providers.put", id="other-one", aliases=["our own"])
    assert taken.error["field"] == "aliases"
    assert not (await put(rig, **OWN))["provider"]["archived"]
    assert (await rig.ask("enforce", provider="our own")).code == ""
    unknown = await rig.catalog("providers.archive", id="our own")
    assert (unknown.code, unknown.error["field"]) == ("unknown_provider", "id")


async def test_limits_hold_for_every_provider_that_is_known_at_the_put(rig: Rig) -> None:
    await put(rig, **OWN)
    await put(rig, id="speech")
    await rig.catalog("providers.archive", id="speech")
    limits = {"vllm_calls": 3, "vllm_tokens": 100, "vllm_cost": 5, "speech_calls": 1}
    plan = {"name": "T", "tier": "t", "price_monthly": 1, "price_yearly": 1, "features": []}
    answer = await rig.catalog("plans.put", **plan, limits=limits)
    assert answer.body["plan"]["limits"] == limits
    nobody = await rig.catalog("plans.put", **plan, limits={"nobody_calls": 1})
    assert (nobody.code, nobody.error["field"]) == ("invalid_request", "limits")
    await rig.ask("subscribe", plan="T", billing_cycle="monthly", overrides={"vllm_calls": 2})
    assert (await rig.ask("enforce", provider="vllm", tokens_requested=100)).body["allowed"]
    over = (await rig.ask("enforce", provider="vllm", tokens_requested=101)).body
    assert (over["allowed"], over["violated"]) == (False, ["vllm_tokens"])
    assert [limit["name"] for limit in over["limits"]] == ["vllm_calls", "vllm_tokens", "vllm_cost"]
    held = (await rig.ask("hold", provider="vllm", tokens_requested=60, event_id="h")).body
    assert held["allowed"]
    rig = await rig.restart()
    second = (await rig.ask("hold", provider="our own", tokens_requested=60)).body
    assert second["violated"] == ["vllm_tokens"]
    both = [{"provider": "vllm", "tokens_requested": 20}] * 2
    denied = (await rig.ask("preflight", operations=both)).body
    assert (denied["failed_index"], denied["operations"][1]["violated"]) == (1, ["vllm_calls"])
    reply = (await rig.ask("track", provider="vllm", tokens_input=95, hold_id="h")).body
    assert len(reply["alerts"]) == 2  # 80 and 90 percent of the tokens
    alert = (await rig.ask("alerts")).body["alerts"][0]
    assert (alert["limit_name"], alert["provider"]) == ("vllm_tokens", "vllm")
    stats = (await rig.ask("stats")).body
    assert stats["usage_percentages"]["vllm_tokens"] == 95.0
    assert stats["usage_percentages"]["vllm_calls"] == 50.0
    assert stats["usage_percentages"]["speech_calls"] == 0.0
    rig = await rig.restart()
    assert (await rig.ask("stats")).body == stats


async def test_the_text_group_counts_other_providers_of_it_too(rig: Rig) -> None:
    await put(rig, id="vllm", groups=["ai_text_generation"])
    await put(rig, id="speech", groups=["voices"])
    limits = {"ai_text_generation_calls": 4, "openai_calls": 1, "vllm_calls": 3}
    await rig.ask("subscribe", plan="Pro", billing_cycle="monthly", overrides=limits)
    for provider in ("openai", "vllm", "speech"):
        await rig.ask("track", provider=provider)
    await rig.ask("hold", provider="vllm", event_id="h")
    await put(rig, id="vllm", groups=[])  # what was counted, and what is held, stays so
    rig = await rig.restart()
    openai = (await rig.ask("enforce", provider="openai", calls=2)).body
    (limit,) = [x for x in openai["limits"] if x["name"] == "ai_text_generation_calls"]
    assert (limit["used"], limit["held"]) == (2, 1)
    assert "ai_text_generation_calls" in openai["violated"]
    vllm = (await rig.ask("enforce", provider="vllm", calls=3)).body
    assert vllm["violated"] == ["vllm_calls"]
    await put(rig, id="vllm", groups=["ai_text_generation"])
    vllm = (await rig.ask("enforce", provider="vllm", calls=3)).body
    assert sorted(vllm["violated"]) == ["ai_text_generation_calls", "vllm_calls"]
    await rig.ask("release", hold_id="h")
    openai = (await rig.ask("enforce", provider="openai", calls=2)).body
    (limit,) = [x for x in openai["limits"] if x["name"] == "ai_text_generation_calls"]
    assert (limit["used"], limit["held"]) == (2, 0)


async def test_a_summary_names_a_hundred_others_and_sums_the_rest(start: Start) -> None:
    rig = await start(unknown_providers="register", snapshot_events=50)
    names = [f"host-{number}" for number in range(130)]
    events = [{"provider": name, "cost": 0.25} for name in names for _ in range(2)]
    await rig.ask("batch", events=events)
    stats = (await rig.ask("stats")).body
    shown = stats["provider_breakdown"]
    assert list(shown) == [*NAMES, *names[:100], "other"]
    assert shown["other"] == {"calls": 60, "tokens": 0, "cost": 15.0, "units": {}}
    assert (stats["total_calls"], stats["total_cost"]) == (260, 65.0)
    trends = (await rig.ask("trends")).body
    assert set(trends["provider_trends"]) == {*names[:100], "other"}
    assert trends["provider_trends"]["other"]["calls"][-1] == 60
    rig = await rig.restart(unknown_providers="register")
    assert (await rig.ask("stats")).body == stats
    assert (await rig.ask("trends")).body == trends
    assert (await rig.answer(rig.rebuild())).body["changed"] is False
    rig.clock.at = micros("2026-04-02T00:00:00Z")
    await rig.idle()
    await rig.ask("stats")
    assert (await rig.ask("stats", billing_period="2026-03")).body["provider_breakdown"] == shown
    assert (await rig.ask("trends")).body["provider_trends"]["other"]["calls"][-2:] == [60, 0]


async def test_others_are_counted_over_a_reset(rig: Rig) -> None:
    await put(rig, **OWN)
    for provider in ("vllm", "exa"):
        await rig.ask("track", provider=provider, cost=1)
    await rig.ask("reset")
    assert await breakdown(rig) == {}
    await rig.ask("track", provider="vllm", cost=1)
    for _ in range(2):
        assert await breakdown(rig) == {"vllm": 1}
        trends = (await rig.ask("trends")).body
        assert {name: row["calls"][-1] for name, row in trends["provider_trends"].items()} == {
            "exa": 1,
            "vllm": 2,
        }
        assert trends["total_cost"][-1] == 3.0
        rig = await rig.restart()


async def test_a_repeated_request_means_what_it_meant_at_first(rig: Rig) -> None:
    """Though its alias, the default model and who serves it have changed since."""
    await put(rig, **OWN)
    await put(rig, id="tavily", served_by="elsewhere", default_model="t-2")
    requests: list[tuple[str, dict[str, Any]]] = [
        ("track", {"provider": "our own", "event_id": "a"}),
        ("track", {"provider": "tavily", "event_id": "b", "key": "k", "tags": {"a": "b"}}),
        ("hold", {"provider": "our own", "event_id": "c", "key": "k"}),
        ("hold", {"provider": "tavily", "event_id": "d"}),
        ("preflight", {"operations": [{"provider": "llama.local"}], "hold": {"event_id": "e"}}),
        ("batch", {"events": [{"provider": "our own", "event_id": "f"}], "event_id": "g"}),
        ("track", {"provider": "huggingface", "event_id": "h"}),
    ]
    first = [(await rig.ask(verb, **body)).body for verb, body in requests]
    await put(rig, id="tavily", default_model="t-3")
    await put(rig, id="mistral", aliases=[], default_model="m-2")
    await put(rig, id="vllm", default_model="other", served_by="rack 9", aliases=[])
    await put(rig, id="second", aliases=["our own", "huggingface"])
    rig = await rig.restart()
    for (verb, body), before in zip(requests, first, strict=True):
        again = (await rig.ask(verb, **body)).body
        if verb == "batch":
            assert again["results"] == [{**before["results"][0], "duplicate": True}]
        else:
            assert again == {**before, "duplicate": True}
        # The name that it had then is the same request; that of another provider is none.
        canonical = {**body, "provider": "vllm"}
        if body.get("provider") == "our own":
            assert (await rig.ask(verb, **canonical)).body == again
            other = await rig.ask(verb, **{**body, "provider": "second"})
            assert other.code == "idempotency_mismatch"
            model = await rig.ask(verb, **{**body, "model_used": "other"})
            assert model.code == "idempotency_mismatch"
    new = (await rig.ask("track", provider="our own")).body
    assert (new["provider"], new["actual_provider_name"]) == ("second", "second")


async def test_how_tokens_count_is_content_as_it_was_when_the_key_was_first_used(rig: Rig) -> None:
    """Said, or left to the provider: contract 1.1, section 0."""
    await put(rig, id="apart", token_counting="exclusive")
    counts: dict[str, Any] = {"provider": "apart", "tokens_input": 5, "tokens_cache_read": 2}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("track", {**counts, "event_id": "a"}),
        ("hold", {**counts, "event_id": "b"}),
        ("hold", {**counts, "event_id": "c", "token_counting": "exclusive"}),
        ("preflight", {"operations": [counts], "hold": {"event_id": "d"}}),
        ("hold", {"provider": "apart", "tokens_requested": 7, "event_id": "e"}),
    ]
    first = [(await rig.ask(verb, **body)).body for verb, body in requests]
    assert (await rig.ask("hold", **counts, event_id="c")).body == {**first[2], "duplicate": True}
    await put(rig, id="apart")
    rig = await rig.restart()
    for (verb, body), before in zip(requests, first, strict=True):
        assert (await rig.ask(verb, **body)).body == {**before, "duplicate": True}
    for key, how, code in (
        ("b", "exclusive", ""),
        ("b", "inclusive", "idempotency_mismatch"),
        ("c", "inclusive", "idempotency_mismatch"),
    ):
        again = await rig.ask("hold", **counts, event_id=key, token_counting=how)
        assert (key, how, again.code) == (key, how, code)
    said = {**requests[-1][1], "token_counting": "exclusive"}
    assert (await rig.ask("hold", **said)).body == {**first[-1], "duplicate": True}


async def test_providers_come_in_pages_that_fit_and_in_pages_as_asked(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await start(unknown_providers="register")
    names = [f"host-{number}" for number in range(40)]
    await rig.ask("batch", events=[{"provider": name} for name in names])
    whole = [*SHIPPED, *names]
    page = (await rig.catalog("providers.list", limit=10)).body
    assert [entry["id"] for entry in page["providers"]] == whole[:10]
    cursor = page["next_cursor"]
    page = (await rig.catalog("providers.list", limit=500, cursor=cursor)).body
    assert [entry["id"] for entry in page["providers"]] == whole[10:]
    assert page["next_cursor"] is None
    assert (await rig.catalog("plans.list", cursor=cursor)).error["field"] == "cursor"
    monkeypatch.setattr("actors.app.PAGE_BYTES_MAX", 3_000)
    rig = await rig.restart()
    found: list[list[str]] = []
    cursor = None
    while cursor is not None or not found:
        page = (await rig.catalog("providers.list", cursor=cursor)).body
        found.append([entry["id"] for entry in page["providers"]])
        cursor = page["next_cursor"]
    assert len(found) > 3
    assert [*chain(*found)] == whole
