"""One process holds a data directory, whatever is done to the files that say so."""

# ruff: noqa: ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import FilesGone, Refused
from persistence.sqlite.data_dir import Claim, is_held
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row
from tests.support.service import ROOT

TAKE = """
import sys
from pathlib import Path
from persistence.errors import Refused
from persistence.sqlite.data_dir import Claim, is_held

directory = Path(sys.argv[1])
print(is_held(directory))
try:
    Claim.take(directory)
except Refused as refused:
    print(refused)
"""
READ = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT count(*) FROM log").fetchone()[0])
db.close()
"""


def in_another_process(code: str, path: Path) -> list[str]:
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


async def test_a_directory_is_held_though_its_lock_file_was_removed(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    refusal = f"the data directory {directory} is held by another process"
    (directory / "meterd.lock").unlink()
    assert in_another_process(TAKE, directory) == ["True", refusal]
    # Who was refused has made the lock file anew, and has left no word of itself in it.
    assert in_another_process(TAKE, directory) == ["True", refusal]
    await sqlite_journal.close()
    assert in_another_process(TAKE, directory) == ["False"]


async def test_two_directories_that_lead_to_one_database_are_not_held_at_once(
    sqlite_journal: SQLiteJournal, directory: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "meterd.db").symlink_to(directory / "meterd.db")
    assert in_another_process(TAKE, other)[0] == "True"
    await sqlite_journal.append([make_row(1)])


async def test_a_database_may_be_a_link_to_one_elsewhere(directory: Path, tmp_path: Path) -> None:
    """SQLite has the WAL beside the file that the link leads to, and there it is watched."""
    elsewhere = tmp_path / "elsewhere.db"
    directory.mkdir()
    (directory / "meterd.db").symlink_to(elsewhere)
    elsewhere.touch()
    for seq in (1, 2):
        journal = await SQLiteJournal.open(directory, FORM)
        await journal.append([make_row(seq)])
        await journal.close()
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([make_row(3)])
    (tmp_path / "elsewhere.db-wal").unlink()
    with pytest.raises(FilesGone, match=r"elsewhere.db-wal was .* is in meterd.db now"):
        await journal.append([make_row(4)])
    assert await journal.last_seq() == 3
    await journal.close()


async def test_another_program_that_looks_and_leaves_takes_no_wal_along(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    """It would if the locks of SQLite's were gone: it would be the last that has the log open."""
    await sqlite_journal.append([make_row(1)])
    with pytest.raises(Refused):
        Claim.take(directory)
    assert is_held(directory)
    before = (directory / "meterd.db-wal").stat()
    assert before.st_size
    assert in_another_process(READ, directory / "meterd.db") == ["1"]
    assert (directory / "meterd.db-wal").stat().st_ino == before.st_ino
    await sqlite_journal.append([make_row(2)])
    assert in_another_process(READ, directory / "meterd.db") == ["2"]


@pytest.mark.parametrize("name", ["meterd.lock", "meterd.db"])
async def test_a_lock_of_another_program_is_said_in_a_sentence(directory: Path, name: str) -> None:
    directory.mkdir()
    with (directory / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(Refused) as refused:
            await SQLiteJournal.open(directory, FORM)
    assert str(refused.value) == f"the data directory {directory} is held by another process"
    assert not is_held(directory)
    await (await SQLiteJournal.open(directory, FORM)).close()


READS, WRITES = ["SELECT count(*) FROM log"], ["BEGIN IMMEDIATE"]
EXCLUDES = ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"]


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["BEGIN", *READS], "is in use by another program"),
        (WRITES, "is in use by another program"),
        (EXCLUDES, "is locked by another program"),
    ],
)
async def test_a_database_that_another_program_keeps_for_itself_is_said_in_a_sentence(
    directory: Path, monkeypatch: pytest.MonkeyPatch, statements: list[str], why: str
) -> None:
    await (await SQLiteJournal.open(directory, FORM)).close()
    monkeypatch.setattr("persistence.sqlite.connection.BUSY_TIMEOUT_S", 0.001)
    database = directory / "meterd.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as outside:
        outside.execute("CREATE TABLE foreign_one (n)")  # so that the WAL has something
        for statement in statements:
            outside.execute(statement).fetchall()
        with pytest.raises(Refused) as refused:
            await SQLiteJournal.open(directory, FORM)
    assert str(refused.value).startswith(f"{database} {why}")
    assert "\n" not in str(refused.value)
    await (await SQLiteJournal.open(directory, FORM)).close()


async def test_a_file_that_cannot_be_used_is_named(directory: Path) -> None:
    (directory / "meterd.db").mkdir(parents=True)
    with pytest.raises(Refused, match=rf"cannot be used: {directory / 'meterd.db'}: Is a dir"):
        await SQLiteJournal.open(directory, FORM)


async def test_a_disk_that_knows_no_locks_is_said_in_a_sentence(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(Refused) as refused:
        await SQLiteJournal.open(directory, FORM)
    message = f"the data directory {directory} cannot be used: No locks available"
    assert str(refused.value) == message


async def test_a_directory_that_became_read_only_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await SQLiteJournal.open(directory, FORM)).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)  # root, who may run this, may write anywhere
        with pytest.raises(Refused, match="cannot be used: it is read-only"):
            await SQLiteJournal.open(directory, FORM)
    await (await SQLiteJournal.open(directory, FORM)).close()
