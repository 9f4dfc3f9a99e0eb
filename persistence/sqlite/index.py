"""Where a user's rows and keys are in the log: derived data, off the commit path.

An index on random keys costs a commit more than all else: each row of a block dirties pages
of its own. So the log has no such index. This one has a file of its own, which is filled
behind the log in lumps, each a sorted run of its own; the positions that the file does not
have yet are in memory. After a crash the rows behind the file's position are read again; a
file that is missing, damaged or of another log is made anew.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from persistence.errors import JournalError
from persistence.exhaustion import tell_of
from persistence.records import Row
from persistence.sqlite.connection import Connection, read_error
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.endings import LOOK_ROWS, Endings
from persistence.sqlite.index_file import INDEX, beyond, fill, filled_to, open_filler
from persistence.sqlite.recent import RecentPositions

LUMP_ROWS: Final = 100_000
CLOSE_ROWS: Final = 20_000
NEWEST_RUNS: Final = 4
RETRY_S: Final = 1.0
_BEHIND: Final = (
    "SELECT seq FROM runs CROSS JOIN rows ON run = id WHERE last > ?2 AND user_id = ?1"
    " AND seq > ?2 AND seq <= ?3 ORDER BY id, seq LIMIT ?4"
)
_BEFORE: Final = (
    "SELECT rows.seq FROM runs CROSS JOIN rows ON run = id WHERE user_id = ? AND seq < ?"
    " ORDER BY id DESC, seq DESC LIMIT ?"
)

_log = structlog.get_logger(__name__)


class LogIndex:
    """Positions by user and by key.

    Args:
        filler: writes the file, with the log attached.
        reader: reads it.
        endings: says which rows end what others began.
        position: up to where the file is filled.
        lump_rows: how many rows are filled in at once.

    Attributes:
        position: up to where the file is filled.
        filled: set while the file has all but the lump that is still open.
    """

    def __init__(
        self,
        filler: Connection,
        reader: Connection,
        endings: Endings,
        position: int,
        lump_rows: int,
    ) -> None:
        self._filler = filler
        self._reader = reader
        self._endings = endings
        self._looking = asyncio.Lock()
        self.position = position
        self._lump_rows = lump_rows
        self._tails = [RecentPositions()]  # oldest first; the last one is open
        self._full = asyncio.Event()
        self.filled = asyncio.Event()
        self.filled.set()
        self._filling = asyncio.create_task(self._fill_when_full(), name="journal-index")
        self._filling.add_done_callback(tell_of)

    @classmethod
    async def open(
        cls, directory: Path, log: Path, endings: Endings, *, lump_rows: int = LUMP_ROWS
    ) -> LogIndex:
        """Open the index of a log, or make it, and take in what the log has beyond it.

        Raises:
            sqlite3.Error: the file cannot be opened or made.
        """
        path = directory / INDEX
        async with AsyncExitStack() as files:  # a connection that is left keeps the process alive
            filler = await open_filler(path, log)
            files.push_async_callback(filler.close)
            reader = await Connection.open(path, read_only=True)
            files.push_async_callback(reader.close)
            position = await filler.call(filled_to)
            index = cls(filler, reader, endings, position, lump_rows)
            files.callback(index._filling.cancel)
            while places := await filler.call(beyond, index.last, lump_rows):
                index._tails[-1].add(places)
                if len(places) < lump_rows:
                    break
                await index._fill()
            files.pop_all()
        return index

    async def catch_up(self) -> None:
        """Take in what the log has beyond the index: a write whose outcome was not known.

        Raises:
            Unavailable: the log cannot be read.
        """
        try:
            while places := await self._filler.call(beyond, self.last, self._lump_rows):
                # Without those that an append has added meanwhile.
                places = [place for place in places if place[0] > self.last]
                if places:
                    self._tails[-1].add(places)
                    self._close_full_tail()
        except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
            raise read_error(error, DATABASE) from error

    def add(self, rows: Sequence[Row]) -> None:
        """Take in rows that are durable; those that the index has are left out."""
        if rows and rows[0].seq <= self.last:
            rows = [row for row in rows if row.seq > self.last]
        if not rows:
            return
        self._tails[-1].add(rows)
        self._close_full_tail()

    async def find_all(self, user: str, keys: Sequence[str]) -> list[int]:
        """The positions of the user's rows with these keys, if the file has them."""
        among = f"event_id IN ({variables(len(keys))})"
        found = "SELECT seq FROM runs CROSS JOIN keys ON run = id"
        # What is asked for twice was mostly written a moment ago. No key is in two runs.
        newest = "(SELECT max(id) FROM runs) - ?"
        query = f"{found} WHERE id > {newest} AND user_id = ? AND {among}"
        positions = await self._reader.read(query, NEWEST_RUNS, user, *keys)
        if len(positions) < len(keys):
            query = f"{found} WHERE id <= {newest} AND user_id = ? AND {among}"
            positions += await self._reader.read(query, NEWEST_RUNS, user, *keys)
        return [seq for (seq,) in positions]

    async def ended_by(self, log: Connection, user: str, keys: Sequence[str]) -> list[int]:
        """The positions of rows that may have ended what the user's rows with these keys began.

        Those that did are among them. ``log`` reads the rows that nobody has looked at.
        """
        positions = list[int]()
        async with self._looking:  # else two who ask at once would look at the same rows
            before = self.position
            for tail in tuple(self._tails):
                positions += (await self._ends_of(log, tail, before)).maybe(user, keys)
                before = max(before, tail.last)
        # What has left memory meanwhile is in the file by now, as well.
        found = await self._reader.read(
            "SELECT seq FROM runs CROSS JOIN ends ON run = id"  # noqa: S608 -- places for values
            f" WHERE user_id = ? AND event_id IN ({variables(len(keys))})",
            user,
            *keys,
        )
        return sorted({*positions, *(seq for (seq,) in found)})

    async def _ends_of(
        self, log: Connection, tail: RecentPositions, before: int
    ) -> RecentPositions:
        """Those rows of a tail that end something; each row of it is looked at once."""
        ends = tail.ends = tail.ends or RecentPositions()
        while (after := max(tail.looked, before)) < tail.last:
            last = min(after + LOOK_ROWS, tail.last)
            found = await log.ask(self._endings.among, after, last)
            if found:
                ends.add(found)
            tail.looked = last
        return ends

    async def users(self, after: str, limit: int, prefix: str) -> list[str]:
        """Users that have rows, in order, after one; without the nameless one."""
        # A user's id orders as its UTF-8 bytes do. What leaves memory is in the file before.
        for tail in tuple(self._tails):
            await tail.names.sort()
        recent = {user for tail in self._tails for user in tail.names.after(after, limit, prefix)}
        found = await self._reader.read(
            "SELECT user_id FROM users WHERE user_id > ? AND user_id >= ? ORDER BY user_id LIMIT ?",
            after,
            prefix,
            limit,
        )
        stored = [user for (user,) in found if user.startswith(prefix)]
        return sorted({*stored, *recent})[:limit]

    async def after(self, user: str, after: int, limit: int) -> list[int]:
        """The first positions of the user after one."""
        # What leaves memory while the file is read was in the file before.
        recent = [seq for tail in self._tails for seq in tail.after(user, after, limit)]
        if after >= self.position:
            return recent[:limit]
        found = await self._reader.read(
            _BEHIND,
            user,
            after,
            self.position,
            limit,
        )
        return [*(seq for (seq,) in found), *recent][:limit]

    async def behind(self, places: Sequence[tuple[str, int]], limit: int) -> list[list[int]]:
        """For each user and position the first positions after it, as `after`; in one read."""
        recent = [
            [seq for tail in self._tails for seq in tail.after(user, after, limit)]
            for user, after in places
        ]
        asked = [(user, after, self.position, limit) for user, after in places]
        found = await self._reader.ask(_all_behind, asked)
        return [[*old, *new][:limit] for old, new in zip(found, recent, strict=True)]

    async def before(self, user: str, before: int, limit: int) -> list[int]:
        """The last positions of the user before one, newest first."""
        newest = list[int]()
        for tail in reversed(self._tails):
            newest += tail.before(user, before, limit - len(newest))
        if len(newest) == limit:
            return newest
        found = await self._reader.read(
            _BEFORE,
            user,
            min(before, self.position + 1),
            limit - len(newest),
        )
        return [*newest, *(seq for (seq,) in found)]

    async def close(self) -> None:
        """Fill in what would take long to read at the next start, and close the file."""
        self._filling.cancel()
        await asyncio.wait([self._filling])
        try:
            while self._tails[0].count >= CLOSE_ROWS:
                await self._fill()
        except JournalError as error:
            _log.warning("index_fill_failed", error=str(error))
        await self._reader.close()
        await self._filler.close()

    @property
    def last(self) -> int:
        """The newest position that the index has."""
        return next((tail.last for tail in reversed(self._tails) if tail.last), self.position)

    def recent(self, user: str) -> list[int]:
        """The positions of the user that the file does not have yet, oldest first."""
        return [seq for tail in self._tails for seq in tail.of(user)]

    def maybe(self, user: str, keys: Collection[str]) -> list[int]:
        """The positions of rows that the file does not have yet and that may have these keys."""
        return [seq for tail in self._tails for seq in tail.maybe(user, keys)]

    def _close_full_tail(self) -> None:
        if self._tails[-1].count >= self._lump_rows:
            self._tails.append(RecentPositions())
            self._full.set()
            self.filled.clear()

    async def _fill_when_full(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            while len(self._tails) > 1:
                try:
                    await self._fill()
                except JournalError as error:
                    # Reads stay right meanwhile: what is not in the file is in memory.
                    _log.warning("index_fill_failed", error=str(error))
                    await asyncio.sleep(RETRY_S)
            self.filled.set()

    async def _fill(self) -> None:
        """Move the oldest lump from memory into the file."""
        tail = self._tails[0]
        await self._filler.write(fill, self._endings, self.position, tail.last)
        self.position = tail.last
        del self._tails[0]
        if not self._tails:
            self._tails.append(RecentPositions())


def _all_behind(
    db: sqlite3.Connection, asked: Sequence[tuple[str, int, int, int]]
) -> list[list[int]]:
    return [
        [seq for (seq,) in db.execute(_BEHIND, one)] if one[1] < one[2] else [] for one in asked
    ]


def variables(count: int) -> str:
    """So many places for values: a key in a JSON array would end at its first NUL."""
    return ", ".join("?" * count)
