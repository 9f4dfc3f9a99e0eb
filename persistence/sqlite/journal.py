"""The journal in one SQLite file: WAL, one writer connection, fsync at every commit.

Reads have connections of their own (`queries`). `Checkpoints` copies the WAL into the database on
one more, off the writer's path.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_bytes
from typing import Final, NamedTuple, TypeAlias

import structlog

from messages.stored.form import Form
from persistence.archive.lookup import Archives
from persistence.damage import MEND, tell
from persistence.errors import (
    Corrupt,
    Damaged,
    DiskFailed,
    FilesGone,
    JournalError,
    Locked,
    NotStored,
    Refused,
    Unavailable,
)
from persistence.key_filter import KeyFilter
from persistence.records import Archivable, Row, Snapshot
from persistence.sqlite.archiver import Archiver
from persistence.sqlite.checkpoints import Checkpoints
from persistence.sqlite.connection import Connection, is_busy, is_damage
from persistence.sqlite.data_dir import DATABASE, WAL, Claim, refuse_unfinished, wal_of
from persistence.sqlite.erase import ROWS_AT_ONCE, erase
from persistence.sqlite.heads import newest_heads
from persistence.sqlite.high_water_mark import HighWaterMark, check_end
from persistence.sqlite.index import LUMP_ROWS, LogIndex
from persistence.sqlite.insert import append
from persistence.sqlite.key_filter_store import KeyStore
from persistence.sqlite.losses import losses_of
from persistence.sqlite.positions import ENDS, PUBLISHED, put_position, unchecked
from persistence.sqlite.queries import LogReads
from persistence.sqlite.schema import configure, copy_wal, prepare
from persistence.sqlite.stored_rows import StoredRows
from persistence.sqlite.write_placement import WritePlacement

LOOK_S: Final = 1.0
_MADE_ANEW: Final = "run meterd mend: until then none is written, and users are made of more rows"
_PUT_BACK: Final = "put it back, or restore a copy, and start again"
_IN_DATABASE: Final = f"what it held is in {DATABASE} now, start again"

_Block: TypeAlias = tuple[
    Sequence[Row], Sequence[Snapshot], list[bytes] | None, Callable[[int], bytes]
]
"""What `SQLiteJournal._append` takes, after the connection."""

_log = structlog.get_logger(__name__)


class _Others(NamedTuple):
    """The connections beside the writer's; the last two only read."""

    checkpointer: Connection
    recoveries: Connection
    pages: Connection


