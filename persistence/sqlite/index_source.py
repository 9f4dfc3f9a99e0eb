"""The log, as the index reads it: in order, every row checked, and in pieces.

That is done at a start, behind the last run, after a write of unknown outcome, and for a part of
the file that is damaged. Else the index has its rows from whoever wrote them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Final

import structlog

from messages.stored.form import Form
from persistence.errors import ArchiveUnreadable, Damaged
from persistence.records import Row
from persistence.sqlite.connection import Connection
from persistence.sqlite.provenance import anchor_at
from persistence.sqlite.recent import RecentPositions
from persistence.sqlite.stored_rows import StoredRows

PIECE_ROWS: Final = 500
"""Rows of one read: the thread has the interpreter for some milliseconds."""
_FIRST_RATE: Final = 50_000.0
"""Rows a second, while none is measured."""

_log = structlog.get_logger(__name__)


class Source:
    """Reads one log.

    Args:
        connection: to the log.
        form: says which rows may end something.
        stored: checks what is read.
    """

    def __init__(self, connection: Connection, form: Form, stored: StoredRows) -> None:
        self._connection = connection
        self._form = form
        self._stored = stored
        self._read = 0
        self._seconds = 0.0

    @property
    def rate(self) -> float:
        """Rows a second, as far as it is known."""
        return self._read / self._seconds if self._seconds else _FIRST_RATE

    async def rows(self, after: int, last: int) -> list[Row]:
        """The rows behind a position up to another one, with those bodies that matter here.

        Raises:
            Damaged: one is not as it was written, or is missing. But a body may be damaged: then it
                is known of that row alone whose it is.
            Unavailable: the log cannot be read.
        """
        return await self._connection.ask(_rows, self._form, self._stored, after, last)

    async def anchor(self, seq: int) -> str | None:
        """What marks the row at a position, or that before it if it is lost; raises as `rows`."""
        return await self._connection.ask(anchor_at, self._stored.losses.there(seq))

    async def last(self) -> int:
        """The newest position of the log; raises as `rows`."""
        ((last,),) = await self._connection.read("SELECT coalesce(max(seq), 0) FROM log")
        return int(last)

    def took(self, rows: int, seconds: float) -> None:
        """So long it took to make a run of so many rows anew."""
        self._read += rows
        self._seconds += seconds

    async def lump(self, after: int, last: int, *, gently: bool = False) -> RecentPositions:
        """What a run of the rows behind ``after`` up to ``last`` has; raises as `rows`.

        The loop has its turns in between; ``gently``, half of the time is others' alone.
        """
        loop = asyncio.get_running_loop()
        tail = RecentPositions(self._form)
        for place in range(after, last, PIECE_ROWS):
            began = loop.time()
            if rows := await self.rows(place, min(place + PIECE_ROWS, last)):  # else all are lost
                tail.add(rows)
            if gently:
                await asyncio.sleep(loop.time() - began)
        return tail

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _rows(
    db: sqlite3.Connection, form: Form, stored: StoredRows, after: int, last: int
) -> list[Row]:
    ending = {form.ending.ends, form.ending.may_end}
    try:
        rows = stored.between(db, after, last, bodies=True)
    except Damaged:
        rows = stored.between(db, after, last, bodies=False)
        matter = {*ending, form.span.opens}
        rows = [_alone(db, stored, row) if row.kind in matter else row for row in rows]
    elsewhere = [row.seq for row in rows if not row.body and row.kind in ending]
    if not elsewhere:
        return rows
    bodies = stored.archives.bodies(db, elsewhere, _lost)
    return [row._replace(body=bodies.get(row.seq, row.body)) for row in rows]


def _alone(db: sqlite3.Connection, stored: StoredRows, row: Row) -> Row:
    """A row with its body, if that is as it was written."""
    try:
        return stored.at(db, [row.seq])[0]
    except (Damaged, ArchiveUnreadable):
        return row  # whoever reads it is told of it


def _lost(name: str, error: ArchiveUnreadable, positions: Sequence[int]) -> None:
    _log.warning("index_without_archive", file=name, rows=len(positions), error=str(error))
