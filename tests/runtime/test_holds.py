"""Holds, through the actor, the registry and the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.faults import Fault
from tests.support.rig import Rig, Start

SECOND = 1_000_000
PLAN = {"plan": "Pro", "billing_cycle": "monthly"}


async def on_pro(rig: Rig, user: str = "alice", **limits: Any) -> None:
    answer = await rig.ask("subscribe", user, **PLAN, overrides=limits)
    assert answer.code == "", answer.payload


def tokens(answer: Any, name: str = "openai_tokens") -> dict[str, Any]:
    found: dict[str, Any] = next(x for x in answer.body["limits"] if x["name"] == name)
    return found


async def test_twenty_parallel_holds_of_75_against_500_grant_exactly_six(rig: Rig) -> None:
    await on_pro(rig, openai_tokens=500)
    sent = [rig.send("hold", provider="openai", tokens_requested=75) for _ in range(20)]
    answers = [answer.body for answer in await rig.answers(*sent)]
    assert [answer["allowed"] for answer in answers] == [True] * 6 + [False] * 14
    assert {a["reason_code"] for a in answers[6:]} == {"token_limit_exceeded"}
    held = (await rig.ask("stats")).body["held"]
    assert held["tokens"] == 450
    assert held["open"] == 6


async def test_held_amounts_count_in_every_decision_and_in_no_usage(rig: Rig) -> None:
    await on_pro(rig, openai_tokens=100)
    await rig.ask("hold", provider="openai", tokens_requested=60, event_id="h")
    refused = await rig.ask("enforce", provider="openai", tokens_requested=41)
    assert not refused.body["allowed"]
    limit = tokens(refused)
    assert [limit[x] for x in ("used", "held", "requested", "remaining")] == [0, 60, 41, 40]
    assert (await rig.ask("enforce", provider="openai", tokens_requested=40)).body["allowed"]
    stats = (await rig.ask("stats")).body
    assert stats["total_tokens"] == 0


async def test_a_track_settles_its_hold_once(rig: Rig) -> None:
    await on_pro(rig, openai_tokens=100)
    await rig.ask("hold", provider="openai", tokens_requested=60, event_id="h")
    first = await rig.ask("track", provider="openai", tokens_input=50, hold_id="h", event_id="t")
    assert (first.body["hold_status"], first.body["late_settle"]) == ("settled", False)
    again = await rig.ask("track", provider="openai", tokens_input=1, hold_id="h")
    assert (again.body["hold_status"], again.body["late_settle"]) == ("settled", True)
    same = await rig.ask("track", provider="openai", tokens_input=50, hold_id="h", event_id="t")
    assert same.body == {**first.body, "duplicate": True}
    assert (await rig.ask("holds")).body["holds"] == []
    assert (await rig.ask("stats")).body["total_tokens"] == 51


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_call_whose_hold_is_over_is_charged_and_told_how_it_ended(
    start: Start, *, forgotten: bool
) -> None:
    rig = await start(idle_s=0.001)
    await on_pro(rig)
    for name in ("released", "expired", "settled"):
        await rig.ask("hold", provider="openai", event_id=name, ttl=60)
    await rig.ask("extend", hold_id="expired", ttl=90)
    await rig.ask("release", hold_id="released")
    await rig.ask("track", provider="openai", hold_id="settled")
    rig.clock.at += 90 * SECOND
    if forgotten:
        rig = await rig.restart()
    for name in ("released", "expired", "settled", "unknown"):
        answer = (await rig.ask("track", provider="openai", hold_id=name)).body
        assert (answer["hold_status"], answer["late_settle"]) == (name, True)
    assert (await rig.ask("stats")).body["total_calls"] == 5


async def test_a_hold_expires_by_itself_at_its_moment(rig: Rig) -> None:
    await on_pro(rig, openai_tokens=100)
    await rig.ask("hold", provider="openai", tokens_requested=100, ttl=60)
    rig.clock.at += 60 * SECOND - 1
    assert not (await rig.ask("enforce", provider="openai", tokens_requested=1)).body["allowed"]
    rig.clock.at += 1
    assert (await rig.ask("enforce", provider="openai", tokens_requested=100)).body["allowed"]
    assert (await rig.ask("holds")).body["holds"] == []
    assert (await rig.ask("stats")).body["held"] == {"calls": 0, "tokens": 0, "cost": 0, "open": 0}


async def test_holds_survive_a_restart(rig: Rig) -> None:
    await on_pro(rig)
    await rig.ask("hold", provider="openai", tokens_requested=7, event_id="h", ttl=100)
    before = (await rig.ask("holds")).body
    rig = await rig.restart()
    assert (await rig.ask("holds")).body == before


async def test_extend_judges_an_increase_and_refused_changes_nothing(rig: Rig) -> None:
    await on_pro(rig, openai_tokens=100)
    await rig.ask("hold", provider="openai", tokens_requested=60, event_id="h")
    grown = (await rig.ask("extend", hold_id="h", tokens_requested=100)).body
    assert grown["allowed"]
    refused = (await rig.ask("extend", hold_id="h", tokens_requested=101, event_id="e")).body
    assert (refused["allowed"], refused["reason_code"]) == (False, "token_limit_exceeded")
    (held,) = (await rig.ask("holds")).body["holds"]
    assert held["tokens"] == 100
    # A refusal does not use up its key.
    assert (await rig.ask("extend", hold_id="h", tokens_requested=5, event_id="e")).body["allowed"]


@pytest.mark.parametrize("fault", [None, Fault.NOT_STORED])
async def test_a_hold_is_unknown_only_when_what_ended_it_is_durable(
    rig: Rig, fault: Fault | None
) -> None:
    await rig.ask("hold", provider="exa", event_id="h")
    rig.journal.appends.close()
    first, second = (rig.send("release", hold_id="h", event_id=key) for key in ("one", "two"))
    await rig.journal.appends.waiting.wait()
    assert not rig.order(first, second)
    if fault is not None:
        rig.journal.fail_appends(fault)
    rig.journal.appends.open()

    codes = [answer.code for answer in await rig.answers(first, second)]
    still_open = (await rig.ask("holds")).body["held"]["open"]
    if fault is None:
        assert (codes, still_open) == (["", "unknown_hold"], 0)
    else:
        assert (codes, still_open) == (["unavailable", "unavailable"], 1)


@pytest.mark.parametrize("verb", ["extend", "release"])
async def test_a_hold_that_is_not_open_is_unknown(rig: Rig, verb: str) -> None:
    answer = await rig.ask(verb, hold_id="nothing")
    assert (answer.code, answer.error["field"]) == ("unknown_hold", "hold_id")
    await rig.ask("hold", provider="gemini", event_id="h")
    await rig.ask("release", hold_id="h")
    assert (await rig.ask(verb, hold_id="h")).code == "unknown_hold"


async def test_a_refused_hold_is_not_stored_and_its_key_is_free(rig: Rig) -> None:
    refused = await rig.ask("hold", provider="openai", event_id="h")
    assert (refused.body["allowed"], refused.body["hold_id"]) == (False, None)
    assert (refused.body["reason_code"], refused.body["expires_at"]) == ("disabled_by_plan", None)
    assert (await rig.ask("stats")).body["seq"] == 0
    assert (await rig.ask("hold", provider="gemini", event_id="h")).body["allowed"]


async def test_the_key_of_a_hold_gives_the_original_reply(rig: Rig) -> None:
    first = (await rig.ask("hold", provider="gemini", tokens_requested=5, event_id="h")).body
    await rig.ask("track", provider="gemini", tokens_input=5)
    rig.clock.at += 90 * SECOND
    again = (await rig.ask("hold", provider="gemini", tokens_requested=5, event_id="h")).body
    assert again == {**first, "duplicate": True}
    other = await rig.ask("hold", provider="gemini", tokens_requested=6, event_id="h")
    assert other.code == "idempotency_mismatch"
    assert (await rig.ask("track", provider="gemini", event_id="h")).code == "idempotency_mismatch"


async def test_a_thousand_and_first_hold_is_too_many(rig: Rig) -> None:
    await rig.ask("subscribe", plan="Enterprise", billing_cycle="monthly")
    sent = [rig.send("hold", provider="exa", cost_requested=0) for _ in range(1001)]
    answers = [answer.body for answer in await rig.answers(*sent)]
    assert [a["allowed"] for a in answers] == [True] * 1000 + [False]
    assert answers[-1]["reason_code"] == "too_many_holds"
    await rig.catalog("providers.put", id="vllm", unpriced="refuse")
    unpriced = (await rig.ask("hold", provider="vllm")).body
    assert (unpriced["allowed"], unpriced["reason_code"]) == (False, "too_many_holds")


async def test_preflight_sees_the_operations_before_as_used_and_holds_all_or_none(
    rig: Rig,
) -> None:
    await on_pro(rig, openai_tokens=100)
    three = [
        {"provider": "openai", "tokens_requested": 40, "operation_type": f"o{i}"} for i in "123"
    ]
    refused = (await rig.ask("preflight", operations=three, hold={"ttl": 60})).body
    assert (refused["allowed"], refused["failed_index"]) == (False, 2)
    assert [op["allowed"] for op in refused["operations"]] == [True, True, False]
    assert (await rig.ask("holds")).body["holds"] == []
    granted = (await rig.ask("preflight", operations=three[:2], hold={"event_id": "p"})).body
    assert granted["allowed"]
    assert [op["hold_id"] for op in granted["operations"]] == ["p.0", "p.1"]
    assert [op["operation_type"] for op in granted["operations"]] == ["o1", "o2"]
    again = (await rig.ask("preflight", operations=three[:2], hold={"event_id": "p"})).body
    assert again == {**granted, "duplicate": True}
    other = await rig.ask("preflight", operations=three[:1], hold={"event_id": "p"})
    assert other.code == "idempotency_mismatch"
    held = (await rig.ask("stats")).body["held"]
    assert (held["open"], held["tokens"]) == (2, 80)


async def test_a_preflight_whose_keys_are_taken_is_a_mismatch(rig: Rig) -> None:
    await rig.ask("track", provider="gemini", event_id="p.1")
    operations = [{"provider": "gemini"}] * 2
    answer = await rig.ask("preflight", operations=operations, hold={"event_id": "p"})
    assert (answer.code, answer.error["event_id"]) == ("idempotency_mismatch", "p")
    assert (await rig.ask("preflight", operations=operations)).body["allowed"]


async def test_held_amounts_stay_through_reset_renewal_and_plan_change(rig: Rig) -> None:
    await on_pro(rig)
    await rig.ask("track", provider="openai", tokens_input=5)
    await rig.ask("hold", provider="openai", tokens_requested=9, ttl=86_400, event_id="h")
    assert (await rig.ask("reset")).body["reset"]
    assert (await rig.ask("stats")).body["held"]["tokens"] == 9
    await rig.ask("subscribe", plan="Basic", billing_cycle="monthly")
    assert (await rig.ask("stats")).body["held"]["tokens"] == 9
    await rig.ask("subscribe", plan="Basic", billing_cycle="monthly", period="new")
    assert (await rig.ask("stats")).body["held"]["tokens"] == 9


async def test_a_hold_outlives_a_plan_that_allows_no_such_call(rig: Rig) -> None:
    await on_pro(rig)
    await rig.ask("hold", provider="video", event_id="h")
    await rig.ask("cancel", at_period_end=False)
    longer = (await rig.ask("extend", hold_id="h", ttl=600)).body
    assert longer["allowed"]
    disabled = tokens_of(longer, "video_calls")
    assert (disabled["limit"], disabled["percentage"]) == (0, None)
    more = (await rig.ask("extend", hold_id="h", cost_requested=2)).body
    assert (more["allowed"], more["reason_code"]) == (False, "disabled_by_plan")


def tokens_of(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(x for x in body["limits"] if x["name"] == name)
    return found


async def test_a_list_of_holds_is_cut_before_it_is_no_reply_any_more(rig: Rig) -> None:
    await rig.ask("subscribe", plan="Enterprise", billing_cycle="monthly")
    sent = [
        rig.send("hold", provider="exa", cost_requested=0, event_id=f"{number:04}" + "\x01" * 124)
        for number in range(1000)
    ]
    await rig.answers(*sent)
    answer = await rig.ask("holds")
    assert len(answer.payload) < 900 * 1024
    assert 500 < len(answer.body["holds"]) < 1000
    assert answer.body["held"]["open"] == 1000


async def test_an_operation_has_no_deadline_of_its_own(rig: Rig) -> None:
    operations = [{"provider": "exa", "deadline": "2030-01-01T00:00:00Z"}]
    answer = await rig.ask("preflight", operations=operations)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "operations")


async def test_no_error_shows_what_is_not_durable(rig: Rig) -> None:
    await on_pro(rig)
    await rig.ask("hold", provider="openai", event_id="h")
    await rig.catalog("prices.list")  # so that none is to be made before a put
    past = {"provider": "exa", "model": "m", "effective_from": "2026-03-01T00:00:00Z"}
    rig.journal.appends.close()
    sent = [
        *(rig.send("release", hold_id="h") for _ in range(2)),
        *(rig.send("cancel", at_period_end=False) for _ in range(2)),
        *(
            rig.deliver("usage.v1.catalog.prices.put", json.dumps({**past, field: 1}).encode())
            for field in ("cost_per_request", "cost_per_search")
        ),
    ]
    assert rig.order(*sent) == []
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.appends.open()
    assert {answer.code for answer in await rig.answers(*sent)} == {"unavailable"}
    assert (await rig.ask("release", hold_id="h")).code == ""
    assert (await rig.ask("release", hold_id="h")).code == "unknown_hold"
