"""The one door through which rows of the log are read: each is as it was written, and is there.

A row that is not is `Damaged`, with its position. Where there is a second copy of the log one day,
this is the place that can ask it for that row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from persistence.archive.lookup import Archives
from persistence.chain.chain import about_of
from persistence.chain.checksum import STAMP_BYTES, body_fits
from persistence.chain.losses import NONE, Losses
from persistence.errors import ArchiveDamaged, Damaged
from persistence.records import Row
from persistence.sqlite.at_once import rows_at
from persistence.sqlite.checked import FIELDS, HEADS, checked, damaged
from persistence.sqlite.connection import as_array, is_damage

AT_ONCE: Final = 512
"""Rows that are read in one step: bodies are up to some KB each."""


class StoredRows:
    """Reads rows of one log, each call in the thread of the connection that it is given.

    Attributes:
        unchecked: rows up to here may have no checksum.
        archives: has the bodies that the log does not have.
        losses: positions that have no row, as an operator accepted it.
    """

    def __init__(self, unchecked: int, archives: Archives, losses: Losses = NONE) -> None:
        self.unchecked = unchecked
        self.archives = archives
        self.losses = losses

    def at(
        self,
        db: sqlite3.Connection,
        positions: Sequence[int],
        wanted: Callable[[Row], bool] = lambda _: True,
    ) -> list[Row]:
        """The rows at these positions that are wanted, oldest first, with their bodies.

        Args:
            db: a connection to the log.
            positions: each comes once, and has a row, or is one of an accepted loss.
            wanted: is shown rows of which the body may be empty.

        Raises:
            Damaged: one of them is not there, or not as it was written.
            ArchiveUnreadable: the body of one is in a file that cannot be read.
            sqlite3.Error: the log cannot be read.
        """
        if 0 < len(positions) <= AT_ONCE and min(positions) > self.archives.last:
            usual = rows_at(db, sorted(positions), self.unchecked)
            if usual is not None:
                return [row for row in usual if wanted(row)]
        found = self._found(db, positions)
        rows = self._checked(found, positions)
        if len(rows) != len(positions):
            missing = {*positions}.difference(row.seq for row in rows)
            self._refuse([seq for seq in missing if seq not in self.losses])
        rows = [row for row in rows if wanted(row)]
        if all(row.body for row in rows):
            return rows
        stamps = {one[0]: (one[-2], one[-1]) for one in found}
        elsewhere = [row for row in rows if not row.body and not _is_whole(row, *stamps[row.seq])]
        bodies = self.archives.bodies(db, [row.seq for row in elsewhere])
        whole = {row.seq: _filled(row, bodies, *stamps[row.seq]) for row in elsewhere}
        return [whole.get(row.seq, row) for row in rows]

    def between(
        self, db: sqlite3.Connection, after: int, last: int, *, bodies: bool, table: str = "log"
    ) -> list[Row]:
        """All rows behind a position up to another one, as the log has them; no lost ones.

        Args:
            db: a connection to the log.
            after: the position.
            last: the other one, at most the newest.
            bodies: with bodies, but for those in archives, and personal fields; else damage of
                these does not matter, and rows have none.
            table: the log, as the connection calls it.

        Raises:
            Damaged: as `at`.
            sqlite3.Error: as `at`.
        """
        fields = FIELDS if bodies else HEADS
        found = self._found(db, range(after + 1, last + 1), fields, table)
        rows = self._checked(found, range(after + 1, last + 1))
        self._in_order(rows, range(after + 1, last + 1))
        return rows

    def _checked(self, found: Sequence[tuple[Any, ...]], positions: Sequence[int]) -> list[Row]:
        try:
            return checked(found, self.unchecked)
        except Damaged as error:
            if error.first in positions:
                raise
            raise damaged(min(positions), max(positions)) from error  # of a blank cell: no row's

    def _in_order(self, rows: Sequence[Row], positions: range) -> None:
        """Refuse rows that are not all of these: pages elsewhere give one twice, or too late.

        Which position is named is one of these, whatever was found in its place.
        """
        found = [row[0] for row in rows]
        if found == [*positions]:
            return
        wanted = [seq for seq in positions if seq not in self.losses]
        if found == wanted:
            return
        differ = (seq for seq, there in zip(wanted, found, strict=False) if seq != there)
        missing = {*wanted}.difference(found)
        self._refuse([*missing] or [next(differ, positions[-1])])  # else there is one too many

    def _refuse(self, missing: Sequence[int]) -> None:
        """Rows that have to be there are not."""
        if missing:
            raise damaged(min(missing))

    def _found(
        self,
        db: sqlite3.Connection,
        positions: Sequence[int],
        fields: str = FIELDS,
        table: str = "log",
    ) -> list[tuple[Any, ...]]:
        """The fields of the rows at some positions."""
        if isinstance(positions, range):
            where = "seq >= ? AND seq < ?"
            args: tuple[object, ...] = (positions.start, positions.stop)
        else:
            where, args = "seq IN (SELECT value FROM json_each(?))", (as_array(positions),)
        query = f"SELECT {fields} FROM {table} WHERE {where} ORDER BY seq"  # noqa: S608 -- text of this module
        try:
            return db.execute(query, args).fetchall()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            if len(positions) == 1:
                raise damaged(positions[0]) from error
        # It is in one of them: so that it is named, and no other one.
        return [one for seq in sorted(positions) for one in self._found(db, [seq], fields, table)]


def _filled(row: Row, bodies: dict[int, str], proof: bytes | None, stored: bytes | None) -> Row:
    """A row with its body of an archive."""
    body = bodies.get(row.seq)
    if body is None:
        raise damaged(row.seq)
    row = row._replace(body=body)
    if stored is not None and len(stored) == STAMP_BYTES and not _is_whole(row, proof, stored):
        raise ArchiveDamaged(f"the body of row {row.seq} in its archive is not as it was written")
    return row


def _is_whole(row: Row, proof: bytes | None, stored: bytes | None) -> bool:
    """Whether a row has the body that it was stamped with."""
    if stored is None or len(stored) != STAMP_BYTES:
        return False
    return body_fits(row, about_of(row.personal, proof), stored)
