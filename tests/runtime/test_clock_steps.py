"""The clock is set while the service runs: holds end in time, limits hold, nobody is locked out."""

from __future__ import annotations

import pytest

from messages.units import MICROS_PER_DAY, to_datetime
from tests.support.meter import micros
from tests.support.rig import Logs, Rig, Start

S = 1_000_000
HOUR = 3_600 * S


def written(at: int) -> str:
    return to_datetime(at).isoformat()


async def opened(rig: Rig, user: str = "alice") -> int:
    return len((await rig.ask("holds", user)).body["holds"])


@pytest.mark.parametrize("back", [HOUR - S, MICROS_PER_DAY, 40 * MICROS_PER_DAY])
async def test_a_hold_ends_after_its_ttl_although_the_clock_was_set_back(
    rig: Rig, lines: Logs, back: int
) -> None:
    await rig.ask("track", provider="gemini")
    rig.clock.at += HOUR
    await rig.ask("track", provider="gemini")
    rig.clock.step(-back)
    held = await rig.ask("hold", provider="gemini", calls=9, ttl=3)
    assert held.body["allowed"]
    assert await opened(rig) == 1
    rig.clock.at += 3 * S - 1
    assert await opened(rig) == 1
    rig.clock.at += 1
    assert await opened(rig) == 0
    steps = [line for line in lines if line["event"] == "clock_stepped"]
    assert [line["seconds"] for line in steps] == [-back / S] * len(steps)
    assert len(steps) == 1


async def test_a_hold_from_before_the_step_ends_after_its_ttl(rig: Rig) -> None:
    await rig.ask("hold", provider="gemini", ttl=3)
    rig.clock.step(-HOUR)
    rig.clock.at += 3 * S
    assert await opened(rig) == 0


async def test_a_hold_ends_after_its_ttl_over_a_restart(rig: Rig) -> None:
    await rig.ask("hold", provider="gemini", ttl=3)
    rig.clock.step(-HOUR)
    again = await rig.restart()
    assert await opened(again) == 1
    again.clock.at += 3 * S
    assert await opened(again) == 0
    await again.stop()


@pytest.mark.parametrize("restarted", [False, True])
async def test_limits_hold_when_the_clock_steps_over_the_end_of_a_month_and_back(
    start: Start, *, restarted: bool
) -> None:
    before = micros("2026-11-30T23:59:50Z")
    rig = await start(at=before)
    await rig.ask("track", provider="gemini")
    rig.clock.step(60 * S)
    assert (await rig.ask("track", provider="gemini")).body["billing_period"] == "2026-12"
    rig.clock.step(-60 * S)
    if restarted:
        rig = await rig.restart()
    limit = next(
        found["limit"]
        for found in (await rig.ask("enforce", provider="gemini")).body["limits"]
        if found["name"] == "gemini_calls"
    )
    allowed = 0
    for _ in range(limit + 30):
        if (await rig.ask("enforce", provider="gemini")).body["allowed"]:
            call = await rig.ask("track", provider="gemini", timestamp=written(rig.clock.at))
            assert not call.body["late"]
            allowed += 1
    assert allowed == limit - 1
    await rig.stop()


async def test_a_clock_that_was_far_ahead_for_one_call_refuses_no_call_of_now(rig: Rig) -> None:
    await rig.ask("track", provider="gemini")
    rig.clock.step(400 * MICROS_PER_DAY)
    await rig.ask("track", provider="gemini")
    rig.clock.step(-400 * MICROS_PER_DAY)
    await _check_range(rig)
    again = await rig.restart()
    await _check_range(again)
    await again.stop()


async def _check_range(rig: Rig) -> None:
    now = rig.clock.at
    for age in (0, 35 * MICROS_PER_DAY):
        told = await rig.ask("track", provider="gemini", timestamp=written(now - age))
        assert not told.code
    for age in (-301 * S, 35 * MICROS_PER_DAY + 1):
        told = await rig.ask("track", provider="gemini", timestamp=written(now - age))
        assert told.code == "timestamp_out_of_range"
    shown = (await rig.ask("logs", limit=1)).body["logs"][0]
    assert micros(shown["timestamp"]) == now - 35 * MICROS_PER_DAY


async def test_a_wrong_clock_leaves_those_alone_who_were_not_there(rig: Rig) -> None:
    await rig.ask("track", "bob", provider="gemini")
    rig.clock.step(400 * MICROS_PER_DAY)
    await rig.ask("track", provider="gemini")
    rig.clock.step(-400 * MICROS_PER_DAY)
    assert (await rig.ask("stats", "bob")).body["billing_period"] == "2026-03"
    assert (await rig.ask("track", "carol", provider="gemini")).body["billing_period"] == "2026-03"


async def test_a_price_is_in_force_by_the_clock_whatever_it_showed_before(rig: Rig) -> None:
    rig.clock.step(400 * MICROS_PER_DAY)
    await rig.catalog("prices.put", provider="gemini", model="m", cost_per_request=1)
    await rig.ask("track", provider="gemini", model_used="m")
    rig.clock.step(-400 * MICROS_PER_DAY)
    await rig.catalog("prices.put", provider="gemini", model="m", cost_per_request=2)
    told = await rig.ask("track", provider="gemini", model_used="m")
    assert told.body["cost"] == 2
    assert (await rig.ask("track", "bob", provider="gemini", model_used="m")).body["cost"] == 2


async def test_a_subscription_begins_when_it_is_said_to_by_the_clock(rig: Rig) -> None:
    await rig.ask("track", provider="gemini")
    rig.clock.step(-HOUR)
    plan = {"plan": "Pro", "billing_cycle": "monthly"}
    ahead = await rig.ask("subscribe", **plan, period_start=written(rig.clock.at + 1))
    assert (ahead.code, ahead.error["field"]) == ("invalid_request", "period_start")
    begun = await rig.ask("subscribe", **plan, period_start=written(rig.clock.at))
    assert micros(begun.body["subscription"]["current_period_start"]) == rig.clock.at
