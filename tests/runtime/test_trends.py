"""Trends over periods that overlap: which are the last ones is decided by where they start."""

from __future__ import annotations

from typing import Any

from tests.support.meter import micros
from tests.support.rig import Rig

MONTHLY = {"plan": "Pro", "billing_cycle": "monthly"}


async def overlapping(rig: Rig, *starts: str) -> None:
    """A period from 03-01 to 03-15, then one from 03-15 on, then those of the past."""
    await rig.ask("subscribe", **MONTHLY)
    late = (await rig.ask("track", provider="exa", timestamp="2026-03-10T00:00:00Z")).body
    assert (late["late"], late["billing_period"]) == (True, "2026-03.2")
    for start in starts:
        answer = await rig.ask("subscribe", **MONTHLY, period_start=f"2026-02-{start}T12:00:00Z")
        assert answer.code == ""
    rig.clock.at = micros("2026-04-20T00:00:00Z")
    await rig.ask("stats")  # 03-01 to 03-15 leaves the state; what starts before does not yet


async def shown(rig: Rig, **ask: Any) -> list[tuple[str, int]]:
    trends = (await rig.ask("trends", **ask)).body
    return list(zip(trends["periods"], trends["total_calls"], strict=True))


async def test_a_period_that_left_the_state_is_among_the_last_if_it_starts_later(
    rig: Rig,
) -> None:
    await overlapping(rig, "22")
    assert await shown(rig, months=3) == [("2026-03.2", 1), ("2026-03", 0), ("2026-03.3", 0)]


async def test_the_last_periods_are_found_behind_those_that_left_the_state_after_them(
    rig: Rig,
) -> None:
    await overlapping(rig, "20", "21", "22", "23", "24")
    rig.clock.at = micros("2026-04-30T00:00:00Z")
    await rig.ask("stats")
    assert await shown(rig, months=4) == [
        *(("2026-03.2", 1), ("2026-03", 0)),
        *(("2026-03.3", 0), ("2026-04", 0)),
    ]
