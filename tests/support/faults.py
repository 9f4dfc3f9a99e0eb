"""A journal that fails on request: it wraps any other and keeps its contract but for that."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

from persistence.errors import (
    DiskFailed,
    FilesGone,
    JournalError,
    NotStored,
    OutcomeUnknown,
    Unavailable,
)
from persistence.journal import Journal
from persistence.key_filter import KeyFilter
from persistence.records import Archivable, Ended, EndedPage, Loaded, Marked, Row, Snapshot


class Fault(Enum):
    """How an append fails."""

    NOT_STORED = auto()
    UNKNOWN_BUT_STORED = auto()
    UNKNOWN_AND_LOST = auto()
    DISK_FAILED_BUT_STORED = auto()
    DISK_FAILED_AND_LOST = auto()
    FILES_GONE = auto()


_STORED = {Fault.UNKNOWN_BUT_STORED, Fault.DISK_FAILED_BUT_STORED}
_ERRORS = {
    Fault.NOT_STORED: NotStored,
    Fault.UNKNOWN_BUT_STORED: OutcomeUnknown,
    Fault.UNKNOWN_AND_LOST: OutcomeUnknown,
    Fault.DISK_FAILED_BUT_STORED: DiskFailed,
    Fault.DISK_FAILED_AND_LOST: DiskFailed,
    Fault.FILES_GONE: FilesGone,
}


class Gate:
    """Open at first. While it is closed all who come wait.

    Attributes:
        waiting: set while somebody waits.
    """

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self._closed = False
        self._queue: deque[asyncio.Future[None]] = deque()

    def close(self) -> None:
        """Make all who come from now on wait."""
        self._closed = True

    def open(self) -> None:
        """Let all pass, those who wait and those to come."""
        self._closed = False
        while self._queue:
            self.let_one_pass()

    def let_one_pass(self) -> None:
        """Let the one pass who has waited longest."""
        ticket = self._queue.popleft()
        if not ticket.done():
            ticket.set_result(None)
        if not self._queue:
            self.waiting.clear()

    async def enter(self) -> None:
        """Wait until the gate lets the caller pass."""
        if not self._closed:
            return
        ticket = asyncio.get_running_loop().create_future()
        self._queue.append(ticket)
        self.waiting.set()
        await ticket


class FaultyJournal:
    """A `Journal` over another one. Without instructions it never fails and never waits.

    It checks that whoever appends rows puts their keys into the filter before.

    Attributes:
        appends: a gate before every append takes effect.
        commits: a gate behind every append that took effect, before its caller hears of it.
        reads: a gate before every read of rows or snapshots, of one user or of several.
        loads: the users of every load of several, failed ones too.
        failed_loads: those of the failed ones.
        refused: why the journal itself refused appends.
        attempts: the rows and snapshots of every append that was tried, failed ones too.
    """

    def __init__(self, inner: Journal) -> None:
        self.appends = Gate()
        self.commits = Gate()
        self.reads = Gate()
        self.loads: list[list[str]] = []
        self.failed_loads: list[list[str]] = []
        self.refused: list[str] = []
        self.attempts: list[tuple[tuple[Row, ...], tuple[Snapshot, ...]]] = []
        self._inner = inner
        self._append_faults: deque[Fault] = deque()
        self._read_faults: deque[str | None] = deque()
        self._end_faults = 0
        self._keys: KeyFilter | None = None

    def fail_appends(self, *faults: Fault) -> None:
        """Fail the next appends, one after the other, as said."""
        self._append_faults.extend(faults)

    def fail_reads(self, count: int, user: str | None = None) -> None:
        """Fail the next ``count`` reads of ``user``'s rows or snapshot, None: of anyone's."""
        self._read_faults.extend([user] * count)

    def fail_last_seq(self, count: int) -> None:
        """Fail the next ``count`` `last_seq`."""
        self._end_faults += count

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """See `EventLog.append`."""
        self.attempts.append((tuple(rows), tuple(snapshots)))
        if self._keys is not None:
            held = [not self._keys.surely_new(r.user, r.key) for r in rows if r.key is not None]
            assert all(held), "a key is put into the filter before its row is appended"
        await self.appends.enter()
        fault = self._append_faults.popleft() if self._append_faults else None
        if fault is None or fault in _STORED:
            try:
                await self._inner.append(rows, snapshots)
            except JournalError as error:
                self.refused.append(str(error))
                raise
            await self.commits.enter()
        if fault is not None:
            raise _ERRORS[fault](f"injected: {fault.name}")

    async def last_seq(self) -> int:
        """See `EventLog.last_seq`."""
        if self._end_faults:
            self._end_faults -= 1
            raise Unavailable("injected")
        return await self._inner.last_seq()

    async def snapshot(self, user: str) -> Snapshot | None:
        """See `LogQueries.snapshot`."""
        await self._before_read(user)
        return await self._inner.snapshot(user)

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """See `LogQueries.load`."""
        self.loads.append(list(users))
        try:
            for user in users:
                await self._before_read(user)
        except Unavailable:
            self.failed_loads.append(list(users))
            raise
        return await self._inner.load(users, limit)

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """See `LogQueries.history`."""
        await self._before_read(user)
        return await self._inner.history(user, after, limit)

    async def find(self, user: str, key: str) -> Row | None:
        """See `LogQueries.find`."""
        await self._before_read(user)
        return await self._inner.find(user, key)

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.find_all`."""
        await self._before_read(user)
        return await self._inner.find_all(user, keys)

    async def ended_by(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.ended_by`."""
        await self._before_read(user)
        return await self._inner.ended_by(user, keys)

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `LogQueries.users`."""
        return await self._inner.users(after, limit, prefix)

    async def marked(self, kind: str, marks: Sequence[str], after: int, last: int) -> Marked:
        """See `LogQueries.marked`; a read of the catalogue's, so that it can be failed alone."""
        await self._before_read("")
        return await self._inner.marked(kind, marks, after, last)

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """See `LogQueries.noticed`."""
        await self._before_read(user)
        return await self._inner.noticed(user, before, limit)

    async def _before_read(self, user: str) -> None:
        await self.reads.enter()
        for whose in (user, None):
            if whose in self._read_faults:
                self._read_faults.remove(whose)
                raise Unavailable("injected")

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """See `LogQueries.newest`."""
        await self._before_read(user)
        return await self._inner.newest(user, before, limit, kind)

    def lost(self, user: str) -> int | None:
        """See `LogQueries.lost`."""
        return self._inner.lost(user)

    async def load_keys(self, keys: KeyFilter) -> None:
        """See `LogQueries.load_keys`."""
        await self._inner.load_keys(keys)
        self._keys = keys

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Outbox.notices`."""
        return await self._inner.notices(after, limit)

    async def published(self) -> int:
        """See `Outbox.published`."""
        return await self._inner.published()

    async def mark_published(self, seq: int) -> None:
        """See `Outbox.mark_published`."""
        await self._inner.mark_published(seq)

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """See `Ends.ended`."""
        return await self._inner.ended(after, until, limit)

    async def dealt_with(self) -> int:
        """See `Ends.dealt_with`."""
        return await self._inner.dealt_with()

    async def mark_dealt_with(self, until: int) -> None:
        """See `Ends.mark_dealt_with`."""
        await self._inner.mark_dealt_with(until)

    async def erase(self, user: str) -> int:
        """See `Retention.erase`; fails as an append would."""
        await self.appends.enter()
        fault = self._append_faults.popleft() if self._append_faults else None
        erased = await self._inner.erase(user) if fault is None or fault in _STORED else 0
        if fault is not None:
            raise _ERRORS[fault](f"injected: {fault.name}")
        return erased

    async def archivable(self, before: int, limit: int, schema: int) -> Archivable | None:
        """See `Retention.archivable`."""
        return await self._inner.archivable(before, limit, schema)

    async def archive(self, last: int) -> int:
        """See `Retention.archive`; fails as an append would."""
        await self.appends.enter()
        fault = self._append_faults.popleft() if self._append_faults else None
        moved = await self._inner.archive(last) if fault is None or fault in _STORED else 0
        if fault is not None:
            raise _ERRORS[fault](f"injected: {fault.name}")
        return moved

    async def rows(self, after: int, limit: int) -> list[Row]:
        """See `EventLog.rows`."""
        return await self._inner.rows(after, limit)

    async def close(self) -> None:
        """See `Journal.close`."""
        await self._inner.close()


def sqlite_error(code: int) -> sqlite3.Error:
    """What the module sqlite3 raises for a code."""
    error = sqlite3.OperationalError("injected")
    error.sqlite_errorcode = code
    error.sqlite_errorname = str(code)
    return error