class SQLiteJournal(LogReads):
    """A `Journal` in ``meterd.db`` of a directory that it holds for its life."""

    def __init__(
        self,
        directory: Path,
        claim: Claim,
        files: AsyncExitStack,
        writer: Connection,
        others: _Others,
        index: LogIndex,
        stored: StoredRows,
        pace: WritePlacement,
        heads: list[bytes],
        random: Callable[[int], bytes],
        mark: HighWaterMark,
        form: Form,
    ) -> None:
        super().__init__(others.recoveries, others.pages, index, stored, form)
        self._directory = directory
        self._claim = claim
        self._files = files
        self._writer = writer
        self._pace = pace
        self._mark = mark
        self._keys: KeyStore | None = None
        self._heads: list[bytes] | None = heads  # the chain's newest links, None if unknown
        self._random = random
        wal = wal_of(directory / DATABASE)
        self._checkpoints = Checkpoints(others.checkpointer, writer, wal, self._break)
        written = self._checkpoints.written
        self._archiver = Archiver(stored, others.pages, writer, written, form.common())
        self._broken: DiskFailed | None = None
        self._gone = ""
        self._without_snapshots = False
        self._looking = asyncio.Lock()  # whoever looks second has the whole sentence too

    @classmethod
    async def open(
        cls,
        directory: Path,
        form: Form,
        *,
        lump_rows: int = LUMP_ROWS,
        ticks: Callable[[], int] | None = None,
        random: Callable[[int], bytes] = token_bytes,
    ) -> SQLiteJournal:
        """Open or create the journal of a directory.

        Args:
            directory: where the files are.
            form: what the owner says of the rows.
            lump_rows: how many rows the index takes in at once.
            ticks: nanoseconds since some moment, for `WritePlacement`.
            random: gives this many random bytes, for `chain.about_of`.

        Raises:
            Refused: the directory is held or cannot be written, or the database is not one
                that this version can use.
        """
        path = directory / DATABASE
        async with AsyncExitStack() as files:
            claim = Claim.take(directory)
            files.callback(claim.close)
            refuse_unfinished(directory)
            mark = HighWaterMark.open(directory)
            files.callback(mark.close)
            try:
                await check_end(directory, mark.seq)
                writer = await Connection.open(path)
                files.push_async_callback(writer.close)
                await writer.call(prepare, path, form)
                heads, stored = await writer.call(_begun, directory)
                # Unwound in reverse: when only the writer is left the WAL can be emptied.
                files.push_async_callback(_empty_wal, writer)
                others = await _open_others(path, files)
                index = await LogIndex.open(directory, path, form, stored, lump_rows=lump_rows)
                files.push_async_callback(index.close)
                await index.lend(others.recoveries)
                await index.lend(others.pages)
                files.push_async_callback(index.take_back)
                # SQLite keeps the file as long as it has the database open.
                claim.watch(wal_of(directory / DATABASE))
            except Damaged as error:
                raise Refused(f"{error}: {error.do}") from error
            except (sqlite3.Error, ValueError, OSError, Corrupt, Unavailable) as error:
                if is_busy(error):
                    raise Refused(f"{path} is locked by another program") from error
                if is_damage(error):
                    raise Refused(f"{path} is damaged ({_why(error)}): {MEND}") from error
                raise Refused(f"{path} cannot be opened: {error}") from error
            if index.last > mark.seq:  # of before there was one, or older after a power cut
                mark.advance(index.last)
            owned, pace = files.pop_all(), WritePlacement(ticks)
            return cls(
                directory,
                claim,
                owned,
                writer,
                others,
                index,
                stored,
                pace,
                heads,
                random,
                mark,
                form,
            )

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """See `EventLog.append`. A caller that is cancelled does not stop the write."""
        if self._broken:
            raise DiskFailed(f"the disk failed before: {self._broken}") from self._broken
        if self._claim.displaced():
            raise FilesGone(await self.look())
        heads, self._heads = self._heads, None  # unknown, should the write fail
        block: _Block = (rows, snapshots, heads, self._random)
        here = self._writer.idle and self._pace.starts_here(len(rows))
        if not (here and self._wrote_here(*block)):
            self._heads = await self._writer.write(self._append_beside, *block)
        if self._claim.displaced():  # before or behind the commit: nobody can tell
            raise DiskFailed(await self.look())
        self._index.add(rows)
        if self._keys is not None and rows:
            self._keys.grown(rows[-1].seq)
        self._checkpoints.written(len(rows))

    def _wrote_here(self, *block: *_Block) -> bool:
        """Write a block at once; False if another program's lock is to be waited for."""
        try:
            self._heads = self._writer.write_here(self._append, *block)
        except Locked:
            return False
        finally:
            self._pace.ended()
        return True

    def _append(
        self,
        db: sqlite3.Connection,
        rows: Sequence[Row],
        snapshots: Sequence[Snapshot],
        heads: list[bytes] | None,
        random: Callable[[int], bytes],
    ) -> list[bytes]:
        """`append`, and say how far the log is committed then."""
        if heads is None:
            heads = newest_heads(db, self._stored.unchecked)
        try:
            newest = append(db, rows, () if self._without_snapshots else snapshots, heads, random)
        except sqlite3.Error as error:
            if not (snapshots and is_damage(error)):
                raise
            db.rollback()
            newest = append(db, rows, (), heads, random)  # they are derived: nothing is lost
            self._without_snapshots = True
            tell(Damaged(DATABASE, "the table of snapshots", _MADE_ANEW))
        if rows:
            self._mark.advance(rows[-1].seq)
        return newest

    def _append_beside(self, db: sqlite3.Connection, *block: *_Block) -> list[bytes]:
        """As `_append`, in the writer's thread, which looks whether the disk stalls."""
        began = self._pace.began()
        try:
            return self._append(db, *block)
        finally:
            self._pace.ended_beside(len(block[0]), began)

    async def look(self) -> str:
        """Say what of the log is not where it was opened, and what to do; "" while all is.

        SQLite still has all files, and copies what the WAL holds into the database, wherever that
        is now: it is whole when it is put back, and another one in its place finds a WAL without
        pages, which would be those of another database.
        """
        async with self._looking:
            path = self._claim.displaced()
            if path and not self._gone:
                lost = await self._rescued()
                whole = _IN_DATABASE if path.endswith(WAL) else _PUT_BACK
                cure = f"what the WAL held could not be copied, {lost}" if lost else whole
                self._gone = f"{path} was removed or replaced while the service ran: {cure}"
            return self._gone

    async def _rescued(self) -> str:
        """Copy what the WAL holds into the database, also if they have no names; why not."""
        try:
            left = await self._writer.write(copy_wal, "TRUNCATE")
        except JournalError as error:
            return str(error)
        return "since another program reads the log" if left else ""

    async def displaced(self) -> None:
        """Return when the log is not where it was opened any more, also if nothing is written."""
        while True:
            if await self.look():
                return
            await asyncio.sleep(LOOK_S)

    def _break(self, error: DiskFailed) -> None:
        self._broken = error  # what is copied and what is written are in one file

    async def load_keys(self, keys: KeyFilter) -> None:
        """See `LogQueries.load_keys`."""
        self._keys = await KeyStore.open(self._directory, self._pages, keys, self._stored)
        self._keys.grown(self._index.last)

    async def mark_published(self, seq: int) -> None:
        """See `Outbox.mark_published`."""
        try:
            await self._writer.write(put_position, PUBLISHED, seq)
        except DiskFailed as error:
            self._broken = error  # the log is in the same file
            raise

    async def mark_dealt_with(self, until: int) -> None:
        """See `Ends.mark_dealt_with`."""
        try:
            await self._writer.write(put_position, ENDS, until)
        except DiskFailed as error:
            self._broken = error
            raise

    async def erase(self, user: str) -> int:
        """See `Retention.erase`."""
        count = last = 0
        try:
            while positions := await self._index.after(user, last, ROWS_AT_ONCE):
                count += await self._writer.write(erase, positions)
                last = positions[-1]
            if count:
                # Until the WAL begins anew it has the pages as they were.
                await self._writer.write(copy_wal, "TRUNCATE")
        except DiskFailed as error:
            self._broken = error
            raise
        return count

    async def archivable(self, before: int, limit: int, schema: int) -> Archivable | None:
        """See `Retention.archivable`."""
        return await self._archiver.next(before, limit, schema)

    async def archive(self, last: int) -> int:
        """See `Retention.archive`."""
        try:
            return await self._archiver.move(last)
        except DiskFailed as error:
            self._broken = error
            raise

    async def close(self) -> None:
        """See `Journal.close`."""
        await self._checkpoints.close()
        if self._keys is not None:
            await self._keys.close(self._index.last)
        await self._files.aclose()


async def _open_others(path: Path, files: AsyncExitStack) -> _Others:
    others: list[Connection] = []
    for read_only in (False, True, True):
        connection = await Connection.open(path, read_only=read_only)
        files.push_async_callback(connection.close)
        others.append(connection)
        await connection.call(configure)
    return _Others(*others)


def _begun(db: sqlite3.Connection, directory: Path) -> tuple[list[bytes], StoredRows]:
    """The chain's newest links, and what reads the rows."""
    stored = StoredRows(unchecked(db), Archives(directory), losses_of(db))
    stored.archives.look(db)
    return newest_heads(db, stored.unchecked), stored


async def _empty_wal(writer: Connection) -> None:
    try:
        await writer.write(copy_wal, "TRUNCATE")
    except NotStored as error:  # the disk is full, say: the next start does it
        _log.warning("journal_checkpoint_postponed", error=str(error))


def _why(error: Exception) -> str:
    """What is wrong in one line: SQLite quotes whole definitions of its schema."""
    first = str(error).splitlines()[0]
    return "a text in it is no UTF-8" if "utf-8" in first.lower() else first
