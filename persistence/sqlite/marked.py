"""Rows of a kind whose bodies have one of some texts, in a stretch of the log.

SQLite looks at all rows of the stretch in one step of one statement, so the interpreter lock is
handed over twice however many rows there are; what it finds is read by the door for all rows,
`stored_rows`. What cannot be read is told of and passed over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from persistence.errors import ArchiveDamaged, ArchiveUnreadable, Corrupt, Damaged
from persistence.records import Marked, Row
from persistence.sqlite.checked import damaged
from persistence.sqlite.connection import is_damage
from persistence.sqlite.stored_rows import AT_ONCE, StoredRows

STRETCH_MAX: Final = 10_000
"""Positions that are looked at in one call: it keeps the thread that reads for 25 ms, and for
90 ms if all rows are wanted."""
_LATEST: Final = 253_402_300_799_999_999
"""The last moment that can be said, the end of the year 9999: what is later is damaged."""

# A body that is in an archive is empty in the log.
_LOOK: Final = """
SELECT json_group_array(seq) FILTER (WHERE kind = ?1 AND ({marks})),
    json_group_array(seq) FILTER (WHERE kind = ?1 AND body = ''),
    max(at) FILTER (WHERE typeof(at) = 'integer' AND at BETWEEN 0 AND ?2)
FROM log WHERE seq > ?3 AND seq <= ?4
"""
_positions: Final = msgspec.json.Decoder(list[int]).decode

Damage: TypeAlias = Damaged | ArchiveDamaged
"""What the log is to have a line for."""


def read_marked(
    db: sqlite3.Connection,
    stored: StoredRows,
    kind: str,
    marks: Sequence[str],
    after: int,
    last: int,
) -> tuple[Marked, list[Damage]]:
    """See `LogQueries.marked`; and what of the stretch is damaged, as far as it was met.

    Args:
        db: a connection to the log.
        stored: reads rows.
        kind: as there.
        marks: as there.
        after: as there.
        last: as there.

    Raises:
        sqlite3.Error: the log cannot be read just now.
    """
    assert last - after <= STRETCH_MAX, "a stretch has its bound"
    return _Look(db, stored, kind, marks).at(after, last)


class _Look:
    """One look at the log, and what it meets on its way."""

    def __init__(
        self, db: sqlite3.Connection, stored: StoredRows, kind: str, marks: Sequence[str]
    ) -> None:
        self._db = db
        self._stored = stored
        self._kind = kind
        self._marks = marks
        one_of = " OR ".join(f"instr(body, ?{place})" for place in range(5, 5 + len(marks)))
        self._query = _LOOK.format(marks=one_of)
        self._unread = 0
        self._latest: int | None = None
        self._damage: list[Damage] = []

    def at(self, after: int, last: int) -> tuple[Marked, list[Damage]]:
        """Look at a stretch; once."""
        wanted, elsewhere = self._positions(after, last)
        positions = sorted([*wanted, *self._archived(elsewhere)])
        rows: list[Row] = []
        for begin in range(0, len(positions), AT_ONCE):  # so many are read in one step
            rows += self._read(positions[begin : begin + AT_ONCE])
        return Marked(rows, self._unread, self._latest), self._damage

    def _positions(self, after: int, last: int) -> tuple[list[int], list[int]]:
        """Where rows are wanted, and where bodies are to be looked at elsewhere."""
        args = (self._kind, _LATEST, after, last, *self._marks)
        try:
            ((wanted, elsewhere, latest),) = self._db.execute(self._query, args)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            if last - after == 1:
                self._pass(damaged(last), 1)
                return [], []
            middle = (after + last) // 2
            older, newer = self._positions(after, middle), self._positions(middle, last)
            return older[0] + newer[0], older[1] + newer[1]
        if latest is not None:
            self._latest = max(latest, self._latest or 0)
        return _positions(wanted), _positions(elsewhere)

    def _archived(self, elsewhere: Sequence[int]) -> list[int]:
        """Those of these rows whose bodies, in an archive, have one of the texts."""
        if not elsewhere:
            return []
        lost = set[int]()

        def lose(_: str, error: ArchiveUnreadable, positions: Sequence[int]) -> None:
            lost.update(positions)
            self._pass(error, len(positions))

        try:
            bodies = self._stored.archives.bodies(self._db, elsewhere, lose)
        except Damaged as error:  # what the log says of a file
            self._pass(error, len(elsewhere))
            return []
        self._read([seq for seq in elsewhere if seq not in bodies and seq not in lost])
        return [seq for seq, body in bodies.items() if any(mark in body for mark in self._marks)]

    def _read(self, positions: Sequence[int]) -> list[Row]:
        """The rows at these positions that can be read; the others are counted."""
        if not positions:
            return []
        try:
            return self._stored.at(self._db, positions)
        except (Corrupt, ArchiveUnreadable) as error:
            if len(positions) == 1:
                self._pass(error, 1)
                return []
        middle = len(positions) // 2  # it is one of them, and the others are as they were
        return [*self._read(positions[:middle]), *self._read(positions[middle:])]

    def _pass(self, error: Corrupt | ArchiveUnreadable, count: int) -> None:
        self._unread += count
        if isinstance(error, Damaged | ArchiveDamaged):
            self._damage.append(error)
