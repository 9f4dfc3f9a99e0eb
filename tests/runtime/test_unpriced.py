"""``catalog.prices.unpriced``: which models are listed, what of them, and what that costs."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.catalog import unpriced
from actors.catalog.unpriced_sums import Sums
from messages.stored.form import FORM
from messages.subjects import PREFIX
from persistence.memory import MemoryJournal
from persistence.sqlite.journal import SQLiteJournal
from tests.runtime.test_archive import archive_all
from tests.runtime.test_forget import forget
from tests.support.meter import NOON, micros
from tests.support.older import as_stored_before
from tests.support.rig import Logs, Rig, Start
from tests.support.turns import turns_of_the_loop

SECOND = 1_000_000
DAY = 86_400 * SECOND
TURN = 30_000
"""As in `test_turns`."""


async def use(rig: Rig, user: str = "alice", count: int = 1, **fields: Any) -> None:
    for _ in range(count):
        rig.clock.at += SECOND
        call = {"provider": "openai", "tokens_input": 1_000, "tokens_output": 500, **fields}
        answer = await rig.ask("track", user, **call)
        assert answer.code == "", answer.payload


async def listed(rig: Rig, **ask: Any) -> Any:
    answer = await rig.catalog("prices.unpriced", **ask)
    assert answer.code == "", answer.payload
    return answer.body


async def names(rig: Rig, **ask: Any) -> list[tuple[str, str, int, int]]:
    rows = (await listed(rig, **ask))["rows"]
    return [(row["model"], row["how"], row["calls"], row["users"]) for row in rows]


async def walk(rig: Rig, **ask: Any) -> list[Any]:
    found, cursor = [], None
    while True:
        body = await listed(rig, cursor=cursor, **ask)
        found.append(body["rows"])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


def at(second: int) -> str:
    return f"2026-03-15T12:00:{second:02}Z"


async def dated(rig: Rig) -> None:
    """Have a model that is found by a name without its date."""
    put = {"provider": "openai", "model": "gpt-x", "cost_per_input_token": 0.000002}
    answer = await rig.catalog("prices.put", **put)
    assert answer.code == ""


async def test_models_without_a_price_are_listed_with_all_that_their_calls_come_to(
    rig: Rig,
) -> None:
    await dated(rig)
    await use(rig, "alice", 2, model_used="unheard-of")
    await use(rig, "bob", 1, model_used="unheard-of")
    await use(rig, "bob", 1, model_used="unheard-of", price_variant="batch")
    await use(rig, "alice", 2, model_used="gpt-x-2026-01-31", tokens_output=0)
    await use(rig, "alice", 4, model_used="gpt-x")
    await use(rig, "alice", 1, model_used="unheard-of", cost=0.5)
    body = await listed(rig)
    assert [tuple(row.values()) for row in body["rows"]] == [
        ("openai", "unheard-of", "", "estimate", 3, 4_500, 0.0045, 2, False, at(1), at(3)),
        ("openai", "gpt-x-2026-01-31", "", "undated", 2, 2_000, 0.004, 1, False, at(5), at(6)),
        ("openai", "unheard-of", "batch", "estimate", 1, 1_500, 0.0015, 1, False, at(4), at(4)),
    ]
    assert {name: body[name] for name in body if name != "rows"} == {
        "next_cursor": None,
        "complete_since": None,
        "unread": 0,
        "seq": await rig.inner.last_seq(),
    }


async def test_a_call_whose_caller_knew_the_cost_is_listed_if_its_name_was_undated(
    rig: Rig,
) -> None:
    await dated(rig)
    await use(rig, model_used="gpt-x-2026-01-31", cost=0.25)
    (row,) = (await listed(rig))["rows"]
    assert (row["how"], row["cost"]) == ("undated", 0.25)


async def test_what_looks_like_a_mark_inside_of_a_text_lists_nothing(rig: Rig) -> None:
    await use(rig, provider="exa", tags={"h": "estimate", "b": "undated"})
    await use(rig, provider="exa", cost=1, endpoint='"h":"estimate","b":"undated"')
    assert await names(rig) == []


async def test_an_empty_log_has_no_rows_and_is_complete(rig: Rig) -> None:
    assert await listed(rig) == {
        "rows": [],
        "next_cursor": None,
        "complete_since": None,
        "unread": 0,
        "seq": 0,
    }


async def test_the_list_is_the_same_after_a_restart_a_reset_and_a_forget(rig: Rig) -> None:
    await use(rig, "alice", 3, model_used="m", ip_address="::1")
    await use(rig, "bob", 1, model_used="m")
    before = (await listed(rig))["rows"]
    assert (await rig.ask("reset", "alice")).code == ""
    assert (await forget(rig, "alice")).body["rows"] == 3
    assert (await listed(rig))["rows"] == before
    rig = await rig.restart()
    assert (await listed(rig))["rows"] == before
    await rig.stop()


async def test_calls_count_by_when_they_were_made_or_arrived_if_that_is_earlier(rig: Rig) -> None:
    await use(rig, model_used="old", timestamp="2026-03-01T00:00:00Z")
    await use(rig, model_used="ahead", timestamp="2026-03-15T12:01:00Z")
    rig.clock.at = micros("2026-03-16T00:00:00Z")
    await use(rig, model_used="new")
    assert [row[0] for row in await names(rig, since="2026-03-01T00:00:00Z")] == [
        "ahead",
        "new",
        "old",
    ]
    assert [row[0] for row in await names(rig, since="2026-03-15T12:00:02Z")] == ["ahead", "new"]
    assert [row[0] for row in await names(rig, since="2026-03-15T12:00:02.000001Z")] == ["new"]
    assert await names(rig, since="2026-03-17T00:00:00Z") == []
    (row,) = (await listed(rig, since="2026-03-15T12:00:02Z", limit=1))["rows"]
    assert row["first_seen"] == row["last_seen"] == "2026-03-15T12:00:02Z"


async def test_a_walk_shows_each_model_once_in_order_while_calls_come_in(rig: Rig) -> None:
    for number in range(7):
        await use(rig, "alice", 1 + number % 3, model_used=f"m{number}")
    whole = (await listed(rig, limit=1_000))["rows"]
    order = [(-row["calls"], row["provider"], row["model"]) for row in whole]
    assert order == sorted(order)
    found, cursor = [], None
    while True:
        body = await listed(rig, limit=2, cursor=cursor)
        found += body["rows"]
        cursor = body["next_cursor"]
        if cursor is None:
            break
        await use(rig, "bob", 9, model_used="m1")  # it would go to the front
    assert found == whole
    assert (await listed(rig))["rows"][0]["model"] == "m1"


async def test_a_cursor_is_bound_to_its_filter_and_a_forged_one_is_refused_or_harmless(
    rig: Rig,
) -> None:
    await use(rig, model_used="a")
    await use(rig, model_used="b")
    cursor = (await listed(rig, limit=1))["next_cursor"]
    answer = await rig.catalog("prices.unpriced", cursor=cursor, since="2026-01-01T00:00:00Z")
    assert (answer.code, answer.error["field"]) == ("invalid_request", "cursor")
    text = base64.urlsafe_b64decode(cursor + "==").decode()
    digest = text.partition(":")[0]
    for place in (
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "a.1.0.0",
        "-1.2.0.0",
        "9.2.0.0",
        f"1.2.{9**99}.0",
    ):
        forged = base64.urlsafe_b64encode(f"{digest}:{place}".encode()).decode().rstrip("=")
        answer = await rig.catalog("prices.unpriced", cursor=forged)
        assert (answer.code, answer.error["field"]) == ("invalid_request", "cursor"), place
    for place in ("0.0.0.0", f"0.{9**99}.0.0", f"1.{9**99}.5.{9**99}"):
        forged = base64.urlsafe_b64encode(f"{digest}:{place}".encode()).decode().rstrip("=")
        await listed(rig, cursor=forged)


async def test_a_page_fits_into_a_reply_and_the_next_one_goes_on(rig: Rig) -> None:
    for number in range(60):
        await use(rig, model_used=f"{number:03}".ljust(256, "\u0001"))
    rig.service._context.page_bytes_max = 20_000
    pages = await walk(rig, limit=1_000)
    assert len(pages) > 4
    assert sorted(row["model"][:3] for page in pages for row in page) == [
        f"{number:03}" for number in range(60)
    ]


async def test_a_list_looks_at_the_newest_positions_only_and_says_since_when_it_is_complete(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig, model_used="first")
    await use(rig, "alice", 8, model_used="m")
    await use(rig, model_used="n")
    monkeypatch.setattr(unpriced, "STRETCH", 2)
    monkeypatch.setattr(unpriced, "LOOKED_AT_MAX", 4)
    body = await listed(rig, limit=1)
    assert [row["calls"] for row in body["rows"]] == [3]
    # The older of the two oldest that were looked at arrived at :07.
    assert body["complete_since"] == "2026-03-15T12:00:08.000001Z"
    later = await listed(rig, limit=1, cursor=body["next_cursor"])
    assert (later["complete_since"], later["rows"][0]["model"]) == (body["complete_since"], "n")
    since = await listed(rig, since="2026-03-15T12:00:09Z")
    assert (since["complete_since"], len(since["rows"])) == (None, 2)


async def test_a_list_that_has_no_more_time_shows_what_it_found_and_its_pages_see_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig, "alice", 8, model_used="m")
    await use(rig, "alice", 1, model_used="n")
    monkeypatch.setattr(unpriced, "STRETCH", 2)
    steps = 3 * SECOND

    def passes(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def later(*args: Any) -> Any:
            rig.clock.at += steps
            return await read(*args)

        return later

    monkeypatch.setattr(rig.journal, "marked", passes(rig.journal.marked))
    deadline = {"deadline": "2026-03-15T12:00:17Z"}  # 8 s from now: it looks for 6.4 s
    body = await listed(rig, limit=1, **deadline)
    assert [row["calls"] for row in body["rows"]] == [5]
    assert body["complete_since"] is not None
    last = (await listed(rig, limit=9, cursor=body["next_cursor"]))["rows"]
    assert [(row["model"], row["calls"]) for row in last] == [("n", 1)]
    late = await rig.catalog(
        "prices.unpriced", cursor=body["next_cursor"], deadline="2026-03-15T12:00:29Z"
    )
    assert late.code == "deadline_exceeded"
    steps = 4 * SECOND  # without a deadline it looks for 10 s
    assert [row["calls"] for row in (await listed(rig))["rows"]] == [5, 1]


async def test_of_too_many_models_the_newest_are_listed_and_users_are_at_least_so_many(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpriced, "Sums", lambda since: Sums(since, 3, 4))
    for number in range(5):
        await use(rig, f"u{number}", model_used=f"m{number}")
    for number in range(4):
        await use(rig, f"v{number}", model_used="m4")
    body = await listed(rig)
    found = [
        (row["model"], row["calls"], row["users"], row["users_capped"]) for row in body["rows"]
    ]
    assert found == [("m4", 5, 4, True), ("m2", 1, 0, True), ("m3", 1, 0, True)]
    assert body["complete_since"] == "2026-03-15T12:00:02.000001Z"
    cursor = (await listed(rig, limit=1))["next_cursor"]
    later = await listed(rig, cursor=cursor)
    assert (later["rows"], later["complete_since"]) == (body["rows"][1:], body["complete_since"])


async def test_a_second_list_is_refused_while_one_is_made_and_other_requests_go_on(
    rig: Rig,
) -> None:
    await use(rig, model_used="m")
    await listed(rig)  # the catalogue's actor is there from here on
    rig.journal.reads.close()
    first = rig.deliver(f"{PREFIX}.catalog.prices.unpriced")
    await rig.journal.reads.waiting.wait()
    second = await rig.catalog("prices.unpriced")
    assert (second.code, second.error["retry_after"]) == ("overloaded", unpriced.BUSY_S)
    assert (await rig.catalog("plans.list")).code == ""
    await use(rig, model_used="m")
    rig.journal.reads.open()
    assert (await rig.answer(first)).body["rows"][0]["calls"] == 1
    assert (await listed(rig))["rows"][0]["calls"] == 2


async def test_a_log_that_cannot_be_read_is_unavailable_and_the_next_list_is_made(
    rig: Rig,
) -> None:
    await use(rig, model_used="m")
    await listed(rig)
    rig.journal.fail_reads(1)
    assert (await rig.catalog("prices.unpriced")).code == "unavailable"
    assert len((await listed(rig))["rows"]) == 1


@pytest.mark.parametrize("body", ['{"h":"estimate"', '{"h":"estimate"}', ""])
async def test_a_row_that_nobody_can_read_is_counted_and_hides_no_other(
    rig: Rig, lines: Logs, body: str
) -> None:
    await use(rig, model_used="m")
    await rig.idle()
    newest = (await rig.inner.rows(0, 100))[-1]
    # Without a body of its own it is a whole call of a moment that nobody can tell.
    moment = newest.at if body else 10**19
    rotten = newest._replace(
        seq=newest.seq + 1, key=None, at=moment, body=body or newest.body, user="bob"
    )
    await rig.inner.append([rotten])
    rig.writer.durable = rotten.seq
    found = await listed(rig)
    assert [row["calls"] for row in found["rows"]] == [1]
    assert (found["unread"], found["seq"]) == (1, rotten.seq)
    assert [line["user"] for line in lines if line["event"] == "damaged"] == ["bob"]


async def test_calls_under_the_full_names_of_their_fields_are_listed(start: Start) -> None:
    rig = await start()
    await use(rig, "alice", 2, model_used="unheard-of")
    await use(rig, "alice", 1, provider="exa")
    await rig.idle()
    before = await listed(rig)
    journal = MemoryJournal(FORM)
    await journal.append(as_stored_before(await rig.inner.rows(0, 100)))
    older = await start(journal, at=NOON + DAY)
    assert (await listed(older))["rows"] == before["rows"]
    assert len(before["rows"]) == 1


async def test_calls_that_were_archived_are_listed_and_those_of_a_file_that_is_gone_counted(
    tmp_path: Path, start: Start
) -> None:
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    rig = await start(journal, at=micros("2026-01-05T00:00:00Z"))
    await use(rig, "alice", 3, model_used="unheard-of")
    await use(rig, "alice", 2, provider="exa")
    rig.clock.at = micros("2026-06-10T00:00:00Z")
    await use(rig, "alice", 1, model_used="new")
    before = await listed(rig)
    assert [row["calls"] for row in before["rows"]] == [3, 1]
    assert await archive_all(rig) == 5
    assert (await listed(rig))["rows"] == before["rows"]
    for file in (tmp_path / "data" / "archive").iterdir():
        file.unlink()
    after = await listed(rig)
    assert ([row["model"] for row in after["rows"]], after["unread"]) == (["new"], 5)
    await rig.stop()
    await journal.close()


async def test_many_models_and_users_are_summed_up_in_turns(tmp_path: Path, start: Start) -> None:
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    rig = await start(journal)
    await use(rig, model_used="m0")
    await rig.idle()
    (row,) = [row for row in await journal.rows(0, 9) if row.kind == "usage"]
    rows = [
        row._replace(
            seq=row.seq + n,
            user=f"u{n % 700}",
            key=None,
            body=row.body.replace('"m0"', f'"m{n % 1_500}"'),
        )
        for n in range(1, 4_001)
    ]
    await journal.append(rows)
    rig = await rig.restart()
    assert (await listed(rig, since="2026-03-15T12:00:02Z"))["rows"] == []
    with turns_of_the_loop() as turns:
        to = turns.measure(lambda: rig.deliver(f"{PREFIX}.catalog.prices.unpriced", b'{"limit":9}'))
        body = (await rig.answer(to)).body
    assert [row["calls"] for row in body["rows"]] == [3] * 9
    assert Decimal(str(body["rows"][0]["cost"])) == Decimal("0.0045")
    assert turns.total > 10 * TURN
    assert turns.longest < TURN
    await rig.stop()
    await journal.close()
