"""What follows from what is said of rows: which are found by kind, and the views."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import structlog.testing

from messages.codec import encode_event
from messages.stored.events import (
    UsageRecorded,
)
from messages.stored.form import FORM, STORAGE, Form, Storage
from persistence.records import Row
from persistence.sqlite import derived
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

ALL = 1_000_000
LUMP = 20
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


@pytest.fixture
async def filled(directory: Path) -> list[Row]:
    """A log with rows, of which some are in runs of the index."""
    rows = rows_from(1, *STORAGE)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await journal.append(rows)
    await journal._index.filled.wait()
    await journal.close()
    return rows


@pytest.mark.parametrize("how", Storage)
@pytest.mark.parametrize("kind", NEW_KINDS)
async def test_a_new_kind_is_kept_as_its_owner_says_wherever_it_sorts(
    filled: list[Row], directory: Path, kind: str, how: Storage
) -> None:
    form = said(kind, how)
    journal = await SQLiteJournal.open(directory, form)
    more = rows_from(len(filled) + 1, kind, "unheard of")
    await journal.append(more)
    rows = [*filled, *more]
    await check(journal, rows)
    assert await moved(journal) == sum(row.kind in form.common() for row in rows)
    await check(journal, rows)
    await journal.close()


async def test_a_kind_with_rows_that_is_rare_from_now_on_is_found_as_before(
    filled: list[Row], directory: Path
) -> None:
    anew = []
    for how in (Storage.RARE, Storage.COMMON, Storage.RARE):
        with structlog.testing.capture_logs() as lines:
            journal = await SQLiteJournal.open(directory, said("hold", how), lump_rows=LUMP)
            filled += rows_from(len(filled) + 1, *STORAGE)
            await journal.append(filled[-len(STORAGE) * 2 - 2 :])
            await check(journal, filled)
            await journal._index.filled.wait()
            await check(journal, filled)
            await journal.close()
        anew.append([line["event"] for line in lines])
    # What is in runs as rare may be common: it is there, and nobody asks for it.
    assert anew == [["index_made_anew"], [], ["index_made_anew"]]


async def test_a_schema_that_says_what_the_code_says_is_left_alone(
    filled: list[Row], directory: Path
) -> None:
    found = []
    for _ in range(2):
        await (await SQLiteJournal.open(directory, FORM)).close()
        with looked_at(directory) as db:
            found += db.execute("PRAGMA schema_version").fetchall()
    assert found[0] == found[1]


async def test_the_log_has_no_index_of_its_own_whose_damage_nobody_would_see(
    filled: list[Row], directory: Path
) -> None:
    with looked_at(directory) as db:
        query = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'log'"
        assert db.execute(query).fetchall() == []


async def test_a_view_that_says_something_else_is_replaced(directory: Path) -> None:
    await (await SQLiteJournal.open(directory, FORM)).close()
    with looked_at(directory) as db:
        made = db.execute("SELECT sql FROM sqlite_master WHERE type = 'view'").fetchall()
        db.executescript("DROP VIEW usage; CREATE VIEW usage AS SELECT 1 AS one FROM log")
    await (await SQLiteJournal.open(directory, FORM)).close()
    with looked_at(directory) as db:
        assert db.execute("SELECT sql FROM sqlite_master WHERE type = 'view'").fetchall() == made
    assert made == [(derived.view_text(FORM.views[0]),)]
