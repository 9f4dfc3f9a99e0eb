"""The SQLite database: whose it is, what it refuses, how it is read, the view for people."""

# ruff: noqa: ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from messages.codec import encode_event
from messages.dimensions import COUNT_FIELDS
from messages.stored.detail import UsageDetail
from messages.stored.events import (
    Alert,
    Personal,
    UsageRecorded,
)
from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite import schema
from persistence.sqlite.journal import SQLiteJournal
from tests.support.older import long_form
from tests.support.rows import make_row, make_snapshot

ALL = 1_000_000


async def refusal(directory: Path) -> str:
    with pytest.raises(Refused) as refused:
        await SQLiteJournal.open(directory, FORM)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "script",
    ["CREATE TABLE theirs (a)", "PRAGMA application_id = 77", "PRAGMA user_version = 1"],
)
async def test_a_foreign_database_is_refused_and_left_as_it_was(
    directory: Path, script: str
) -> None:
    directory.mkdir()
    path = directory / "meterd.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
    before = path.read_bytes()

    assert "another program's database" in await refusal(directory)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(directory: Path) -> None:
    directory.mkdir()
    (directory / "meterd.db").write_text("once upon a time " * 100)

    assert "not a database" in await refusal(directory)


async def test_a_database_of_a_newer_version_is_refused(directory: Path) -> None:
    await (await SQLiteJournal.open(directory, FORM)).close()
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.execute("PRAGMA user_version = 999")

    assert "written by a newer meterd" in await refusal(directory)


async def test_a_database_says_whose_it_is(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    assert outside.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    assert outside.execute("PRAGMA user_version").fetchone() == (len(schema.migrations()),)


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [number for number, _ in schema.migrations()]

    assert numbers == list(range(1, len(numbers) + 1))


async def test_snapshots_of_an_older_schema_are_there_after_its_migration(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    taken = [make_snapshot(f"user-{n}", 1, bytes(range(256)) * n) for n in range(40)]
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        for _, script in schema.migrations()[:3]:
            db.executescript(script)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 3")
        db.execute("INSERT INTO log VALUES (1, 0, 'a', 'k', 'usage', 7, 0, '{}', NULL, NULL)")
        db.executemany("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", taken)
    journal = await SQLiteJournal.open(directory, FORM)
    newer = taken[7]._replace(body=b"newer")
    await journal.append([], [newer])
    found = await journal.load([snapshot.user for snapshot in taken], ALL)
    assert [loaded.snapshot for loaded in found.values()] == [*taken[:7], newer, *taken[8:]]
    await journal.close()


def test_a_snapshot_takes_little_more_room_than_its_bytes() -> None:
    size = 1_100
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db, 0)
        (before,) = db.execute("PRAGMA page_count").fetchone()
        rows = [make_snapshot(f"user-{n}", 1, bytes(size)) for n in range(3_000)]
        columns = "partition, user_id, seq, schema, body"
        db.executemany(f"INSERT INTO snapshots ({columns}) VALUES (?, ?, ?, ?, ?)", rows)
        (after,) = db.execute("PRAGMA page_count").fetchone()
        (page,) = db.execute("PRAGMA page_size").fetchone()
    assert (after - before) * page / len(rows) < 1.5 * size


def test_a_failed_migration_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = "CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"
    monkeypatch.setattr(schema, "migrations", lambda: [(1, good), (2, bad)])
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        with pytest.raises(sqlite3.Error):
            schema.migrate(db, 0)

        assert schema.check(db, Path("x")) == 1
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
        assert not db.in_transaction


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log",
        "UPDATE log SET body = '{}' WHERE seq = 1",
        "UPDATE log SET seq = 5 WHERE seq = 1",
        "UPDATE log SET event_id = NULL",
        "UPDATE log SET event_id = 'k', personal = NULL WHERE event_id IS NULL",
        "UPDATE log SET personal = '{}'",  # of a row that has none
        "UPDATE log SET personal = NULL WHERE seq = 1",
        "UPDATE log SET personal = '{\"c\":3}' WHERE seq = 1",
        "UPDATE log SET personal = '{}', proof = NULL WHERE seq = 1",
        "UPDATE log SET personal = '{}', body = '{}' WHERE seq = 1",
        "UPDATE log SET chain = zeroblob(16) WHERE seq = 1",
        "UPDATE log SET proof = zeroblob(16) WHERE seq = 1",
    ],
)
async def test_the_log_is_append_only(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, statement: str
) -> None:
    rows = [make_row(1, key="k", body='{"a":1}', personal='{"b":2}'), make_row(2)]
    await sqlite_journal.append(rows)

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        outside.execute(statement)

    assert await sqlite_journal.rows(0, ALL) == rows


