"""What the schema has of the code: the index of rare rows and the views follow what is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from messages.codec import encode_event
from messages.stored.events import UsageRecorded
from messages.stored.form import FORM, STORAGE, Form, Storage
from persistence.records import Row
from persistence.sqlite import derived, schema
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

ALL = 1_000_000
NEW_KINDS = ["a", "hold_expired", "hold_settled", "holdings", "it's", "reset", "usage2", "zebra"]
"""One that sorts before all others, behind all, and at each edge between them."""
BODY = encode_event(UsageRecorded("openai", "openai", "m", "2026-01"))


def said(kind: str, how: Storage) -> Form:
    """The form with one more kind, or with another word on one."""
    storage = {name: was for name, was in STORAGE.items() if name != kind}
    return FORM._replace(storage={**storage, kind: how})


def rows_from(first: int, *kinds: str) -> list[Row]:
    return [
        make_row(seq, f"user-{seq % 2}", kind=kind, body=BODY)
        for seq, kind in enumerate([*kinds, "usage", "period_rolled", *kinds], first)
    ]


@contextmanager
def looked_at(directory: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        yield db


def indexed(directory: Path, form: Form) -> list[int]:
    """The positions that are in the index, by the index alone."""
    condition = derived.rare(form.common())
    with looked_at(directory) as db:
        query = f"SELECT seq FROM log INDEXED BY log_kind WHERE {condition}"
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return sorted(seq for (seq,) in db.execute(query))


async def check(journal: SQLiteJournal, rows: list[Row]) -> None:
    """Every kind of every user is found, whether it has an index or not."""
    for user, kind in {(row.user, row.kind) for row in rows}:
        wanted = [row for row in rows if (row.user, row.kind) == (user, kind)][::-1]
        assert await journal.newest(user, ALL, ALL, kind) == wanted


async def moved(journal: SQLiteJournal) -> int:
    """How many bodies an archive of everything takes."""
    count = 0
    while due := await journal.archivable(2**62, ALL, 1):
        count += await journal.archive(due.last)
    return count


@pytest.fixture(params=["of today", "of schema 7"])
async def filled(request: pytest.FixtureRequest, directory: Path) -> list[Row]:
    """A log with rows, and an index as it was left."""
    rows = rows_from(1, *STORAGE)
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append(rows)
    await journal.close()
    if request.param == "of schema 7":
        scripts = [script for _, script in schema.migrations()]
        view = scripts[6][scripts[6].index("CREATE VIEW usage") :]
        index = scripts[2][scripts[2].index("CREATE INDEX log_kind") :]
        with looked_at(directory) as db:
            db.executescript(f"DROP VIEW usage; {view}; DROP INDEX log_kind; {index};")
            db.execute("DROP TABLE losses")
            db.execute("ALTER TABLE position DROP COLUMN checksum")
            db.execute("DELETE FROM position WHERE name = 'unchecked'")
            db.execute("PRAGMA user_version = 7")
    return rows


@pytest.mark.parametrize("how", Storage)
@pytest.mark.parametrize("kind", NEW_KINDS)
async def test_a_new_kind_is_kept_as_its_owner_says_wherever_it_sorts(
    filled: list[Row], directory: Path, kind: str, how: Storage
) -> None:
    form = said(kind, how)
    rare = {name for name, was in form.storage.items() if was is Storage.RARE}
    journal = await SQLiteJournal.open(directory, form)
    more = rows_from(len(filled) + 1, kind, "unheard of")
    await journal.append(more)
    rows = [*filled, *more]
    await check(journal, rows)
    assert await moved(journal) == sum(row.kind in form.common() for row in rows)
    await check(journal, rows)
    await journal.close()

    wanted = [row.seq for row in rows if row.kind in {*rare, "unheard of"}]
    assert indexed(directory, form) == wanted


@pytest.mark.parametrize(
    ("kind", "how"), [("hold", Storage.RARE), ("period_rolled", Storage.COMMON)]
)
async def test_a_kind_with_rows_that_is_kept_in_another_way_from_now_on_is_found_as_before(
    filled: list[Row], directory: Path, kind: str, how: Storage
) -> None:
    for form in (said(kind, how), FORM):
        with structlog.testing.capture_logs() as lines:
            journal = await SQLiteJournal.open(directory, form)
        assert [line["event"] for line in lines] == ["journal_index_made_anew"]
        await check(journal, filled)
        await journal.close()
        assert indexed(directory, form) == [
            row.seq for row in filled if form.storage[row.kind] is Storage.RARE
        ]


async def test_an_index_that_has_the_right_rows_is_not_made_anew(
    filled: list[Row], directory: Path
) -> None:
    with structlog.testing.capture_logs() as lines:
        journal = await SQLiteJournal.open(directory, said("hold_settled", Storage.COMMON))
    await journal.close()
    assert lines == []


class Defensive(sqlite3.Connection):
    """As a build of SQLite that lets nobody write the schema by hand."""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        forbidden = sql == "PRAGMA writable_schema = ON"
        return super().execute("SELECT 1" if forbidden else sql, *args)


async def test_if_sqlite_does_not_let_the_condition_be_restated_the_index_is_made_anew(
    filled: list[Row], directory: Path
) -> None:
    form = said("hold_settled", Storage.COMMON)
    path = directory / "meterd.db"
    with (
        structlog.testing.capture_logs() as lines,
        closing(sqlite3.connect(path, isolation_level=None, factory=Defensive)) as db,
    ):
        derived.derive(db, form)
    assert [line["event"] for line in lines] == [
        "journal_index_not_restated",
        "journal_index_made_anew",
    ]
    assert "may not be modified" in lines[0]["error"]
    journal = await SQLiteJournal.open(directory, form)
    await check(journal, filled)
    await journal.close()
    assert len(indexed(directory, form)) == sum(STORAGE[row.kind] is Storage.RARE for row in filled)


async def test_a_schema_that_says_what_the_code_says_is_left_alone(
    filled: list[Row], directory: Path
) -> None:
    found = []
    for _ in range(2):
        await (await SQLiteJournal.open(directory, FORM)).close()
        with looked_at(directory) as db:
            found += db.execute("PRAGMA schema_version").fetchall()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX log_kind; DROP VIEW usage;",
        "DROP INDEX log_kind; CREATE INDEX log_kind ON log (user_id, kind);",
    ],
)
async def test_a_dropped_or_changed_index_is_made_anew_and_no_row_is_missed(
    filled: list[Row], directory: Path, change: str
) -> None:
    with looked_at(directory) as db:
        db.executescript(change)
    journal = await SQLiteJournal.open(directory, FORM)
    await check(journal, filled)
    await journal.close()
    assert indexed(directory, FORM) == [
        row.seq for row in filled if STORAGE[row.kind] is Storage.RARE
    ]
    with looked_at(directory) as db:
        usages = sum(row.kind == "usage" for row in filled)
        assert db.execute("SELECT count(*) FROM usage").fetchall() == [(usages,)]


async def test_a_view_that_says_something_else_is_replaced(directory: Path) -> None:
    await (await SQLiteJournal.open(directory, FORM)).close()
    with looked_at(directory) as db:
        made = db.execute("SELECT sql FROM sqlite_master WHERE type = 'view'").fetchall()
        db.executescript("DROP VIEW usage; CREATE VIEW usage AS SELECT 1 AS one FROM log")
    await (await SQLiteJournal.open(directory, FORM)).close()
    with looked_at(directory) as db:
        assert db.execute("SELECT sql FROM sqlite_master WHERE type = 'view'").fetchall() == made
    assert made == [(derived.view_text(FORM.views[0]),)]
