"""An aiosqlite connection that runs whole functions, and the translation of its errors.

A function runs in the connection's thread in one hop. That saves hops, and it makes a write
whole: cancelling whoever awaits it neither stops it nor leaves a transaction open. While the
thread has nothing to do, a write may also run where it is called.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite

from persistence.damage import MEND
from persistence.errors import (
    Damaged,
    DiskFailed,
    JournalError,
    Locked,
    NotStored,
    OutcomeUnknown,
    Unavailable,
)
from persistence.exhaustion import is_exhausted

BUSY_TIMEOUT_S: Final = 5.0
_CORRUPT_FS: Final = 8458
"""SQLITE_IOERR_CORRUPTFS: the disk could not give back what was written (EIO). Python has no name
for it if it was made with an older SQLite. In the midst of a query it is SQLITE_CORRUPT."""

_T = TypeVar("_T")

# What SQLite reports before it hands a transaction to the disk, or with its end cut off:
# in a WAL a full disk leaves the commit frame incomplete, which is the same as absent. A page that
# is damaged is found while the transaction is made.
_BEFORE_COMMIT: Final = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
# The index of the WAL is shared memory in a file: it fails to grow on a full disk, after the
# frames were written, and says nothing about the disk's health.
_INDEX_OF_WAL: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
    }
)


class Connection(aiosqlite.Connection):
    """One thread with one SQLite connection in autocommit mode.

    Attributes:
        file: the name of the database.
    """

    file: str
    _given: int
    _done: int
    _patience_s: float
    _stopping: asyncio.Future[Any] | None = None

    @classmethod
    async def open(cls, path: Path, *, read_only: bool = False) -> Connection:
        """Open an existing database.

        Raises:
            sqlite3.Error: it cannot be opened.
        """
        connection = cls(partial(_connect, path, read_only), iter_chunk_size=64)
        connection.file = path.name
        connection._given = connection._done = 0
        connection._patience_s = BUSY_TIMEOUT_S
        try:
            await connection
        except BaseException:
            # Its thread tells the loop that it ends, and the loop ends if a start is refused.
            if connection._stopping is not None:
                await connection._stopping
            raise
        return connection

    def stop(self) -> asyncio.Future[Any] | None:
        """End the thread. aiosqlite calls it if it cannot connect, and does not wait for it."""
        self._stopping = super().stop()
        return self._stopping

    @property
    def idle(self) -> bool:
        """Whether the thread has done all that it was given."""
        return self._given == self._done

    async def call(self, function: Callable[..., _T], *args: object) -> _T:
        """Run ``function(db, *args)`` in the thread; its errors are not translated."""
        self._given += 1  # only the loop counts here, and only the thread in `_run`
        result: _T = await self._execute(self._run, function, args)  # type: ignore[no-untyped-call]
        return result

    async def read(self, query: str, *args: object) -> list[Any]:
        """All rows of a query, as tuples.

        Raises:
            Unavailable: the read failed.
            Damaged: the database is, or what the function reads.
        """
        return await self.ask(_fetch, query, args)

    async def ask(self, function: Callable[..., _T], *args: object) -> _T:
        """As `read`, whatever ``function(db, *args)`` reads."""
        try:
            return await self.call(function, *args)
        except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
            if is_exhausted(error):
                raise  # no failed read that may succeed later
            raise read_error(error, self.file) from error

    async def write(self, function: Callable[..., _T], *args: object) -> _T:
        """Run a function that is one transaction; if it fails, roll back.

        Raises:
            NotStored: nothing of it is stored; `Locked`, if that is why.
            OutcomeUnknown: it may or may not be stored.
        """
        try:
            return await self.call(self._transact, BUSY_TIMEOUT_S, function, args)
        except ValueError as error:  # the connection is closed
            raise NotStored(str(error)) from error

    def write_here(self, function: Callable[..., _T], *args: object) -> _T:
        """As `write`, at once and in the calling thread; only if the connection is `idle`.

        It waits for no other program's lock.
        """
        try:
            return self._transact(self._conn, 0, function, args)
        except ValueError as error:  # the connection is closed
            raise NotStored(str(error)) from error

    def _transact(
        self,
        db: sqlite3.Connection,
        patience_s: float,
        function: Callable[..., _T],
        args: tuple[object, ...],
    ) -> _T:
        if patience_s != self._patience_s:  # blocks of one kind follow each other
            db.execute(f"PRAGMA busy_timeout = {round(1000 * patience_s)}")
            self._patience_s = patience_s
        return _attempt(db, function, args)

    def _run(self, function: Callable[..., _T], args: tuple[object, ...]) -> _T:
        try:
            return function(self._conn, *args)
        finally:
            self._done += 1


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False
    )


def is_busy(error: Exception) -> bool:
    """Whether SQLite waited for another program's lock, and did not get it."""
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY)


def as_array(positions: Sequence[int]) -> str:
    """Positions as one variable of a query, which takes them apart by ``json_each``."""
    return f"[{','.join(map(str, positions))}]"


def read_error(error: Exception, file: str) -> JournalError:
    """The layer's error for one that a read of a file raised."""
    if is_damage(error):
        return Damaged(file, "a page", MEND)
    return Unavailable(f"{file} cannot be read: {error}")


def is_damage(error: Exception) -> bool:
    """Whether stored bytes are not as they were written, as far as SQLite can tell."""
    if isinstance(error, UnicodeDecodeError):  # of a message that quotes what is stored
        return True
    if getattr(error, "sqlite_errorcode", None) is None:  # of Python, which decodes texts
        return isinstance(error, sqlite3.Error) and str(error).startswith("Could not decode")
    code: int = error.sqlite_errorcode  # type: ignore[attr-defined]
    if code == sqlite3.SQLITE_ERROR:  # bytes where a text was: one bit of a row's types
        return str(error).startswith("JSON cannot hold BLOB")
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or code == _CORRUPT_FS


def is_unread(error: Exception) -> bool:
    """Whether an error is of a part of the file: damage, or a place that the disk cannot give.

    Behind it reading can go on, and who has the same from elsewhere need not ask for it again.
    """
    code = getattr(error, "sqlite_errorcode", None) or 0
    failed = code & 0xFF == sqlite3.SQLITE_IOERR and not is_exhausted(error)
    return failed or is_damage(error)


def write_error(error: Exception) -> JournalError:
    """The layer's error for one that a write raised, after a rollback that succeeded."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python, before SQLite had the statement
        return NotStored(f"{type(error).__name__}: {error}")
    text = f"{error} ({getattr(error, 'sqlite_errorname', code)})"
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return (OutcomeUnknown if code in _INDEX_OF_WAL else DiskFailed)(text)
    if is_busy(error):
        return Locked(text)
    return (NotStored if code & 0xFF in _BEFORE_COMMIT else OutcomeUnknown)(text)


def _fetch(db: sqlite3.Connection, query: str, args: tuple[Any, ...]) -> list[Any]:
    return db.execute(query, args).fetchall()


def _attempt(db: sqlite3.Connection, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
    try:
        return function(db, *args)
    except Exception as error:
        if is_exhausted(error):
            raise  # the process ends: what the transaction has is taken back by the next start
        try:
            db.rollback()
        except sqlite3.Error as again:
            raise OutcomeUnknown(f"{error}; and the rollback failed: {again}") from error
        raise write_error(error) from error
