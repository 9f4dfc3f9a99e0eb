"""Logs and backups of earlier schemas are mended too: what the chain of their time proves."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite import schema
from persistence.sqlite.checked import COLUMNS, FIELDS
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending.sources import CHAIN_OF_ROWS
from tests.golden.released import DATABASES
from tests.support.data import edit
from tests.support.mending import (
    DATABASE,
    broken,
    losses,
    mended,
    missing,
    stored,
)
from tests.support.rows import make_row

RELEASED = sorted(int(path.stem) for path in DATABASES.glob("*.json"))


@pytest.fixture
def backup(number: int, tmp_path: Path) -> Path:
    """A database as a version with that schema left it."""
    path = tmp_path / "backup.db"
    told: dict[str, Any] = json.loads((DATABASES / f"{number}.json").read_text("utf-8"))
    with closing(sqlite3.connect(path)) as db:
        db.executescript("".join(told["database"]))
    return path


@pytest.fixture
def data(backup: Path, tmp_path: Path) -> Path:
    """The same log, which a version of today has opened and written."""
    directory = tmp_path / "data"
    directory.mkdir()
    shutil.copy(backup, directory / DATABASE)
    asyncio.run(write(directory))
    return directory


async def write(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    last = await journal.last_seq()
    await journal.append([make_row(last + n, f"new-{n % 3}") for n in range(1, 9)])
    await journal.close()


@pytest.mark.parametrize("number", RELEASED)
@pytest.mark.parametrize("change", ["body = '{}'", "at = at + 1", "user_id = 'x'"])
def test_rows_of_an_older_backup_take_the_place_of_those_that_are_damaged(
    number: int, data: Path, backup: Path, change: str
) -> None:
    rows = stored(data)
    assert broken(data) == []
    edit(data, f"UPDATE log SET {change} WHERE seq IN (2, 40)")
    assert broken(data) != []
    report = mended(data, backup)
    assert (report.outcome, report.missing, report.loose) == ("mended", [], [])
    assert report.taken[str(backup)] >= 2
    assert stored(data) == rows
    assert broken(data) == []


@pytest.mark.parametrize("number", RELEASED)
def test_an_older_log_is_mended_before_it_is_migrated(
    number: int, backup: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(backup, old / DATABASE)
    edit(old, "DELETE FROM log WHERE seq BETWEEN 30 AND 33")
    report = mended(old, backup)
    assert (report.outcome, report.missing, report.loose) == ("mended", [], [])
    with closing(sqlite3.connect(backup)) as db:
        columns = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('log')")}
        there = ", ".join(name if name in columns else "NULL" for name in FIELDS.split(", "))
        assert stored(old) == db.execute(f"SELECT {there} FROM log ORDER BY seq").fetchall()
        query = "SELECT seq FROM position WHERE name = 'published'"
        published = db.execute(query).fetchone()
        assert published[0] > 0
    with closing(sqlite3.connect(old / DATABASE)) as db:
        assert db.execute(query).fetchone() == published
    assert report.damaged == []
    asyncio.run(write(old))
    assert broken(old) == []


def test_of_two_rows_that_no_link_covers_nobody_can_tell_which_is_right(tmp_path: Path) -> None:
    """Of the first schema, which had no chain."""
    for name, body in (("old", "{}"), ("copy", '{"n":2}')):
        (tmp_path / name).mkdir()
        with closing(sqlite3.connect(tmp_path / name / DATABASE, isolation_level=None)) as db:
            _, script = schema.migrations()[0]
            db.executescript(f"{script}; PRAGMA user_version = 1;")
            db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            rows = [make_row(1, "a"), make_row(2, "b", body=body)]
            db.executemany(f"INSERT INTO log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    before = (tmp_path / "old" / DATABASE).read_bytes()
    with pytest.raises(Refused, match="have different rows 2, and nothing says which is right"):
        mended(tmp_path / "old", tmp_path / "copy" / DATABASE)
    assert (tmp_path / "old" / DATABASE).read_bytes() == before


@pytest.mark.parametrize("number", RELEASED)
def test_the_first_row_behind_what_is_older_than_checksums_is_checked_as_ever(
    number: int, data: Path, backup: Path
) -> None:
    with closing(sqlite3.connect(data / DATABASE)) as db:
        (unchecked,) = db.execute("SELECT seq FROM position WHERE name = 'unchecked'").fetchone()
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 2")
    mended(data, backup)
    with closing(sqlite3.connect(data / DATABASE)) as db:
        query = "SELECT seq FROM position WHERE name = 'unchecked'"
        assert db.execute(query).fetchone() == (unchecked,)


@pytest.mark.parametrize("number", [one for one in RELEASED if one >= CHAIN_OF_ROWS])
def test_behind_an_accepted_loss_rows_without_checksums_are_proven_at_the_next_mend_too(
    number: int, data: Path, backup: Path
) -> None:
    edit(data, "DELETE FROM log WHERE seq = 20; VACUUM;")
    lost = missing(mended(data, accept_loss=True))
    before, entries = stored(data), losses(data).all
    assert 20 in lost
    assert broken(data) == []
    for backups in ([], [backup]):
        assert (mended(data, *backups).outcome, stored(data)) == ("whole", before)
        edit(data, "UPDATE log SET body = '{\"x\":1}' WHERE seq = (SELECT max(seq) FROM log)")
        report = mended(data, *backups, accept_loss=True)
        assert (report.outcome, missing(report)) == ("mended", [before[-1][0]])
        before = before[:-1]
        assert stored(data) == before
        assert losses(data).all[: len(entries)] == entries
        assert broken(data) == []
