"""``catalog.users.list``: who is shown, what of whom, and what that costs."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from actors.catalog import users
from actors.catalog.ranking import Ranking
from messages.catalog import UserEntry
from messages.codec import encode_reply
from messages.subjects import PREFIX
from persistence.records import Row
from tests.support.meter import NOON
from tests.support.rig import Logs, Rig, Start
from tests.support.turns import turns_of_the_loop

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


async def test_a_user_who_could_not_be_read_is_in_the_log_lines(start: Start, lines: Logs) -> None:
    rig = await start()
    await use(rig, "a")
    await damage(rig, "b")
    await page(rig)
    (line,) = [line for line in lines if line["event"] == "damaged"]
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


async def test_a_page_ends_before_its_limit_if_the_reply_would_grow_too_large(
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


async def ranked(rig: Rig, sort: str, **ask: Any) -> list[str]:
    return [user["user_id"] for users in await walk(rig, sort=sort, **ask) for user in users]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
async def test_users_are_ranked_from_the_greatest_down_and_a_walk_shows_each_once(
    rig: Rig, limit: int
) -> None:
    calls = {"a": (2, 0.5, 10), "b": (1, 3, 10), "c": (3, 0.000000001, 0), "d:e": (1, 3, 500)}
    for user, (count, cost, tokens) in calls.items():
        for _ in range(count):
            await rig.ask("track", user, provider="exa", cost=cost, tokens_input=tokens)
        rig.clock.at += 1
    await rig.ask("subscribe", "quiet", plan="Pro", billing_cycle="monthly")
    orders = {
        "id": ["a", "b", "c", "d:e", "quiet"],
        "calls": ["c", "a", "b", "d:e", "quiet"],
        "cost": ["b", "d:e", "a", "c", "quiet"],
        "tokens": ["d:e", "a", "b", "c", "quiet"],
        "last_updated": ["d:e", "c", "b", "a", "quiet"],
    }
    for _ in range(2):
        for sort, order in orders.items():
            assert await ranked(rig, sort, limit=limit) == order, sort
        rig = await rig.restart()
    assert await ranked(rig, "cost", limit=limit, prefix="d") == ["d:e"]
    assert await ranked(rig, "cost", limit=limit, billing_period="1999-01") == []
    await rig.stop()


async def test_by_id_is_the_default_and_its_cursors_are_those_of_before(rig: Rig) -> None:
    await use(rig, "a", "b")
    first = await page(rig, limit=1)
    assert first == await page(rig, limit=1, sort="id")
    rest = await page(rig, limit=1, cursor=first["next_cursor"], sort="id")
    assert [user["user_id"] for user in rest["users"]] == ["b"]


async def test_a_cursor_belongs_to_its_order_and_nonsense_is_refused(rig: Rig) -> None:
    await use(rig, "a", "b")
    cursor = (await page(rig, limit=1, sort="cost"))["next_cursor"]
    for sort in ("id", "calls"):
        answer = await rig.catalog("users.list", limit=1, sort=sort, cursor=cursor)
        assert (answer.code, answer.error["field"]) == ("invalid_request", "cursor")
    digest = base64.urlsafe_b64decode(cursor + "==").partition(b":")[0]
    for position in (b"", b"x:a", b"a"):
        forged = base64.urlsafe_b64encode(digest + b":" + position).decode().rstrip("=")
        answer = await rig.catalog("users.list", sort="cost", cursor=forged)
        assert (answer.code, answer.error["field"]) == ("invalid_request", "cursor")
    answer = await rig.catalog("users.list", sort="cots")
    assert (answer.code, answer.error["field"]) == ("invalid_request", "sort")
    assert "cost" in answer.error["message"]


async def test_a_user_who_cannot_be_read_is_ranked_last_and_hides_nobody(rig: Rig) -> None:
    await use(rig, "a", "b", "c")
    await damage(rig, "c")
    rig = await rig.restart()
    assert await ranked(rig, "calls", limit=1) == ["b", "a", "c"]
    await rig.stop()


@pytest.mark.parametrize(
    ("deadline", "seconds"), [("2026-03-15T12:00:01Z", 2), (None, users.RANKED_S + 1)]
)
async def test_a_ranking_ends_with_its_deadline_and_without_one_after_a_while(
    rig: Rig, deadline: str | None, seconds: int
) -> None:
    for number in range(200):
        await rig.ask("track", f"u{number}", provider="exa")
    rig = await rig.restart()
    await rig.catalog("plans.list")
    rig.journal.reads.close()
    sent = rig.deliver(
        f"{PREFIX}.catalog.users.list",
        json.dumps({"sort": "cost", "deadline": deadline}).encode(),
    )
    await rig.journal.reads.waiting.wait()
    rig.clock.at += seconds * 1_000_000
    rig.journal.reads.open()
    assert (await rig.answer(sent)).code == "deadline_exceeded"
    await rig.stop()


async def test_a_ranking_is_of_at_most_so_many_users(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        await rig.ask("track", f"u{number}", provider="exa")
    monkeypatch.setattr(users, "RANKED_MAX", 199)
    answer = await rig.catalog("users.list", sort="cost")
    assert (answer.code, answer.error["field"]) == ("invalid_request", "sort")
    assert (await rig.catalog("users.list", sort="cost", prefix="u1")).code == ""
    await rig.stop()


async def test_a_ranking_is_made_in_turns_and_keeps_what_its_page_shows(rig: Rig) -> None:
    for number in range(300):
        await rig.ask("track", f"u{number}", provider="exa", tokens_input=number)
    for away in (False, True):
        rig = await rig.restart() if away else rig
        with turns_of_the_loop() as turns:
            answer = await rig.catalog("users.list", sort="tokens", limit=2)
        assert [user["user_id"] for user in answer.body["users"]] == ["u299", "u298"]
        assert turns.longest < 30_000
    await rig.stop()
    ranking = Ranking("calls", 3, None)
    for number in range(1_000):
        ranking.take([UserEntry(user_id=f"u{number}", total_calls=number)])
        assert len(ranking._kept) <= 6
    assert [user.total_calls for _, user in ranking.best()] == [999, 998, 997]
