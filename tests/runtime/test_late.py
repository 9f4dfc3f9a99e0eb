"""Late calls of periods that nobody was told of, through the whole service."""

from __future__ import annotations

import json
from typing import Any

from tests.support.meter import micros
from tests.support.rig import Rig, Start


def told(rig: Rig, user: str = "alice") -> list[tuple[str, str]]:
    """The events of periods that are over: kind and period."""
    found: list[Any] = [json.loads(one.payload) for one in rig.link.published]
    return [
        (one["kind"], one["billing_period"])
        for one in found
        if one.get("kind") in {"period_closed", "period_adjusted"} and one["user_id"] == user
    ]


async def test_late_calls_of_a_period_that_was_slept_through_are_heard_of_in_a_batch_too(
    start: Start,
) -> None:
    rig = await start(at=micros("2026-11-20T00:00:00Z"))
    await rig.ask("track", provider="gemini", tokens_input=1000)
    rig.clock.at = micros("2027-01-05T00:00:00Z")
    calls = [{"provider": "gemini", "timestamp": f"2026-12-{day}T00:00:00Z"} for day in (20, 21)]
    answer = await rig.ask("batch", events=calls, event_id="b")
    assert [result["late"] for result in answer.body["results"]] == [True, True]
    await rig.idle()
    assert told(rig) == [
        ("period_closed", "2026-11"),
        ("period_closed", "2026-12"),
        ("period_adjusted", "2026-12"),
    ]
    logs = await rig.ask("logs", billing_period="2026-12")
    assert (logs.body["total_count"], len(logs.body["logs"])) == (2, 2)
    again = await rig.ask("batch", events=calls, event_id="b")
    assert [result["duplicate"] for result in again.body["results"]] == [True, True]
    await rig.idle()
    assert len(told(rig)) == 3
