"""One connection to a database: what its errors mean, and its end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from persistence.errors import (
    Damaged,
    DiskFailed,
    JournalError,
    Locked,
    NotStored,
    OutcomeUnknown,
    Unavailable,
)
from persistence.sqlite.connection import Connection, is_unread, read_error, write_error
from tests.support.faults import sqlite_error

WAIT_S = 60.0
SQLITE_IOERR_NOMEM = 3082  # which the module sqlite3 does not name


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, NotStored),
        (sqlite3.SQLITE_BUSY, Locked),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Locked),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, NotStored),
        (sqlite3.SQLITE_READONLY_DBMOVED, NotStored),
        (sqlite3.SQLITE_IOERR, DiskFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, DiskFailed),
        (sqlite3.SQLITE_IOERR_WRITE, DiskFailed),
        (sqlite3.SQLITE_IOERR_READ, DiskFailed),
        (sqlite3.SQLITE_IOERR_SHMSIZE, OutcomeUnknown),
        (sqlite3.SQLITE_NOMEM, OutcomeUnknown),
        (sqlite3.SQLITE_CORRUPT, NotStored),
    ],
)
def test_an_error_says_that_nothing_is_stored_only_if_that_is_certain(
    code: int, expected: type[JournalError]
) -> None:
    assert type(write_error(sqlite_error(code))) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_IOERR_READ, Unavailable),
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_CORRUPT_INDEX, Damaged),
        (sqlite3.SQLITE_NOTADB, Damaged),
    ],
)
def test_a_failed_read_tells_damage_from_the_rest(code: int, expected: type[JournalError]) -> None:
    assert type(read_error(sqlite_error(code), "meterd.db")) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_IOERR_READ, True),
        (SQLITE_IOERR_NOMEM, False),
        (sqlite3.SQLITE_BUSY, False),
    ],
)
def test_behind_a_page_that_cannot_be_read_reading_goes_on_but_not_without_memory(
    code: int, expected: bool
) -> None:
    assert is_unread(sqlite_error(code)) is expected


def test_a_connection_that_cannot_be_opened_has_ended_before_that_is_said(tmp_path: Path) -> None:
    fallen: list[threading.ExceptHookArgs] = []
    before, threading.excepthook = threading.excepthook, fallen.append
    try:
        for _ in range(50):  # the loop ends at once, as that of a start that is refused
            with pytest.raises(sqlite3.Error):
                asyncio.run(Connection.open(tmp_path / "missing" / "a.db"))
        for thread in threading.enumerate():
            if thread.name.endswith("(_connection_worker_thread)"):
                thread.join(WAIT_S)
    finally:
        threading.excepthook = before
    assert fallen == []


@pytest.mark.parametrize("error", [MemoryError(), sqlite_error(SQLITE_IOERR_NOMEM)], ids=repr)
async def test_that_no_memory_is_left_is_no_failure_that_may_pass(
    error: Exception, tmp_path: Path
) -> None:
    def fail(db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        raise error

    (tmp_path / "a.db").touch()
    connection = await Connection.open(tmp_path / "a.db")
    try:
        for how in (connection.write, connection.ask):
            with pytest.raises(type(error)) as caught:
                await how(fail)
            assert caught.value is error
            await connection.call(sqlite3.Connection.rollback)
    finally:
        await connection.close()
