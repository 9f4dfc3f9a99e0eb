"""How the file of the index is made anew: before a start if that is quick, else behind the service.

A new file is made beside the old one, run by run from the log, and takes its place when it has all
that the old one has. Rows that are appended meanwhile are in memory, or in the old file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import structlog

from messages.stored.form import Form
from persistence.damage import tell
from persistence.errors import BeingMade, Damaged, JournalError
from persistence.exhaustion import tell_of
from persistence.sqlite.blocks import Run
from persistence.sqlite.connection import Connection
from persistence.sqlite.index_file import (
    INDEX,
    Held,
    Unusable,
    fill,
    held,
    open_filler,
    remove,
    stored_filters,
)
from persistence.sqlite.index_source import Source
from persistence.sqlite.user_filter import UserFilter

READY_ROWS: Final = 200_000
"""For a log of so many rows a start makes the file before it is ready; else behind the service."""
CHASES_MAX: Final = 3
"""So often a new file follows the old one before others have to wait for it."""
BACK_OFF_S: Final = 60.0
"""Before a file is made anew again; twice as long each time."""
BACK_OFF_MAX_S: Final = 3_600.0
_MADE_ANEW: Final = "nothing: it is made anew from the log by itself"

_log = structlog.get_logger(__name__)


class Opened(NamedTuple):
    """A file of the index that is open.

    Attributes:
        filler: writes it; None if there is none yet.
        reader: reads it; None as before.
        runs: what it has, or would have.
        file: marks the file.
        why: it is made anew for this; "" if it is not.
        filters: the users of runs, by the number of the run.
        unfiltered: runs of which that is damaged.
    """

    filler: Connection | None
    reader: Connection | None
    runs: list[Run]
    file: int
    why: str
    filters: dict[int, UserFilter]
    unfiltered: Sequence[Run] = ()


class Owner(Protocol):
    """Whose file it is."""

    @property
    def position(self) -> int:
        """Up to where the runs have the rows of the log."""
        ...

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        ...

    @property
    def asked(self) -> int:
        """How many questions there were."""
        ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """While this is held nobody reads the file and nothing is filled in."""
        ...

    async def replace(self, beside: Path) -> None:
        """Put another file, which is closed, in the place of the one that there is."""
        ...


async def open_file(path: Path, source: Source, form: Form, lump_rows: int) -> Opened:
    """Open the file of the index, or an empty one; or none, if to fill that takes long.

    Raises:
        sqlite3.Error: it cannot be opened or made.
        JournalError: the log cannot be read.
    """
    why = ""
    if path.exists():  # noqa: ASYNC240 -- at start, before anything else runs
        try:
            return await opened(path, source, form)
        except (Unusable, sqlite3.DatabaseError, ValueError) as error:
            why = str(error)
    last = await source.last()
    if last > READY_ROWS:
        ends = [*range(0, last, lump_rows), last]
        runs = [Run(at, ends[at - 1], ends[at], 0) for at in range(1, len(ends))]
        return Opened(None, None, runs, 0, why or "it is missing", {})
    remove(path)
    return (await opened(path, source, form))._replace(why=why or ("it is missing" if last else ""))


async def opened(path: Path, source: Source, form: Form) -> Opened:
    """Open a file, which is made if it is not there.

    Raises:
        Unusable: it is of another version, log or form, or it is damaged.
        sqlite3.Error: it cannot be opened or made.
    """
    filler = await open_filler(path)
    try:
        has = await filler.call(held, form)
        _fits(has, await source.anchor(has.last))
        filters = await filler.call(stored_filters, has.runs)
        reader = await Connection.open(path, read_only=True)
    except BaseException:
        await filler.close()
        raise
    return Opened(filler, reader, has.runs, has.file, "", *filters)


def _fits(has: Held, anchor: str | None) -> None:
    if anchor != has.anchor:
        raise Unusable("it is of another log")


def _copied(path: Path) -> None:
    """Refuse a file that was closed and of which a part is still in its WAL.

    SQLite says nothing if the disk was too full for it. Without its WAL the file has fewer runs
    than it was filled with, or none, and fits itself nevertheless.
    """
    if path.with_name(f"{path.name}-wal").exists():
        raise Unusable("its WAL could not be copied into it")


class Rebuild:
    """Makes the file anew, behind the service.

    Args:
        source: reads the log.
        form: says what there is to know of a row.
        path: where the file is.
        lump_rows: how many rows are a run.
        index: whose file it is.
    """

    def __init__(
        self, source: Source, form: Form, path: Path, lump_rows: int, index: Owner
    ) -> None:
        self._source = source
        self._form = form
        self._path = path
        self._lump_rows = lump_rows
        self._index = index
        self._making: asyncio.Task[None] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._stopped_by: Damaged | None = None  # nobody knows whose row that is
        self._times = 0
        self._begins = 0.0  # on the loop's clock
        self._done = 0

    def start(self, why: str) -> None:
        """The file cannot be used, or a part of it is damaged: have it made anew."""
        if self._making is not None and not self._making.done():
            return
        if self._index.is_there:
            tell(Damaged(INDEX, why, _MADE_ANEW))
        self._done = 0
        self._begins = asyncio.get_running_loop().time() + self._wait_s()
        self._making = asyncio.create_task(self._make(why), name="journal-index-anew")
        self._making.add_done_callback(tell_of)

    def why_not(self) -> JournalError:
        """What is to be raised to who needs more than there is without the file."""
        error = self._stopped_by
        if error is None:
            return BeingMade("the index is made anew from the log", self.left_s())
        return Damaged(error.file, error.place, error.do, first=error.first, last=error.last)

    def left_s(self) -> float:
        """In about how many seconds the file is made."""
        wait = max(self._begins - asyncio.get_running_loop().time(), 0.0)
        return wait + (self._index.position - self._done) / self._source.rate + 1.0

    def _wait_s(self) -> float:
        wait = min(BACK_OFF_S * 2 ** (self._times - 1), BACK_OFF_MAX_S) if self._times else 0.0
        self._times += 1
        return wait

    async def close(self) -> None:
        """Stop; the old file stays, and the next start makes it anew."""
        if self._making is not None and not self._making.done():
            self._making.cancel()
            await asyncio.wait([self._making])
        if self._replacing is not None:
            await asyncio.wait([self._replacing])

    async def _make(self, why: str) -> None:
        while True:
            await asyncio.sleep(max(self._begins - asyncio.get_running_loop().time(), 0.0))
            try:
                rows = await self._made()
            except (JournalError, Unusable, sqlite3.Error, OSError, ValueError) as error:
                self._stopped_by = error if isinstance(error, Damaged) else None
                if isinstance(error, Damaged):
                    tell(error)
                else:
                    _log.warning("index_fill_failed", error=str(error))
                self._begins = asyncio.get_running_loop().time() + self._wait_s()
            else:
                self._stopped_by = None
                _log.warning("index_made_anew", reason=why, rows=rows)
                return

    async def _made(self) -> int:
        """Make the file, and put it in the place of the old one; of how many rows."""
        beside = self._path.with_name(f"{self._path.name}.new")
        remove(beside)
        filler = await open_filler(beside)
        try:
            file = (await filler.call(held, self._form)).file
            runs = list[Run]()
            for _ in range(CHASES_MAX):
                await self._chase(filler, runs, file)
            async with self._index.alone():
                await self._chase(filler, runs, file)  # hardly ever anything came since
                await filler.close()  # which copies the WAL into it
                _copied(beside)
                # Whoever stops this waits for it: a file that is half replaced is none.
                self._replacing = asyncio.create_task(self._index.replace(beside))
                await asyncio.shield(self._replacing)
        finally:
            await filler.close()
        return self._done

    async def _chase(self, filler: Connection, runs: list[Run], file: int) -> None:
        """Fill the new file until it has all that the old one has."""
        loop = asyncio.get_running_loop()
        after, asked = runs[-1].last if runs else 0, self._index.asked
        while after < self._index.position:
            last = min(after + self._lump_rows, self._index.position)
            began = loop.time()
            gently = self._index.asked != asked  # before the first question nobody has to wait
            asked = self._index.asked
            tail = await self._source.lump(after, last, gently=gently)
            run = Run(len(runs) + 1, after, last, file)
            await filler.write(fill, run, tail, self._form)
            runs.append(run)
            self._source.took(last - after, loop.time() - began)
            self._done = after = last
