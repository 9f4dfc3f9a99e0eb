"""A log whose calls are stored under the full names of their fields, as they were before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actors.audit.verify import Verifier
from messages.stored.form import FORM
from messages.stored.older import LONG_USAGE
from persistence.memory import MemoryJournal
from persistence.records import Row
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.older import as_stored_before
from tests.support.rig import Rig, Start

ALL = 1_000_000
DAY = 86_400_000_000
CALLS: list[dict[str, Any]] = [
    {"provider": "tavily", "event_id": f"t{n}", "metadata": {"n": str(n)}} for n in range(12)
] + [
    {"provider": "gemini", "event_id": "g", "tokens_input": 7, "tokens_output": 5},
    {"provider": "exa", "event_id": "billed", "cost": 0.5, "status_code": 500, "method": "PUT"},
    {"provider": "exa", "event_id": "asked", "search_count": 0, "response_time": 0.25},
    {"provider": "gemini", "event_id": "settles", "hold_id": "h", "model_used": "unheard-of"},
    {"provider": "gemini", "event_id": "late", "timestamp": "2026-02-20T00:00:00Z"},
]
READS: list[tuple[str, dict[str, Any]]] = [
    ("stats", {}),
    ("stats", {"billing_period": "2026-02"}),
    ("trends", {}),
    ("alerts", {"unread_only": False}),
    ("logs", {}),
    ("logs", {"provider": "tavily", "limit": 5}),
    ("logs", {"provider": "exa", "status_code": 500}),
    ("logs", {"billing_period": "2026-02"}),
    ("logs", {"event_id": "g"}),
]


async def used(rig: Rig) -> list[Row]:
    """Rows of all kinds of calls: with an alert, billed, settling a hold, late, without a price."""
    await rig.ask("hold", provider="gemini", event_id="h", tokens_requested=20, ttl=60)
    for call in CALLS:
        assert (await rig.ask("track", **call)).code == ""
    await rig.idle()
    return await rig.inner.rows(0, ALL)


async def grown_from(start: Start, rows: list[Row], at: int) -> Rig:
    journal = MemoryJournal(FORM)
    await journal.append(rows)
    return await start(journal, at=at)


@pytest.fixture
async def rows(rig: Rig) -> list[Row]:
    return await used(rig)


async def test_a_log_of_full_names_gives_every_answer_that_one_of_short_names_gives(
    start: Start, rig: Rig, rows: list[Row]
) -> None:
    older = await grown_from(start, as_stored_before(rows), rig.clock.at)
    assert sum(row.body.startswith(LONG_USAGE) for row in older.inner._rows) == len(CALLS)
    for verb, ask in READS:
        assert (await older.ask(verb, **ask)).body == (await rig.ask(verb, **ask)).body, (verb, ask)
    for call in CALLS:
        again = (await older.ask("track", **call)).body
        assert again == (await rig.ask("track", **call)).body
        assert again["duplicate"]
    # Behind the newest thousand the log says what became of a hold.
    for one in (rig, older):
        one.live("alice").account.ended.clear()
        settled = await one.ask("track", provider="gemini", hold_id="h", event_id="twice")
        assert (settled.body["hold_status"], settled.body["late_settle"]) == ("settled", True)


async def test_new_rows_behind_older_ones_have_short_names_and_count_on(
    start: Start, rig: Rig, rows: list[Row]
) -> None:
    before = (await rig.ask("stats")).body["total_calls"]
    older = await grown_from(start, as_stored_before(rows), rig.clock.at)
    await older.ask("track", provider="tavily", event_id="new")
    assert older.inner._rows[-1].body.startswith('{"p":"tavily"')
    assert (await older.ask("stats")).body["total_calls"] == before + 1
    page = (await older.ask("logs", provider="tavily", limit=3)).body["logs"]
    assert [entry["event_id"] for entry in page] == ["new", "t11", "t10"]


def findings(directory: Path) -> set[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    with Inspection.open(directory) as log:
        Verifier(log, lambda it: found.add(it[:3]), lambda _: None, None).run()
    return found


async def test_older_rows_are_verified_as_they_were_written(
    start: Start, rig: Rig, rows: list[Row], tmp_path: Path
) -> None:
    older = await grown_from(start, as_stored_before(rows), rig.clock.at)
    older.clock.at += 30 * DAY
    await older.ask("track", provider="tavily")
    await older.idle()
    journal = await SQLiteJournal.open(tmp_path, FORM)
    await journal.append(as_stored_before(rows))
    await journal.append(await older.inner.rows(rows[-1].seq, ALL))
    await journal.close()
    assert findings(tmp_path) == set()
    with closing(sqlite3.connect(tmp_path / "meterd.db")) as db:
        db.execute("DROP TRIGGER log_is_never_changed")
        billed = "event_id = 'billed'"
        db.execute(f"UPDATE log SET body = json_set(body, '$.cost_nano', 1) WHERE {billed}")
        db.commit()
    named = findings(tmp_path)
    (seq,) = (row.seq for row in rows if row.key == "billed")
    assert ("", "", f"row {seq}") in named
    assert ("alice", "2026-03", "providers") in named
