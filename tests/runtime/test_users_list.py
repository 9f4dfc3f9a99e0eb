"""``catalog.users.list``: who is shown, what of whom, and what that costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messages.codec import encode_reply
from persistence.records import Row
from tests.support.meter import NOON
from tests.support.rig import Logs, Rig, Start

DAY = 86_400_000_000
UNKNOWN = {
    "plan": None,
    "billing_period": None,
    "total_calls": None,
    "total_tokens": None,
    "total_cost": None,
    "usage_status": None,
    "last_updated": None,
}


async def use(rig: Rig, *users: str, **fields: Any) -> None:
    for count, user in enumerate(users, 1):
        for _ in range(count):
            assert (await rig.ask("track", user, provider="exa", cost=0.5, **fields)).code == ""


async def damage(rig: Rig, user: str, body: str = "{") -> None:
    """Give a user a row that nobody can read, as a damaged disk may."""
    await rig.idle()
    seq = await rig.inner.last_seq() + 1
    await rig.inner.append([Row(seq, 0, user, None, "usage", 1, False, body, None)])


async def page(rig: Rig, **ask: Any) -> Any:
    answer = await rig.catalog("users.list", **ask)
    assert answer.code == "", answer.payload
    return answer.body


async def walk(rig: Rig, **ask: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        body = await page(rig, cursor=cursor, **ask)
        found.append(body["users"])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


ELSEWHERE = json.dumps(
    {
        "provider": "exa",
        "actual": "exa",
        "model": "m",
        "billing_period": "1999-01",
        "status": "active",
        "priced": "caller",
    }
)


@pytest.mark.parametrize("body", ["{", ELSEWHERE], ids=["not JSON", "of no period"])
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_a_user_whose_log_cannot_be_read_is_listed_by_id_alone_and_hides_no_other(
    rig: Rig, limit: int, body: str
) -> None:
    await use(rig, "a", "b", "c")
    await damage(rig, "b", body)
    rig = await rig.restart()
    for period in (None, "2026-03"):
        pages = await walk(rig, limit=limit, billing_period=period)
        users = [user for users in pages for user in users]
        assert [user["user_id"] for user in users] == ["a", "b", "c"]
        assert [user["total_calls"] for user in users] == [1, None, 3]
        assert users[1] == {"user_id": "b", **UNKNOWN}
    await rig.stop()


async def test_who_could_not_be_read_is_in_the_log_lines(start: Start, lines: Logs) -> None:
    rig = await start()
    await use(rig, "a")
    await damage(rig, "b")
    await page(rig)
    (line,) = [line for line in lines if line["event"] == "user_unreadable"]
    assert line["user"] == "b"


async def test_a_read_that_fails_for_one_user_costs_no_other_its_numbers(rig: Rig) -> None:
    await use(rig, "a", "b", "c")
    rig = await rig.restart()
    rig.journal.fail_reads(1, "b")  # of many together; by itself it is read
    assert [user["total_calls"] for user in (await page(rig))["users"]] == [1, 2, 3]
    rig.journal.fail_reads(2, "b")
    assert [user["total_calls"] for user in (await page(rig))["users"]] == [1, None, 3]
    await rig.stop()


async def test_live_users_are_listed_without_a_read_of_the_log(rig: Rig) -> None:
    await use(rig, "a", "b")
    await rig.catalog("plans.list")  # the catalogue's own rows are read
    await rig.idle()
    rig.journal.reads.close()
    assert [user["total_calls"] for user in (await page(rig))["users"]] == [1, 2]
    rig.journal.reads.open()


async def test_a_page_is_the_same_from_memory_and_from_the_log(rig: Rig) -> None:
    await use(rig, "a", "b", "c", timestamp="2026-03-15T11:00:00Z")
    await rig.ask("subscribe", "b", plan="pro", billing_cycle="monthly")
    await rig.ask("reset", "c")
    before = await page(rig)
    rig = await rig.restart()
    assert await page(rig) == before
    await rig.ask("stats", "b")
    assert await page(rig) == before
    await rig.stop()


async def test_a_change_that_is_not_durable_is_not_listed(rig: Rig) -> None:
    await use(rig, "a")
    await rig.idle()
    rig.journal.appends.close()
    waiting = rig.track("a", provider="exa")
    assert [user["total_calls"] for user in (await page(rig))["users"]] == [1]
    rig.journal.appends.open()
    await rig.answer(waiting)
    assert [user["total_calls"] for user in (await page(rig))["users"]] == [2]


async def test_a_list_behind_a_boundary_writes_nothing_and_shows_the_new_period(rig: Rig) -> None:
    await use(rig, "a")
    await rig.idle()
    last = await rig.inner.last_seq()
    rig.clock.at = NOON + 40 * DAY
    (user,) = (await page(rig))["users"]
    assert (user["billing_period"], user["total_calls"]) == ("2026-04", 0)
    assert await rig.inner.last_seq() == last
    stats = (await rig.ask("stats", "a", billing_period="2026-03")).body
    assert stats["total_calls"] == 1


async def test_a_period_that_left_the_state_is_listed_from_its_totals(rig: Rig) -> None:
    await use(rig, "a", "b", "c")
    rig.clock.at = NOON + 100 * DAY
    await use(rig, "b", "d")
    await rig.idle()
    for again in (False, True):
        found = (await page(rig, billing_period="2026-03"))["users"]
        assert [(user["user_id"], user["total_calls"]) for user in found] == [
            ("a", 1),
            ("b", 2),
            ("c", 3),
        ]
        if not again:
            rig = await rig.restart()
    assert (await page(rig, billing_period="2026-02"))["users"] == []
    await rig.stop()


async def test_a_page_ends_before_its_limit_where_the_reply_would_grow_too_large(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.app.PAGE_BYTES_MAX", 700)
    rig = await start()
    names = ["\u00fc" * 60 + str(n) for n in range(10)]
    await use(rig, *names[:3], *names[3:])
    pages = await walk(rig, limit=5)
    assert [user["user_id"] for users in pages for user in users] == names
    assert max(len(encode_reply(users)) for users in pages) <= 700
    assert len(pages) > 2


async def test_a_page_that_shows_the_last_user_has_no_cursor(rig: Rig) -> None:
    await use(rig, "a", "b", "c")
    assert (await page(rig, limit=3))["next_cursor"] is None
    assert [len(users) for users in await walk(rig, limit=2)] == [2, 1]