ALERT = Alert(
    id="a1",
    type="usage_warning",
    threshold_percentage=80,
    severity="info",
    limit_name="openai_calls",
    unit="calls",
    provider="openai",
    title="t",
    message="m",
    used=80,
    limit=100,
    billing_period="2023-11",
)
LEAST = UsageRecorded(
    provider="openai",
    actual="openai",
    model="gpt-4o-mini",
    billing_period="2023-11",
    status="active",
    priced="catalog",
)
COUNTS: dict[str, Any] = {field: place for place, field in enumerate(COUNT_FIELDS, 5)}
COUNTS |= {"tokens_input": 11, "tokens_output": 31}
FULL = UsageRecorded(
    provider="mistral",
    actual="huggingface",
    model="m",
    billing_period="2023-11.2",
    status="warning",
    priced="caller",
    price_version=3,
    cost_nano=1_250_000_001,
    cost_input_nano=1,
    cost_output_nano=2_000_000_000,
    cost_catalog_nano=7_000_000_000,
    **COUNTS,
    endpoint="/v1",
    method="GET",
    response_time=0.25,
    status_code=500,
    request_size=12,
    response_size=13,
    retry_count=2,
    timestamp=1_600_000_000_000_042,
    late=True,
    adjusted=(1, 2, 3),
    hold_id="h",
    hold_status="settled",
    alerts=(ALERT,),
)
SHOWN = [name for name in FULL.__struct_fields__ if name not in {"clipped", "detail"}]
DETAILS = ("units_nano", *(name for name in UsageDetail.__struct_fields__ if name != "outcome"))
DETAIL = UsageDetail(
    outcome="unknown",
    key="k-1",
    tags={"team": "a"},
    token_parts={"input_audio": 3},
    token_counting="exclusive",
    price_variant="batch",
    price_factors=("us",),
    price_model="m",
    matched_by="undated",
    variant_priced=False,
    tier=200_000,
    units={"seconds": 1_500_000_000, "web_searches": 2 * 10**9},
    unpriced=("seconds",),
    alias="our own",
    filled=("model",),
    text=True,
)
PERSONAL = Personal(user_agent="curl", ip_address="::1", error_message="oh", metadata={"team": "a"})


@pytest.mark.parametrize("stored", [encode_event, long_form])
async def test_the_view_shows_every_field_of_a_usage_event_in_each_form_that_was_ever_stored(
    sqlite_journal: SQLiteJournal,
    outside: sqlite3.Connection,
    stored: Callable[[UsageRecorded], str],
) -> None:
    whole = FULL if stored is long_form else replace(FULL, detail=DETAIL)
    full = make_row(2, "bob", key="k", body=stored(whole), personal=encode_event(PERSONAL))
    least = make_row(1, body=stored(LEAST))
    await sqlite_journal.append([least, full, make_row(3, kind="reset", body="{}")])

    outside.row_factory = sqlite3.Row
    least_shown, full_shown = map(dict, outside.execute("SELECT * FROM usage ORDER BY seq"))

    expected = {name: getattr(FULL, name) for name in SHOWN}
    expected |= {name: getattr(PERSONAL, name) for name in PERSONAL.__struct_fields__}
    expected |= {
        "seq": 2,
        "user_id": "bob",
        "event_id": "k",
        "logged_at": "2023-11-14T22:13:22.000000Z",
        "timestamp": "2020-09-13T12:26:40.000042Z",
        "tokens_used": 42,
        "cost": 1.250000001,
        "cost_input": 1e-9,
        "cost_output": 2.0,
        "cost_catalog": 7.0,
    }
    full_shown["metadata"] = json.loads(full_shown["metadata"])
    (alert,) = json.loads(full_shown.pop("alerts"))
    assert expected.pop("alerts") == (Alert(**alert),)
    assert expected.pop("adjusted") == tuple(json.loads(full_shown.pop("adjusted")))
    expected |= {"outcome": "failed", **dict.fromkeys(DETAILS)}
    if whole.detail is not None:
        expected |= asdict(whole.detail)
        expected |= {
            "units": {"seconds": 1.5, "web_searches": 2.0},
            "units_nano": whole.detail.units,
            "unpriced": [*whole.detail.unpriced],
            "price_factors": ["us"],
            "filled": ["model"],
        }
        for name in (
            "tags",
            "units",
            "units_nano",
            "unpriced",
            "token_parts",
            "price_factors",
            "filled",
        ):
            full_shown[name] = json.loads(full_shown[name])
    assert full_shown == expected

    expected = {name: getattr(LEAST, name) for name in SHOWN}
    expected |= {"outcome": "ok", **dict.fromkeys((*PERSONAL.__struct_fields__, *DETAILS))}
    expected |= {
        "seq": 1,
        "user_id": "alice",
        "event_id": None,
        "logged_at": "2023-11-14T22:13:21.000000Z",
        "timestamp": "2023-11-14T22:13:21.000000Z",
        "tokens_used": 0,
        "cost": 0.0,
        "cost_input": 0.0,
        "cost_output": 0.0,
        "cost_catalog": None,
        "alerts": "[]",
    }
    assert least_shown == expected


@pytest.mark.parametrize("stored", [encode_event, long_form])
async def test_the_view_shows_the_version_of_a_price_whether_it_is_stored_or_left_out(
    sqlite_journal: SQLiteJournal,
    outside: sqlite3.Connection,
    stored: Callable[[UsageRecorded], str],
) -> None:
    events = [replace(LEAST, price_version=version) for version in (0, 1, 2)]
    rows = [make_row(seq, body=stored(event)) for seq, event in enumerate(events, 1)]
    await sqlite_journal.append(rows)
    shown = outside.execute("SELECT price_version FROM usage ORDER BY seq").fetchall()
    assert shown == [(0,), (1,), (2,)]
