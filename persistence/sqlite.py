"""The journal in one SQLite file: WAL, one writer connection, fsync at every commit.

Reads have connections of their own, one for recoveries, which requests wait for, and one for
pages. Checkpoints copy the WAL into the database on a fourth, off the writer's path.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from os import close as close_descriptor
from pathlib import Path
from secrets import token_bytes
from typing import Final

import structlog

from messages.subjects import encode_user, partition_of
from persistence.appending import COLUMNS, append
from persistence.connection import Connection
from persistence.datadir import DATABASE, claim
from persistence.erasing import ROWS_AT_ONCE, erase
from persistence.errors import DiskFailed, JournalError, NotStored, Refused
from persistence.index import LUMP_ROWS, LogIndex
from persistence.indexfile import INDEX
from persistence.journal import Loaded, Row, Snapshot
from persistence.keys import KeyFilter
from persistence.keystore import KeyStore
from persistence.mark import Mark, check_end
from persistence.pace import Pace
from persistence.preparing import configure, copy_wal, prepare
from persistence.several import ONE_SNAPSHOT, Asked, attach, detach, load

CHECKPOINT_PAGES: Final = 4_000
WAL_PAGES_MAX: Final = 16_000

# These kinds have an index, log_kind, whose condition a query has to repeat.
_RARE: Final = "kind <> 'usage' AND (kind < 'hold' OR kind > 'hold_released')"
_PUT_POSITION: Final = (
    "INSERT INTO position (name, seq) VALUES ('published', ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq"
)

_log = structlog.get_logger(__name__)


class SQLiteJournal:
    """A `Journal` in ``meterd.db`` of a directory that it holds for its life."""

    def __init__(
        self,
        directory: Path,
        files: AsyncExitStack,
        writer: Connection,
        checkpointer: Connection,
        recoveries: Connection,
        pages: Connection,
        index: LogIndex,
        pace: Pace,
        heads: list[bytes],
        random: Callable[[int], bytes],
        mark: Mark,
    ) -> None:
        self._directory = directory
        self._files = files
        self._writer = writer
        self._checkpointer = checkpointer
        self._recoveries = recoveries
        self._pages = pages
        self._index = index
        self._pace = pace
        self._mark = mark
        self._keys: KeyStore | None = None
        self._heads: list[bytes] | None = heads  # the chain's newest links, None where unknown
        self._random = random
        self._uncopied_pages = 0
        self._grown = asyncio.Event()
        self._broken: DiskFailed | None = None
        self._checkpoints = asyncio.create_task(self._checkpoint(), name="journal-checkpoints")

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        lump_rows: int = LUMP_ROWS,
        ticks: Callable[[], int] | None = None,
        random: Callable[[int], bytes] = token_bytes,
    ) -> SQLiteJournal:
        """Open or create the journal of a directory.

        Args:
            directory: where the files are.
            lump_rows: how many rows the index takes in at once.
            ticks: nanoseconds since some moment, for `Pace`.
            random: gives so many random bytes, for `chain.about_of`.

        Raises:
            Refused: the directory is held or cannot be written, or the database is not one
                that this version can use.
        """
        path = directory / DATABASE
        async with AsyncExitStack() as files:
            files.callback(close_descriptor, claim(directory))
            mark = Mark.open(directory)
            files.callback(mark.close)
            try:
                await check_end(directory, mark.seq)
                writer = await Connection.open(path)
                files.push_async_callback(writer.close)
                heads = await writer.call(prepare, path)
                # Unwound in reverse: when only the writer is left the WAL can be emptied.
                files.push_async_callback(_empty_wal, writer)
                others: list[Connection] = []
                for read_only in (False, True, True):
                    connection = await Connection.open(path, read_only=read_only)
                    files.push_async_callback(connection.close)
                    others.append(connection)
                    await connection.call(configure)
                index = await LogIndex.open(directory, path, lump_rows=lump_rows)
                files.push_async_callback(index.close)
                await attach(others[1], directory / INDEX)
                files.push_async_callback(detach, others[1])
            except (sqlite3.Error, ValueError) as error:
                raise Refused(f"{path} cannot be opened: {error}") from error
            checkpointer, recoveries, pages = others
            if index.last > mark.seq:  # of before there was one, or older after a power cut
                mark.advance(index.last)
            owned, pace = files.pop_all(), Pace(ticks)
            return cls(
                directory,
                owned,
                writer,
                checkpointer,
                recoveries,
                pages,
                index,
                pace,
                heads,
                random,
                mark,
            )

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """See `Journal.append`. A caller that is cancelled does not stop the write."""
        if self._broken:
            raise DiskFailed(f"the disk failed before: {self._broken}") from self._broken
        heads, self._heads = self._heads, None  # unknown, should the write fail
        block = (rows, snapshots, heads, self._random)
        if self._writer.idle and self._pace.starts_here(len(rows)):
            try:
                self._heads = self._writer.write_here(self._append, *block)
            finally:
                self._pace.ended()
        else:
            self._heads = await self._writer.write(self._append_beside, *block)
        self._index.add(rows)
        if self._keys is not None and rows:
            self._keys.grown(rows[-1].seq)
        # Rows of the usual size fill a page by tens; a block rewrites the last ones of the trees.
        self._uncopied_pages += 4 + len(rows) // 4
        if self._uncopied_pages >= CHECKPOINT_PAGES:
            self._uncopied_pages = 0
            self._grown.set()

    def _append(
        self,
        db: sqlite3.Connection,
        rows: Sequence[Row],
        snapshots: Sequence[Snapshot],
        heads: list[bytes] | None,
        random: Callable[[int], bytes],
    ) -> list[bytes]:
        """`append`, and say how far the log is committed then."""
        newest = append(db, rows, snapshots, heads, random)
        if rows:
            self._mark.advance(rows[-1].seq)
        return newest

    def _append_beside(
        self,
        db: sqlite3.Connection,
        rows: Sequence[Row],
        snapshots: Sequence[Snapshot],
        heads: list[bytes] | None,
        random: Callable[[int], bytes],
    ) -> list[bytes]:
        """As `_append`, in the writer's thread, which looks whether the disk stalls."""
        began = self._pace.began()
        try:
            return self._append(db, rows, snapshots, heads, random)
        finally:
            self._pace.ended_beside(len(rows), began)

    async def last_seq(self) -> int:
        """See `Journal.last_seq`."""
        await self._index.catch_up()
        ((last,),) = await self._recoveries.read("SELECT coalesce(max(seq), 0) FROM log")
        return int(last)

    async def snapshot(self, user: str) -> Snapshot | None:
        """See `Journal.snapshot`."""
        place = (partition_of(encode_user(user)), user)
        found = await self._recoveries.read(ONE_SNAPSHOT, *place)
        return Snapshot(*found[0]) if found else None

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """See `Journal.load`."""
        # What leaves memory after this is in the file by then.
        recent = [self._index.recent(user) for user in users]
        asked = Asked(users, recent, self._index.position, limit)
        return await load(self._recoveries, asked)

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """See `Journal.history`."""
        return await _at(self._recoveries, await self._index.after(user, after, limit))

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """See `Journal.newest`."""
        if kind is not None and is_rare(kind):
            return await _rows(
                self._pages,
                f"user_id = ? AND seq < ? AND kind = ? AND {_RARE} ORDER BY seq DESC LIMIT ?",
                user,
                before,
                kind,
                limit,
            )
        found: list[Row] = []
        while len(found) < limit:
            positions = await self._index.before(user, before, limit)
            rows = (await _at(self._pages, positions))[::-1]
            found += [row for row in rows if kind is None or row.kind == kind]
            if len(positions) < limit:
                break
            before = positions[-1]
        return found[:limit]

    async def find(self, user: str, key: str) -> Row | None:
        """See `Journal.find`."""
        return (await self.find_all(user, [key])).get(key)

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `Journal.find_all`."""
        # What leaves memory after this is in the file by then.
        wanted = set(keys)
        rows = await _at(self._recoveries, self._index.maybe(user, wanted))
        rows = [row for row in rows if row.key in wanted]
        if len(rows) < len(keys):
            rows += await _at(self._recoveries, await self._index.find_all(user, keys))
        return {row.key: row for row in rows if row.key is not None}

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """See `Journal.noticed`."""
        where = "user_id = ? AND notify = 1 AND seq < ? ORDER BY seq DESC LIMIT ?"
        return await _rows(self._pages, where, user, before, limit)

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `Journal.users`."""
        return await self._index.users(after, limit, prefix)

    async def load_keys(self, keys: KeyFilter) -> None:
        """See `Journal.load_keys`."""
        self._keys = await KeyStore.open(self._directory, self._pages, keys)
        self._keys.grown(self._index.last)

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Journal.notices`."""
        where = "notify = 1 AND seq > ? ORDER BY seq LIMIT ?"
        return await _rows(self._pages, where, after, limit)

    async def published(self) -> int:
        """See `Journal.published`."""
        found = await self._recoveries.read("SELECT seq FROM position WHERE name = 'published'")
        return int(found[0][0]) if found else 0

    async def mark_published(self, seq: int) -> None:
        """See `Journal.mark_published`."""
        try:
            await self._writer.write(_mark_published, seq)
        except DiskFailed as error:
            self._broken = error  # the log is in the same file
            raise

    async def erase(self, user: str) -> int:
        """See `Journal.erase`."""
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

    async def rows(self, after: int, limit: int) -> list[Row]:
        """See `Journal.rows`."""
        return await _rows(self._pages, "seq > ? ORDER BY seq LIMIT ?", after, limit)

    async def close(self) -> None:
        """See `Journal.close`."""
        self._checkpoints.cancel()
        await asyncio.wait([self._checkpoints])
        if self._keys is not None:
            await self._keys.close(self._index.last)
        await self._files.aclose()

    async def _checkpoint(self) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            try:
                pages = await self._checkpointer.write(copy_wal, "PASSIVE")
                if pages > WAL_PAGES_MAX:
                    # Under a steady load there is always a block that is not copied yet, and
                    # the WAL would never start again from its beginning. Between two blocks
                    # only what came during the copy is left to do.
                    await self._writer.write(copy_wal, "PASSIVE")
            except DiskFailed as error:
                self._broken = error
                _log.exception("journal_checkpoint_failed")
                return
            except JournalError as error:
                # The WAL grows meanwhile; appends fail by themselves when the disk is full.
                _log.warning("journal_checkpoint_postponed", error=str(error))


def is_rare(kind: str) -> bool:
    """Whether rows of a kind have an index: what `_RARE` says."""
    return kind != "usage" and not "hold" <= kind <= "hold_released"


async def _at(connection: Connection, positions: Sequence[int]) -> list[Row]:
    """The rows at these positions, oldest first."""
    if not positions:
        return []
    where = "seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    return await _rows(connection, where, _array(positions))


def _array(positions: Sequence[int]) -> str:
    return f"[{','.join(map(str, positions))}]"


async def _rows(connection: Connection, where: str, *args: object) -> list[Row]:
    # `where` is text of this module; all values are variables.
    found = await connection.read(f"SELECT {COLUMNS} FROM log WHERE {where}", *args)  # noqa: S608
    # Of a long tail this is a third: fields by name cost less than a tuple that is cut and joined.
    return [
        Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
        for seq, partition, user, key, kind, at, notify, body, personal in found
    ]


async def _empty_wal(writer: Connection) -> None:
    try:
        await writer.write(copy_wal, "TRUNCATE")
    except NotStored as error:  # the disk is full, say: the next start does it
        _log.warning("journal_checkpoint_postponed", error=str(error))


def _mark_published(db: sqlite3.Connection, seq: int) -> None:
    db.execute(_PUT_POSITION, (seq,))
