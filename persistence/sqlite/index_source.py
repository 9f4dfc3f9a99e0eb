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
from persistence.archive.lookup import Archives
from persistence.errors import ArchiveUnreadable, Damaged
from persistence.records import Row
from persistence.sqlite.checked import rows_between
from persistence.sqlite.connection import Connection, read_error
from persistence.sqlite.provenance import anchor_at
from persistence.sqlite.recent import RecentPositions

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
        archives: has the bodies that the log does not have.
    """

    def __init__(self, connection: Connection, form: Form, archives: Archives) -> None:
        self._connection = connection
        self._form = form
        self._archives = archives
        self._read = 0
        self._seconds = 0.0

    @property
    def rate(self) -> float:
        """Rows a second, as far as it is known."""
        return self._read / self._seconds if self._seconds else _FIRST_RATE

    async def rows(self, after: int, limit: int) -> list[Row]:
        """The first rows behind a position, with those bodies that matter here.

        Raises:
            Damaged: one is not as it was written, or is missing.
            Unavailable: the log cannot be read.
        """
        try:
            return await self._connection.call(_rows, self._form, self._archives, after, limit)
        except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
            raise read_error(error) from error

    async def anchor(self, seq: int) -> str | None:
        """What marks the row at a position; raises as `rows`."""
        return await self._connection.ask(anchor_at, seq)

    async def last(self) -> int:
        """The newest position of the log; raises as `rows`."""
        ((last,),) = await self._connection.read("SELECT coalesce(max(seq), 0) FROM log")
        return int(last)

    async def lump(self, after: int, last: int) -> RecentPositions:
        """What a run of the rows behind ``after`` up to ``last`` has; raises as `rows`.

        The loop has its turns in between.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        tail = RecentPositions(self._form)
        while tail.last < last:
            place = max(after, tail.last)
            rows = await self.rows(place, min(PIECE_ROWS, last - place))
            if not rows or rows[-1].seq > last:
                raise Damaged(
                    "meterd.db", f"row {place + 1}", "run meterd mend", first=place + 1, last=last
                )
            tail.add(rows)
        self._read += last - after
        self._seconds += loop.time() - began
        return tail

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _rows(
    db: sqlite3.Connection, form: Form, archives: Archives, after: int, limit: int
) -> list[Row]:
    rows = rows_between(db, after, limit)
    ending = {form.ending.ends, form.ending.may_end}
    elsewhere = [row.seq for row in rows if not row.body and row.kind in ending]
    if not elsewhere:
        return rows
    bodies = archives.bodies(db, elsewhere, _lost)
    return [row._replace(body=bodies.get(row.seq, row.body)) for row in rows]


def _lost(name: str, error: ArchiveUnreadable, positions: Sequence[int]) -> None:
    _log.warning("index_without_archive", file=name, rows=len(positions), error=str(error))
