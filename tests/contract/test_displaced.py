"""The log is removed or replaced while it is written: nothing more is acknowledged."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import DiskFailed, FilesGone
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

DATABASE = "meterd.db"


def remove(directory: Path) -> None:
    (directory / DATABASE).unlink()


def replace(directory: Path) -> None:
    shutil.copy(directory / DATABASE, directory / "copy")
    (directory / "copy").rename(directory / DATABASE)


def move(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


def put_a_file_in_its_place(directory: Path) -> None:
    move(directory)
    directory.touch()


DISPLACED = [remove, replace, move, put_a_file_in_its_place, shutil.rmtree]


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as db:
        (found,) = db.execute("SELECT count(*) FROM log").fetchone()
    return int(found)


@pytest.mark.parametrize("displace", DISPLACED)
async def test_once_the_log_is_elsewhere_no_write_is_stored_and_the_error_names_the_file(
    sqlite_journal: SQLiteJournal, directory: Path, displace: Callable[[Path], None]
) -> None:
    await sqlite_journal.append([make_row(1)])
    assert await sqlite_journal.look() == ""
    displace(directory)
    for _ in range(2):
        with pytest.raises(FilesGone, match=rf"{directory / DATABASE} was removed or replaced"):
            await sqlite_journal.append([make_row(2)])
    assert await sqlite_journal.last_seq() == 1
    assert "\n" not in await sqlite_journal.look()
    await asyncio.wait_for(sqlite_journal.displaced(), 30)


@pytest.mark.parametrize("rows", [1, 2_000])
async def test_a_write_during_which_the_log_is_removed_is_not_acknowledged(
    directory: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    journal = await SQLiteJournal.open(directory, FORM, ticks=lambda: 0)
    block = [make_row(seq) for seq in range(1, rows + 1)]
    write = journal._append

    def and_remove(*args: Any) -> Any:
        found = write(*args)
        shutil.rmtree(directory)
        return found

    monkeypatch.setattr(journal, "_append", and_remove)
    with pytest.raises(DiskFailed, match="was removed or replaced"):
        await journal.append(block)
    await journal.close()


async def test_the_rows_of_a_removed_wal_are_copied_into_the_database(
    sqlite_journal: SQLiteJournal, directory: Path, tmp_path: Path
) -> None:
    await sqlite_journal.append([make_row(1), make_row(2)])
    (directory / "meterd.db-wal").unlink()
    with pytest.raises(FilesGone, match=r"meterd.db-wal was .* is in meterd.db now, start again"):
        await sqlite_journal.append([make_row(3)])
    shutil.copy(directory / DATABASE, tmp_path / "copy.db")
    assert count(tmp_path / "copy.db") == 2


@pytest.mark.parametrize("displaced", ["moved", "replaced"])
async def test_a_database_that_is_elsewhere_has_what_its_wal_held_and_leaves_none_to_another(
    sqlite_journal: SQLiteJournal, directory: Path, tmp_path: Path, displaced: str
) -> None:
    await sqlite_journal.append([make_row(1)])
    shutil.copy(directory / DATABASE, tmp_path / "older")
    (directory / DATABASE).rename(tmp_path / "away")
    if displaced == "replaced":
        (tmp_path / "older").rename(directory / DATABASE)
    with pytest.raises(FilesGone, match=r"meterd.db was removed or replaced .*: put it back, or"):
        await sqlite_journal.append([make_row(2)])
    assert (directory / "meterd.db-wal").stat().st_size == 0
    assert count(tmp_path / "away") == 1


async def test_a_wal_that_is_removed_under_a_reader_is_said_to_be_lost(
    sqlite_journal: SQLiteJournal, directory: Path, outside: sqlite3.Connection
) -> None:
    await sqlite_journal._writer.call(lambda db: db.execute("PRAGMA busy_timeout = 1").fetchall())
    await sqlite_journal.append([make_row(1)])
    outside.execute("BEGIN")
    outside.execute("SELECT count(*) FROM log").fetchone()
    await sqlite_journal.append([make_row(2)])
    (directory / "meterd.db-wal").unlink()
    assert "could not be copied, since another program" in await sqlite_journal.look()
    outside.execute("ROLLBACK")
