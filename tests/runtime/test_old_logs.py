"""``logs`` of a period that closed long ago, of a user who has been busy since."""

from __future__ import annotations

from typing import Any

import pytest

from actors.billing.reports import usage_log
from tests.support.meter import micros
from tests.support.rig import Rig

HOUR = 3_600_000_000
CHUNK, SCANNED = 5, 20


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at few rows, so that few calls make a busy user."""
    monkeypatch.setattr(usage_log, "CHUNK", CHUNK)
    monkeypatch.setattr(usage_log, "SCANNED_MAX", SCANNED)


async def use(rig: Rig, count: int, prefix: str, **fields: Any) -> None:
    for n in range(count):
        rig.clock.at += HOUR
        key = f"{prefix}{n}"
        assert (await rig.ask("track", provider="exa", event_id=key, **fields)).code == ""


async def busy(rig: Rig, *, late: int) -> list[str]:
    """A busy March, April and May, with late events in April; the keys of March, newest first."""
    await use(rig, 30, "march")
    rig.clock.at = micros("2026-04-02T00:00:00Z")
    for n in range(late):  # one by one among the events of April
        await use(rig, 1, f"late{n}-", timestamp="2026-03-20T00:00:00Z")
        await use(rig, 30, f"april{n}-")
    await use(rig, 60, "april")
    rig.clock.at = micros("2026-05-10T00:00:00Z")
    await use(rig, 60, "may")
    return [f"late{n}-0" for n in reversed(range(late))] + [
        f"march{n}" for n in reversed(range(30))
    ]


async def page(rig: Rig, **ask: Any) -> Any:
    answer = await rig.ask("logs", billing_period="2026-03", **ask)
    assert answer.code == "", answer.payload
    return answer.body


async def walk(rig: Rig, **ask: Any) -> list[list[str]]:
    found, cursor = [], None
    while True:
        body = await page(rig, cursor=cursor, **ask)
        found.append([entry["event_id"] for entry in body["logs"]])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def leave(rig: Rig, sealed: bool) -> None:
    """Have March leave the state, or not: its grace ends, and then a period begins."""
    if sealed:
        rig.clock.at = micros("2026-06-10T00:00:00Z")
        await use(rig, 60, "june")


@pytest.mark.parametrize("sealed", [False, True], ids=["within the grace", "sealed"])
@pytest.mark.parametrize("late", [0, 1, 3])
async def test_the_first_page_of_a_closed_period_is_full_whatever_came_after_it(
    rig: Rig, late: int, sealed: bool
) -> None:
    expected = await busy(rig, late=late)
    await leave(rig, sealed)
    first = await page(rig, limit=8)
    assert [entry["event_id"] for entry in first["logs"]] == expected[:8]
    assert first["total_count"] == len(expected)
    found = await walk(rig, limit=8)
    assert [key for keys in found for key in keys] == expected
    assert [len(keys) for keys in found[:-1]] == [8] * (len(found) - 1)


@pytest.mark.parametrize("sealed", [False, True], ids=["within the grace", "sealed"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 1_000])
async def test_a_walk_of_a_closed_period_shows_each_late_event_once_whatever_its_limit(
    rig: Rig, limit: int, sealed: bool
) -> None:
    expected = await busy(rig, late=7)  # more than one read of rows with notices
    await leave(rig, sealed)
    assert [key for keys in await walk(rig, limit=limit) for key in keys] == expected
    assert [key for keys in await walk(rig, provider="exa") for key in keys] == expected
    assert [key for keys in await walk(rig, provider="openai") for key in keys] == []


async def test_a_period_that_only_late_events_opened_is_walked_to_its_end(rig: Rig) -> None:
    await use(rig, 3, "march")
    rig.clock.at = micros("2026-05-10T00:00:00Z")
    await use(rig, 2, "may")
    await use(rig, 2, "slept", timestamp="2026-04-20T00:00:00Z")  # April has no event of its own
    await use(rig, 60, "more")
    for at in ("2026-05-20T00:00:00Z", "2026-08-01T00:00:00Z"):
        rig.clock.at = micros(at)
        await use(rig, 60, at)
        answers, cursor = [], None
        while True:
            body = (await rig.ask("logs", billing_period="2026-04", cursor=cursor)).body
            answers += [entry["event_id"] for entry in body["logs"]]
            cursor = body["next_cursor"]
            if cursor is None:
                break
        assert answers == ["slept1", "slept0"]


async def test_a_period_that_the_user_does_not_have_is_one_empty_page(rig: Rig) -> None:
    await busy(rig, late=1)
    body = (await rig.ask("logs", billing_period="2025-01")).body
    assert (body["logs"], body["next_cursor"], body["total_count"]) == ([], None, 0)


async def test_a_late_event_behind_the_first_page_is_not_in_its_walk(rig: Rig) -> None:
    await use(rig, 2, "march")
    rig.clock.at = micros("2026-04-02T00:00:00Z")
    await use(rig, 2, "late", timestamp="2026-03-31T00:00:00Z")
    first = await page(rig, limit=1)
    await use(rig, 1, "later", timestamp="2026-03-31T00:00:00Z")
    found, cursor = [entry["event_id"] for entry in first["logs"]], first["next_cursor"]
    while cursor is not None:
        body = await page(rig, cursor=cursor)
        found += [entry["event_id"] for entry in body["logs"]]
        cursor = body["next_cursor"]
    assert found == ["late1", "late0", "march1", "march0"]
