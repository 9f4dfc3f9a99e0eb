"""Where a user's rows and keys are in the log: derived data, off the commit path.

An index on random keys costs a commit more than all else: each row of a block dirties pages
of its own. So the log has no index. This one has a file of its own, which is filled behind the
log in lumps, each a sorted run of its own, from what is in memory of the rows; nothing is read of
the log for it. The rows that the file does not have yet are in memory. After a crash they are read
again; a file that is missing, damaged or of another log is made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from messages.stored.form import Form
from persistence.errors import JournalError
from persistence.exhaustion import tell_of
from persistence.records import Row
from persistence.sqlite.connection import Connection
from persistence.sqlite.index_file import INDEX, fill, remove
from persistence.sqlite.index_questions import NEWEST, Place, Question
from persistence.sqlite.index_rebuild import Opened, Rebuild, open_file, opened
from persistence.sqlite.index_shelf import Shelf
from persistence.sqlite.index_source import PIECE_ROWS, Source
from persistence.sqlite.lending import Lending
from persistence.sqlite.recent import RecentPositions, mark_of
from persistence.sqlite.sections import Section, of_kind, of_notices
from persistence.sqlite.stored_rows import StoredRows

LUMP_ROWS: Final = 100_000
CLOSE_ROWS: Final = 500
TAILS_MAX: Final = 8
"""Lumps in memory if there is no file to fill them into; older ones are read from the log."""
NEWEST_RUNS: Final = 4
RETRY_S: Final = 1.0

_log = structlog.get_logger(__name__)


class LogIndex:
    """Positions by user, by kind and by key.

    Args:
        source: reads the log.
        form: says what there is to know of a row.
        opened: the file, or what it would have.
        path: where the file is.
        lump_rows: how many rows are filled in at once.

    Attributes:
        asked: how many questions there were.
        filled: set while the file has all but the lump that is still open.
    """

    def __init__(
        self, source: Source, form: Form, opened: Opened, path: Path, lump_rows: int
    ) -> None:
        self._source = source
        self._form = form
        self._path = path
        self._lump_rows = lump_rows
        self._tails = [RecentPositions(form)]  # oldest first; the last one is open
        self._full = asyncio.Event()
        self.filled = asyncio.Event()
        self.filled.set()
        self._writing = asyncio.Lock()
        self._asking = 0
        self.asked = 0
        self._idle = asyncio.Event()
        self._open = asyncio.Event()  # cleared while one file takes the place of another
        self._open.set()
        self._lending = Lending()
        self._rebuild = Rebuild(source, form, path, lump_rows, self)
        self.shelf = self.shelved(opened)
        self._filling = asyncio.create_task(self._fill_when_full(), name="journal-index")
        self._filling.add_done_callback(tell_of)

    @classmethod
    async def open(
        cls,
        directory: Path,
        log: Path,
        form: Form,
        stored: StoredRows,
        *,
        lump_rows: int = LUMP_ROWS,
    ) -> LogIndex:
        """Open the index of a log, or make it, and take in what the log has beyond it.

        Raises:
            sqlite3.Error: the file cannot be opened or made.
            JournalError: the log cannot be read; `Damaged` if a row is.
        """
        async with AsyncExitStack() as files:  # a connection that is left keeps the process alive
            reads = await Connection.open(log, read_only=True)
            files.push_async_callback(reads.close)
            source = Source(reads, form, stored)
            path = directory / INDEX
            opened = await open_file(path, source, form, lump_rows)
            index = cls(source, form, opened, path, lump_rows)
            files.push_async_callback(index.shelf.close)
            files.callback(index._filling.cancel)
            await index.catch_up()
            while len(index._tails) > 1 and index.shelf.filler is not None:
                await index._fill()
            files.pop_all()
        for run in opened.unfiltered:
            index.shelf.lose_filter(run)
        if opened.why:
            if opened.reader is None:
                index._rebuild.start(opened.why)
            else:
                _log.warning("index_made_anew", reason=opened.why, rows=index.last)
        return index

    async def catch_up(self) -> None:
        """Take in what the log has beyond the index: a write whose outcome was not known.

        Raises:
            Damaged: a row there is not as it was written.
            Unavailable: the log cannot be read.
        """
        last, place = await self._source.last(), self.last
        while place < last:
            before, place = place, min(place + self._room(), last)
            rows = await self._source.rows(before, place)
            self.add(rows)  # without those that an append has added meanwhile
            if len(self._tails) > TAILS_MAX // 2 and self.shelf.filler is not None:
                await self._fill()

    def _room(self) -> int:
        return max(min(PIECE_ROWS, self._lump_rows - self._tails[-1].count), 1)

    def add(self, rows: Sequence[Row]) -> None:
        """Take in rows that are durable; those that the index has are left out."""
        if rows and rows[0].seq <= self.last:
            rows = [row for row in rows if row.seq > self.last]
        if not rows:
            return
        self._tails[-1].add(rows)
        if self._tails[-1].count >= self._lump_rows:
            self._tails.append(RecentPositions(self._form))
            self._full.set()
            self.filled.clear()

    # What is asked

    async def find_all(
        self, user: str, keys: Sequence[str], *, everywhere: bool = False
    ) -> list[int]:
        """The positions of the user's rows that may have these keys, if the file has them.

        Fewer than there are keys are all. Else older ones may be left out, which matters if one of
        those that are found has only the mark of a key, unless it is asked for ``everywhere``.
        """
        if not keys:
            return []
        marks = {mark_of(key) for key in keys}
        async with self.question() as question:
            # What is asked for twice was mostly written a moment ago. No key is in two runs.
            newest = question.runs[-NEWEST_RUNS:]
            found = await question.marked(Section.KEYS, user, marks, newest)
            if everywhere or len(found) < len(keys):
                others = question.runs[:-NEWEST_RUNS]
                found += await question.marked(Section.KEYS, user, marks, others)
        return sorted(set(found))

    async def ended_by(self, user: str, keys: Sequence[str]) -> list[int]:
        """The positions of rows that may have ended what the user's rows with these keys began.

        Those that did are among them.
        """
        if not keys:
            return []
        marks = {mark_of(key) for key in keys}
        async with self.question() as question:
            found = [seq for tail in question.tails for seq in tail.maybe_ended(user, keys)]
            found += await question.marked(Section.ENDS, user, marks, question.runs)
        return sorted(set(found))

    async def users(self, after: str, limit: int, prefix: str) -> list[str]:
        """Users that have rows, in order, after one; without the nameless one."""
        async with self.question() as question:
            # A user's id orders as its UTF-8 bytes do.
            for tail in question.tails:
                await tail.names.sort()
            return await question.users(after, limit, prefix)

    async def after(self, user: str, after: int, limit: int) -> list[int]:
        """The first positions of the user after one."""
        (found,) = await self.behind([(user, after)], limit)
        return found

    async def behind(self, places: Sequence[tuple[str, int]], limit: int) -> list[list[int]]:
        """For each user and position the first positions after it, as `after`."""
        asked = [Place(user, after + 1, NEWEST, limit) for user, after in places]
        async with self.question() as question:
            return await question.walk(Section.ROWS, asked)

    async def before(self, user: str, before: int, limit: int) -> list[int]:
        """The last positions of the user before one, newest first."""
        return await self._newest(Section.ROWS, user, before, limit)

    async def of_kind(self, user: str, kind: str, before: int, limit: int) -> list[int]:
        """The last positions of the user's rows of a rare kind before one, newest first."""
        return await self._newest(Section.KINDS, of_kind(user, kind), before, limit)

    async def noticed(self, user: str, before: int, limit: int) -> list[int]:
        """The last positions of the user's rows that notify before one, newest first."""
        return await self._newest(Section.KINDS, of_notices(user), before, limit)

    async def notices(self, after: int, limit: int) -> list[int]:
        """The first positions of rows that notify after one."""
        async with self.question() as question:
            place = Place("", after + 1, NEWEST, limit)
            (found,) = await question.walk(Section.NOTICES, [place])
            return found

    async def later(self, places: Sequence[tuple[str, str, int]]) -> list[list[int]]:
        """For each user, rare kind and position, the positions of such rows after it."""
        terms = dict[str, int]()
        for user, kind, after in places:
            term = of_kind(user, kind)
            terms[term] = min(after, terms.get(term, after))
        async with self.question() as question:
            found = await question.later(terms)
        return [
            [seq for seq in found[of_kind(user, kind)] if seq > after]
            for user, kind, after in places
        ]

    async def over(self, after: tuple[int, int], until: int, limit: int) -> list[tuple[int, int]]:
        """Ends behind one, each with the row that says it, up to ``until``, in order."""
        async with self.question() as question:
            return await question.over(after, until, limit)

    async def _newest(self, section: Section, term: str, before: int, limit: int) -> list[int]:
        async with self.question() as question:
            place = Place(term, 0, min(max(before, 0), NEWEST), limit)
            (found,) = await question.walk(section, [place], newest=True)
            return found

    @asynccontextmanager
    async def question(self) -> AsyncIterator[Question]:
        """A question, for as long as it is asked. Whoever asks one asks no other within it."""
        await self._open.wait()
        self._asking += 1
        self.asked += 1
        try:
            yield Question(self.shelf, self._tails)
        finally:
            self._asking -= 1
            self._idle.set()

    @property
    def position(self) -> int:
        """Up to where the runs have the rows of the log."""
        return self.shelf.last

    @property
    def last(self) -> int:
        """The newest position that the index has."""
        return next((tail.last for tail in reversed(self._tails) if tail.last), self.position)

    def maybe(self, user: str, keys: Collection[str]) -> list[int]:
        """The positions of rows that the file does not have yet and that may have these keys."""
        return [seq for tail in self._tails for seq in tail.maybe(user, keys)]

    # How the file is filled, and replaced

    def shelved(self, opened: Opened) -> Shelf:
        """What answers of a file."""
        return Shelf(
            opened.filler,
            opened.reader,
            opened.runs,
            opened.file,
            opened.filters,
            self._rebuild.start,
            self._source,
            self._rebuild.why_not,
        )

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """While this is held nobody asks anything and nothing is filled."""
        async with self._writing:
            self._open.clear()
            try:
                while self._asking:
                    self._idle.clear()
                    await self._idle.wait()
                yield
            finally:
                self._open.set()
                self._full.set()

    async def replace(self, beside: Path) -> None:
        """Put another file, which is closed, in the place of the one that there is.

        Raises:
            Unusable: what came of it cannot be used.
            sqlite3.Error: it cannot be opened.
            OSError: it cannot be put there.
        """
        old, lent = self.shelf, self._lending.to
        await self.take_back()
        await old.close()
        self.shelf = self.shelved(Opened(None, None, old.runs, 0, "", {}))  # until there is another
        self._lending.to = lent
        remove(self._path)
        beside.rename(self._path)  # noqa: ASYNC240 -- at once
        self.shelf = self.shelved(await opened(self._path, self._source, self._form))
        if lent is not None:
            await self.lend(lent)

    async def lend(self, connection: Connection) -> None:
        """Have a connection read the file as well, whichever it is, until `take_back`.

        Raises:
            sqlite3.Error: it cannot; the next file that is put there is lent to it again.
        """
        await self._lending.lend(connection, self._path if self.is_there else None)

    async def take_back(self) -> None:
        """Undo `lend`."""
        await self._lending.take_back()

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        return self.shelf.reader is not None

    async def close(self) -> None:
        """Fill in what would take long to read at the next start, and close the file."""
        await self._rebuild.close()
        self._filling.cancel()
        await asyncio.wait([self._filling])
        try:
            if self._tails[-1].count >= CLOSE_ROWS:
                self._tails.append(RecentPositions(self._form))
            while self.shelf.filler is not None and len(self._tails) > 1:
                await self._fill()
        except JournalError as error:
            _log.warning("index_fill_failed", error=str(error))
        await self.shelf.close()
        await self._source.close()

    async def _fill_when_full(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            while len(self._tails) > 1:
                if self.shelf.filler is None and len(self._tails) <= TAILS_MAX:
                    break
                try:
                    await self._fill()
                except JournalError as error:
                    # Reads stay right meanwhile: what is not in the file is in memory.
                    _log.warning("index_fill_failed", error=str(error))
                    async with self._writing:
                        if len(self._tails) > TAILS_MAX:
                            self._give_up()
                    await asyncio.sleep(RETRY_S)
            else:
                self.filled.set()

    async def _fill(self) -> None:
        """Move the oldest lump from memory into the file, but not the one that is open."""
        async with self._writing:
            if len(self._tails) == 1:
                return  # somebody else has just done it
            tail, shelf = self._tails[0], self.shelf
            if shelf.filler is None:
                self._give_up()
                return
            run = shelf.next_run(tail.last)
            shelf.take_in(run, await shelf.filler.write(fill, run, tail, self._form))
            del self._tails[0]

    def _give_up(self) -> None:
        """Drop the oldest lump from memory: whoever needs it reads the log."""
        run = self.shelf.next_run(self._tails[0].last)
        self.shelf.runs.append(run)
        self.shelf.lose(run)
        del self._tails[0]
