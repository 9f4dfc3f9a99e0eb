"""Subscriptions, periods and what they close, through the actor and the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.billing.periods import subscribe as subscribing
from messages.subjects import PREFIX, request_subject
from tests.support.meter import micros
from tests.support.rig import Rig

DAY_S = 86_400

DAY = 86_400_000_000
MONTHLY = {"plan": "Pro", "billing_cycle": "monthly"}


async def subscribe(rig: Rig, user: str = "alice", **fields: Any) -> dict[str, Any]:
    answer = await rig.ask("subscribe", user, **{**MONTHLY, **fields})
    assert answer.code == "", answer.payload
    found: dict[str, Any] = answer.body
    return found


async def period(rig: Rig) -> tuple[str, str, str]:
    stats = (await rig.ask("stats")).body
    return stats["billing_period"], stats["period_start"], stats["period_end"]


async def reason(rig: Rig, provider: str = "openai") -> str:
    found: str = (await rig.ask("enforce", provider=provider)).body["reason_code"]
    return found


async def test_a_subscription_opens_a_period_at_its_anchor_at_once(rig: Rig) -> None:
    await rig.ask("track", provider="gemini")
    reply = await subscribe(rig)
    assert reply["renewal_type"] == "new"
    assert reply["subscription"] == {
        "plan": "Pro",
        "tier": "pro",
        "billing_cycle": "monthly",
        "status": "active",
        "current_period_start": "2026-03-15T12:00:00Z",
        "current_period_end": "2026-04-15T12:00:00Z",
        "auto_renew": True,
        "cancel_at_period_end": False,
        "overrides": {},
    }
    assert await period(rig) == ("2026-03.2", "2026-03-15T12:00:00Z", "2026-04-15T12:00:00Z")
    stats = (await rig.ask("stats")).body
    assert (stats["total_calls"], stats["limits"]["plan_name"]) == (0, "Pro")
    assert (await rig.ask("stats", billing_period="2026-03")).body["total_calls"] == 1


async def test_it_renews_by_itself_at_the_exact_boundary(rig: Rig) -> None:
    await subscribe(rig, period_start="2026-01-31T10:00:00Z")
    assert await period(rig) == ("2026-02", "2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z")
    rig.clock.at = micros("2026-03-31T09:59:59.999999Z")
    assert (await period(rig))[0] == "2026-02"
    rig.clock.at += 1
    assert await period(rig) == ("2026-03", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z")
    history = (await rig.ask("subscription")).body["history"]
    assert [entry["renewal_type"] for entry in history] == ["renewal", "new"]
    assert [entry["plan"] for entry in history] == ["Pro", "Pro"]


async def test_a_yearly_cycle_renews_its_limits_monthly(rig: Rig) -> None:
    reply = await subscribe(rig, billing_cycle="yearly", overrides={"openai_calls": 1})
    assert reply["subscription"]["current_period_end"] == "2027-03-15T12:00:00Z"
    await rig.ask("track", provider="openai")
    rig.clock.at = micros("2026-04-15T12:00:00Z")
    assert (await rig.ask("stats")).body["total_calls"] == 0
    state = (await rig.ask("subscription")).body["subscription"]
    assert state["current_period_start"] == "2026-03-15T12:00:00Z"
    assert state["overrides"] == {"openai_calls": 1}
    rig.clock.at = micros("2027-03-15T12:00:00Z")
    state = (await rig.ask("subscription")).body["subscription"]
    assert state["current_period_end"] == "2028-03-15T12:00:00Z"


async def test_without_renewal_calls_are_refused_and_still_recorded(rig: Rig) -> None:
    await subscribe(rig, auto_renew=False)
    rig.clock.at = micros("2026-04-15T12:00:00Z")
    assert await reason(rig) == "subscription_expired"
    assert (await rig.ask("hold", provider="openai")).body["reason_code"] == "subscription_expired"
    tracked = (await rig.ask("track", provider="openai")).body
    assert tracked["billing_period"] == "2026-04"
    stats = (await rig.ask("stats")).body
    assert stats["limits"]["plan_name"] == "Pro"
    state = (await rig.ask("subscription")).body["subscription"]
    assert state["status"] == "expired"
    assert (await subscribe(rig))["renewal_type"] == "renewal"
    assert await reason(rig) == "within_limits"


async def test_cancelled_at_the_period_s_end_it_goes_on_as_free_by_calendar_months(
    rig: Rig,
) -> None:
    await subscribe(rig)
    reply = (await rig.ask("cancel")).body["subscription"]
    assert (reply["status"], reply["cancel_at_period_end"]) == ("active", True)
    rig.clock.at = micros("2026-04-20T00:00:00Z")
    assert await period(rig) == ("2026-04", "2026-04-15T12:00:00Z", "2026-05-01T00:00:00Z")
    assert (await rig.ask("stats")).body["limits"]["plan_name"] == "Free"
    assert (await rig.ask("subscription")).body["subscription"]["status"] == "cancelled"
    rig.clock.at = micros("2026-05-02T00:00:00Z")
    assert await period(rig) == ("2026-05", "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")


async def test_cancelled_at_once_counters_and_the_period_s_end_stay(rig: Rig) -> None:
    await subscribe(rig)
    await rig.ask("track", provider="stability", cost=1)
    before = await period(rig)
    reply = (await rig.ask("cancel", at_period_end=False)).body
    assert reply["subscription"]["status"] == "cancelled"
    assert await period(rig) == before
    stats = (await rig.ask("stats")).body
    assert (stats["limits"]["plan_name"], stats["total_calls"]) == ("Free", 1)
    assert await reason(rig) == "disabled_by_plan"
    assert (await rig.ask("cancel")).code == "invalid_request"


async def test_keep_leaves_the_period_and_its_usage_and_judges_what_changed(rig: Rig) -> None:
    await subscribe(rig, overrides={"openai_calls": 10, "exa_calls": 10})
    for provider in ("openai", "exa"):
        for _ in range(8):
            await rig.ask("track", provider=provider)
    before = await period(rig)
    overrides = {"openai_calls": 9, "exa_calls": 10}
    reply = await subscribe(rig, plan="Enterprise", overrides=overrides)
    assert (reply["renewal_type"], len(reply["alerts"])) == ("upgrade", 1)
    assert await period(rig) == before
    stats = (await rig.ask("stats")).body
    assert (stats["total_calls"], stats["limits"]["plan_name"]) == (16, "Enterprise")
    raised = (await rig.ask("alerts")).body["alerts"]
    assert [(a["limit_name"], a["threshold_percentage"], a["limit"]) for a in raised] == [
        ("openai_calls", 80, 9),
        ("exa_calls", 80, 10),
        ("openai_calls", 80, 10),
    ]
    # What fired of a limit that stayed does not fire again; the next threshold does.
    assert len((await rig.ask("track", provider="exa")).body["alerts"]) == 1


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"plan": "Nothing"}, "unknown_plan", "plan"),
        ({"period": "keep"}, "invalid_request", "period"),
        ({"period_start": "2026-03-15T12:00:01Z"}, "invalid_request", "period_start"),
        ({"period_start": "2025-03-14T11:59:59Z"}, "invalid_request", "period_start"),
        ({"overrides": {"nothing_calls": 1}}, "invalid_request", "overrides"),
        ({"overrides": {"openai_calls": 1.5}}, "invalid_request", "overrides"),
        ({"overrides": {"openai_calls": -1}}, "invalid_request", "overrides"),
        ({"overrides": {"nothing_calls": None}}, "invalid_request", "overrides"),
        ({"overrides": {"monthly_cost": "1"}}, "invalid_request", "overrides"),
        ({"billing_cycle": "weekly"}, "invalid_request", "billing_cycle"),
    ],
)
async def test_a_subscription_that_cannot_be_is_refused_by_its_field(
    rig: Rig, fields: dict[str, Any], code: str, field: str
) -> None:
    answer = await rig.ask("subscribe", **{**MONTHLY, **fields})
    assert (answer.code, answer.error["field"]) == (code, field)
    assert (await rig.ask("subscription")).body == {"subscription": None, "history": [], "seq": 0}


async def test_keep_with_a_period_start_is_refused(rig: Rig) -> None:
    await subscribe(rig)
    fields = {**MONTHLY, "plan": "Basic", "period": "keep", "period_start": "2026-03-01T00:00:00Z"}
    answer = await rig.ask("subscribe", **fields)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "period")


async def test_the_kind_of_a_renewal_goes_by_plan_and_monthly_price(rig: Rig) -> None:
    kinds = [
        (await subscribe(rig, plan=plan))["renewal_type"]
        for plan in ("Pro", "pro", "Basic", "Enterprise", "free")
    ]
    assert kinds == ["new", "renewal", "downgrade", "upgrade", "downgrade"]


async def test_a_suspended_user_may_make_no_calls_until_resumed(rig: Rig) -> None:
    await subscribe(rig)
    reply = (await rig.ask("suspend", reason="not paid")).body
    assert reply["subscription"]["status"] == "suspended"
    asked: list[tuple[str, dict[str, Any]]] = [
        ("enforce", {"provider": "openai"}),
        ("hold", {"provider": "openai"}),
        ("preflight", {"operations": [{"provider": "openai"}]}),
    ]
    for verb, body in asked:
        refused = (await rig.ask(verb, **body)).body
        assert (refused["allowed"], refused["reason_code"]) == (False, "suspended")
    assert (await rig.ask("track", provider="openai")).code == ""
    assert (await rig.ask("resume")).body["subscription"]["status"] == "active"
    assert await reason(rig) == "within_limits"


@pytest.mark.parametrize("before", [(), ("suspend", "resume")])
async def test_late_events_find_the_periods_of_a_subscription_that_is_a_user_s_first_period(
    rig: Rig, before: tuple[str, ...]
) -> None:
    for verb in before:
        await rig.ask(verb)
    await subscribe(rig, period_start="2026-01-20T00:00:00Z")
    late = (await rig.ask("track", provider="exa", timestamp="2026-02-18T00:00:00Z")).body
    assert (late["billing_period"], late["late"]) == ("2026-01", True)
    period = (await rig.ask("stats", billing_period="2026-01")).body
    assert period["period_start"] == "2026-01-20T00:00:00Z"
    assert period["limits"]["plan_name"] == "Pro"


async def test_slept_through_periods_are_one_event_and_zeros_in_trends(rig: Rig) -> None:
    await subscribe(rig)
    await rig.ask("track", provider="openai", cost=1)
    seq = (await rig.ask("stats")).body["seq"]
    rig.clock.at = micros("2026-07-20T00:00:00Z")
    trends = (await rig.ask("trends")).body
    assert trends["periods"] == ["2026-02", "2026-03", "2026-04", "2026-05", "2026-06", "2026-07"]
    assert trends["total_calls"] == [0, 1, 0, 0, 0, 0]
    assert trends["provider_trends"] == {
        "openai": {"calls": [0, 1, 0, 0, 0, 0], "cost": [0, 1, 0, 0, 0, 0], "tokens": [0] * 6}
    }
    assert trends["seq"] == seq + 1


@pytest.mark.parametrize("before", [None, ("suspend", {}), ("ack", {"all": True})])
async def test_a_first_subscription_that_began_earlier_has_periods_to_be_late_for(
    rig: Rig, before: tuple[str, dict[str, Any]] | None
) -> None:
    if before is not None:  # a row, but no period
        verb, body = before
        await rig.ask(verb, **body)
    began = "2026-01-20T12:00:00Z"
    await subscribe(rig, plan="Pro", billing_cycle="monthly", period_start=began)
    reply = (await rig.ask("track", provider="exa", timestamp="2026-02-18T00:00:00Z")).body
    assert (reply["late"], reply["billing_period"]) == (True, "2026-01")
    assert (await rig.ask("stats", billing_period="2026-01")).body["period_start"] == began


async def test_a_late_event_counts_in_the_period_that_was_slept_through(rig: Rig) -> None:
    await subscribe(rig)
    rig.clock.at = micros("2026-06-01T00:00:00Z")
    late = (await rig.ask("track", provider="openai", timestamp="2026-05-14T00:00:00Z")).body
    assert (late["late"], late["billing_period"]) == (True, "2026-04")
    stats = (await rig.ask("stats", billing_period="2026-04")).body
    assert stats["period_start"] == "2026-04-15T12:00:00Z"
    assert stats["period_end"] == "2026-05-15T12:00:00Z"


async def test_a_closed_period_is_readable_for_ever(rig: Rig) -> None:
    await subscribe(rig)
    await rig.ask("track", provider="openai", cost=1)
    first = (await rig.ask("stats")).body
    for month in ("2026-05", "2027-05", "2029-01"):
        rig.clock.at = micros(f"{month}-01T00:00:00Z")
        old = (await rig.ask("stats", billing_period="2026-03")).body
        assert {**old, "seq": first["seq"]} == first
    trends = (await rig.ask("trends", months=36)).body
    assert len(trends["periods"]) == 36
    rig = await rig.restart()
    assert (await rig.ask("trends", months=36)).body == trends


async def test_the_dashboard_projects_the_cost_of_the_whole_period(rig: Rig) -> None:
    await subscribe(rig)
    await rig.ask("track", provider="openai", cost=1)
    rig.clock.at += DAY // 2
    board = (await rig.ask("dashboard")).body
    assert board["projections"] == {
        "projected_cost": 31,
        "cost_limit": 100,
        "projected_percentage": 31.0,
        "days_left": 31,
    }
    rig.clock.at += 10 * DAY
    assert (await rig.ask("dashboard")).body["projections"]["days_left"] == 21
    assert board["stats"]["total_calls"] == 1
    assert len(board["trends"]["periods"]) == 6


async def test_a_subscription_s_key_gives_the_original_reply(rig: Rig) -> None:
    first = await subscribe(rig, event_id="s")
    rig.clock.at += 40 * DAY
    await rig.ask("stats")
    assert await subscribe(rig, event_id="s", plan="pro") == {**first, "duplicate": True}
    answer = await rig.ask("subscribe", **{**MONTHLY, "plan": "Basic", "event_id": "s"})
    assert answer.code == "idempotency_mismatch"


async def test_a_user_has_no_more_closed_periods_in_memory_than_fit(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 5
    monkeypatch.setattr(subscribing, "CLOSED_MAX", most)
    await rig.ask("track", provider="exa")
    for _ in range(most):
        await subscribe(rig, plan="Pro", period="new")
        rig.clock.at += 60_000_000
    before = (await rig.ask("stats")).body
    refused = await rig.ask("subscribe", plan="Pro", billing_cycle="monthly", period="new")
    assert refused.code == "overloaded"
    assert 35 * DAY_S < refused.error["retry_after"] < 66 * DAY_S  # of a month's last moment
    assert (await rig.ask("stats")).body == before
    # Whatever begins no period is taken.
    await subscribe(rig, plan="Enterprise", period="keep")
    # The months that pass meanwhile are periods too: there may be no room yet.
    waits = 0
    while refused.error:
        rig.clock.at += int(refused.error["retry_after"] * 1_000_000)
        refused = await rig.ask("subscribe", plan="Pro", billing_cycle="monthly", period="new")
        waits += 1
    assert waits <= most
    assert len(rig.live("alice").account.closed) <= most


@pytest.mark.parametrize(
    ("earlier", "sent", "again", "same"),
    [
        (None, {}, {"period": "new"}, True),
        (None, {"period": "new"}, {}, True),
        (None, {}, {"period": "keep"}, False),
        ("Basic", {}, {"period": "keep"}, True),
        ("Basic", {"period": "keep"}, {}, True),
        ("Basic", {}, {"period": "new"}, False),
        ("Basic", {"period": "new"}, {}, False),
        ("Pro", {}, {"period": "new"}, True),
        ("Pro", {"period": "new"}, {}, True),
        ("Pro", {"period": "keep"}, {}, False),
        ("Basic", {"period_start": "2026-03-01T00:00:00Z"}, {"period": "new"}, True),
    ],
)
async def test_a_repeated_subscribe_may_name_the_period_that_was_the_default(
    rig: Rig, earlier: str | None, sent: dict[str, Any], again: dict[str, Any], *, same: bool
) -> None:
    if earlier is not None:
        await subscribe(rig, plan=earlier)
    first = await subscribe(rig, event_id="s", **sent)
    start = {name: text for name, text in sent.items() if name == "period_start"}
    found = await rig.ask("subscribe", **MONTHLY, event_id="s", **start, **again)
    assert found.code == ("" if same else "idempotency_mismatch")
    assert not same or found.body == {**first, "duplicate": True}


async def test_a_known_key_with_bytes_that_are_no_text_is_another_content(rig: Rig) -> None:
    await subscribe(rig, event_id="k")
    body = json.dumps({**MONTHLY, "event_id": "k", "overrides": {"exa_calls": "?"}}).encode()
    subject = request_subject(PREFIX, "subscribe", "alice")
    found = await rig.answer(rig.deliver(subject, body.replace(b"?", b"\xff")))
    assert found.code == "idempotency_mismatch"
