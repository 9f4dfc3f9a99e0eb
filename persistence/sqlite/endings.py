"""Which rows end what another row began: the reads behind `LogQueries.ended_by`, in a thread.

The file of the index has them by the key that they name. Of rows that it does not have yet they
are looked for when somebody asks, once in each row, so that a commit pays nothing for them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import structlog

from messages.stored.form import Ending
from persistence.archive.lookup import Archives
from persistence.errors import ArchiveUnreadable
from persistence.sqlite.connection import as_array
from persistence.sqlite.derived import literal

LOOK_ROWS: Final = 5_000
"""Rows that are looked at in one go: some milliseconds of the connection's thread."""

_log = structlog.get_logger(__name__)


class Endings:
    """The queries of one log.

    Args:
        ending: which rows end something.
        archives: has the bodies that the log does not have.
    """

    def __init__(self, ending: Ending, archives: Archives) -> None:
        self._ending = ending
        self._archives = archives
        kinds = f"(kind = {literal(ending.may_end)} OR kind = {literal(ending.ends)})"
        mark = literal(f'"{ending.named}":')
        # To look for the mark takes longer than all else, so each body is looked through once.
        self._maybe = (
            f"SELECT json_group_array(seq) FROM log WHERE seq > ? AND seq <= ? AND {kinds}"  # noqa: S608 -- text of this module
            f" AND (body = '' OR instr(body, {mark}) > 0)"
        )
        # SQLite ends a text of JSON at its first NUL, so these are read by Python.
        nul = "instr(body, '\\u0000') > 0"
        among = "FROM log WHERE seq IN (SELECT value FROM json_each(?))"
        named = literal(f"$.{ending.named}")
        said = ", ".join(f"json_extract(body, {literal(f'$.{name}')})" for name in ending.says)
        ends = f"kind = {literal(ending.ends)} OR coalesce({said}) = {literal(ending.ended)}"
        plain = (
            f"{among} AND NOT {nul} AND CASE WHEN json_valid(body)"
            f" THEN json_type(body, {named}) = 'text' AND ({ends}) END"
        )
        key = f"json_extract(body, {named})"
        self._put = f"INSERT INTO ends SELECT ?, user_id, {key}, seq {plain} ORDER BY 2, 3"
        # In one piece: for each row that leaves it, SQLite's thread waits for the interpreter.
        self._found = f"SELECT json_group_array(json_array(seq, 0, user_id, {key})) {plain}"
        self._rest = f"SELECT seq, user_id, kind, body {among} AND (body = '' OR {nul})"

    def put(self, db: sqlite3.Connection, run: int, after: int, last: int) -> None:
        """Take the ends among the rows after ``after`` up to ``last`` into a run of the file."""
        maybe = self._may_end(db, after, last)
        db.execute(self._put, (run, as_array(maybe)))
        rest = [(run, user, key, seq) for seq, _, user, key in self._others(db, maybe)]
        db.executemany("INSERT INTO ends VALUES (?, ?, ?, ?)", rest)

    def among(self, db: sqlite3.Connection, after: int, last: int) -> list[tuple[Any, ...]]:
        """The ends among these rows: position, nothing, user and the key that they name."""
        maybe = self._may_end(db, after, last)
        ((found,),) = db.execute(self._found, (as_array(maybe),))
        return sorted([*map(tuple, json.loads(found)), *self._others(db, maybe)])

    def _may_end(self, db: sqlite3.Connection, after: int, last: int) -> list[int]:
        """The positions of the rows that name something, or whose body is elsewhere."""
        ((found,),) = db.execute(self._maybe, (after, last))
        return sorted(json.loads(found))

    def _others(self, db: sqlite3.Connection, maybe: Sequence[int]) -> list[tuple[Any, ...]]:
        """As `among`, of the rows whose body is elsewhere or is not for SQLite to read."""
        found: list[tuple[Any, ...]] = []
        for begin in range(0, len(maybe), LOOK_ROWS):  # this many bodies are in memory at a time
            some = as_array(maybe[begin : begin + LOOK_ROWS])
            rows = db.execute(self._rest, (some,)).fetchall()
            elsewhere = sorted(seq for seq, _, _, body in rows if not body)
            bodies = self._archives.bodies(db, elsewhere, _lost) if elsewhere else {}
            for seq, user, kind, body in rows:
                key = self._ending.key_of(kind, body or bodies.get(seq, ""))
                if key is not None:
                    found.append((seq, 0, user, key))
        return found


def _lost(name: str, error: ArchiveUnreadable, positions: Sequence[int]) -> None:
    _log.warning("index_without_archive", file=name, rows=len(positions), error=str(error))
