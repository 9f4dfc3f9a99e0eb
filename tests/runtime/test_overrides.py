"""Overrides of ``subscribe``: decisions about one user, before the limits of the plan."""

from __future__ import annotations

import pytest

from tests.runtime.test_subscriptions import DAY, MONTHLY, reason, subscribe
from tests.support.rig import Rig


async def used_up_at(rig: Rig, calls: int, **overrides: float | None) -> list[bool]:
    """Subscribe with overrides; what ``enforce`` says before each of so many calls to openai."""
    await subscribe(rig, overrides=overrides)
    allowed = []
    for _ in range(calls):
        allowed.append((await rig.ask("enforce", provider="openai")).body["allowed"])
        await rig.ask("track", provider="openai")
    return allowed


async def test_an_override_is_hard_although_the_plans_limit_is_one_of_a_group(rig: Rig) -> None:
    assert await used_up_at(rig, 8, openai_calls=5) == [True] * 5 + [False] * 3
    said = (await rig.ask("enforce", provider="openai")).body
    assert (said["reason_code"], said["violated"]) == ("call_limit_reached", ["openai_calls"])
    kinds = {limit["name"]: limit["kind"] for limit in said["limits"]}
    assert kinds["openai_calls"] == "hard"
    hold = (await rig.ask("hold", provider="openai")).body
    assert (hold["allowed"], hold["hold_id"]) == (False, None)
    for body in ((await rig.ask("stats")).body, (await rig.ask("dashboard")).body["stats"]):
        assert body["usage_status"] == "limit_reached"
        assert body["usage_percentages"]["openai_calls"] == 160
        assert body["limits"]["limits"]["openai_calls"] == 5
    raised = (await rig.ask("alerts")).body["alerts"]
    assert [alert["threshold_percentage"] for alert in raised] == [100, 90, 80]
    # The other limits of the group stay soft.
    other = (await rig.ask("enforce", provider="gemini")).body["limits"]
    assert {x["kind"] for x in other if x["name"] == "gemini_calls"} <= {"soft"}


@pytest.mark.parametrize("plan", ["Free", "Basic", "Pro", "Enterprise"])
@pytest.mark.parametrize("limit", ["openai_calls", "openai_tokens", "openai_cost", "monthly_cost"])
async def test_an_override_of_0_closes_a_limit_in_every_tier(
    rig: Rig, plan: str, limit: str
) -> None:
    await subscribe(rig, plan=plan, overrides={limit: 0})
    said = (await rig.ask("enforce", provider="openai")).body
    assert (said["reason_code"], said["allowed"]) == ("disabled_by_plan", False)
    assert limit in said["violated"]
    if plan != "Free":  # which disables others of openai, and those come first
        assert said["violated"] == [limit]
        assert said["message"] == f"{limit} is closed for this user by an override."
    assert said["retry_after"] is None
    assert (await rig.ask("track", provider="openai", tokens_input=9)).body["alerts"] == []
    board = (await rig.ask("dashboard")).body
    assert board["stats"]["usage_status"] == "active"
    assert limit not in board["stats"]["usage_percentages"]
    assert board["projections"]["projected_percentage"] is None or limit != "monthly_cost"
    state = (await rig.ask("subscription")).body["subscription"]
    assert state["overrides"] == {limit: 0}


async def test_an_override_of_null_lifts_a_limit_until_the_next_subscription(rig: Rig) -> None:
    answers = await used_up_at(rig, 3, openai_calls=None, openai_cost=None, monthly_cost=None)
    assert answers == [True] * 3
    names = {x["name"] for x in (await rig.ask("enforce", provider="openai")).body["limits"]}
    assert not names & {"openai_calls", "openai_cost", "monthly_cost"}
    stats = (await rig.ask("stats")).body
    assert "openai_calls" not in stats["limits"]["limits"]
    assert (await rig.ask("subscription")).body["subscription"]["overrides"] == {
        "monthly_cost": None,
        "openai_calls": None,
        "openai_cost": None,
    }
    await subscribe(rig, plan="Enterprise")
    assert (await rig.ask("subscription")).body["subscription"]["overrides"] == {}


async def test_an_override_of_null_lifts_what_a_free_plan_disables(rig: Rig) -> None:
    assert (await reason(rig, "video")) == "disabled_by_plan"
    await subscribe(rig, plan="Free", overrides={"video_calls": None})
    assert (await reason(rig, "video")) == "within_limits"


async def test_overrides_are_part_of_the_content_of_a_key_null_too(rig: Rig) -> None:
    first = await subscribe(rig, event_id="k", overrides={"openai_calls": None})
    again = await subscribe(rig, event_id="k", overrides={"openai_calls": None})
    assert again == {**first, "duplicate": True}
    for other in ({}, {"openai_calls": 0}):
        answer = await rig.ask("subscribe", **MONTHLY, event_id="k", overrides=other)
        assert answer.code == "idempotency_mismatch"


async def test_an_override_holds_over_a_renewal_and_in_the_next_period(rig: Rig) -> None:
    assert await used_up_at(rig, 6, openai_calls=5) == [True] * 5 + [False]
    rig.clock.at += 40 * DAY
    assert await reason(rig) == "within_limits"
    for _ in range(5):
        await rig.ask("track", provider="openai")
    assert await reason(rig) == "call_limit_reached"
