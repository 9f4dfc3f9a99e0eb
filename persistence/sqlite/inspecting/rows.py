"""The rows of the log one by one, each with what can be said of it, and the gaps between them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum, unique
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from persistence.archive.lookup import Archives, Lost
from persistence.chain.chain import LINK_BYTES, about_of
from persistence.chain.checksum import STAMP_BYTES, body_fits, head_fits
from persistence.errors import ArchiveDamaged, ArchiveGone, ArchiveUnreadable, Damaged
from persistence.records import Row
from persistence.sqlite.checked import COLUMNS, FIELDS, HEADS, MISTYPED, fits
from persistence.sqlite.connection import is_unread
from persistence.sqlite.inspecting.walk import LogWalk, Unread

_FLAGS: Final[dict[Any, bool]] = {0: False, 1: True}


@unique
class Fit(Enum):
    """What the checksum of a row says."""

    WHOLE = "whole"
    UNSAID = "older than checksums"
    BODY = "its body is not as it was written"
    HEAD = "it is not as it was written"


class Seen(NamedTuple):
    """A row.

    Attributes:
        row: what the disk gave; its body is empty if that cannot be read.
        proof: of its personal fields.
        link: in the chain.
        whole: whether its body could be read.
        fit: what its checksum says of what could be read.
        why: what is to be said beyond that, or "".
    """

    row: Row
    proof: bytes | None
    link: bytes | None
    whole: bool
    fit: Fit
    why: str = ""


class Gap(NamedTuple):
    """Rows that are not there, or that SQLite cannot give."""

    first: int
    last: int
    unread: bool


Look: TypeAlias = "Seen | Gap"


class LogRows:
    """All rows of a log.

    Args:
        db: a connection.
        archives: has bodies that the log does not have.
        unchecked: rows up to here may have no checksum.
        last: the newest position, as far as is known.

    Attributes:
        gone: of how many rows the file was not there, by its name.
        damaged: what is not as it was written of other files, or cannot be read, with their rows.
    """

    def __init__(
        self, db: sqlite3.Connection, archives: Archives, unchecked: int, last: int
    ) -> None:
        self.gone = Counter[str]()
        self.damaged = dict[str, list[int]]()  # in order
        self._db = db
        self._archives = archives
        self._unchecked = unchecked
        self._walk = LogWalk(db, last)

    def seen(self) -> Iterator[Look]:
        """All rows in order; of rows that are missing or cannot be read, where."""
        expected = 1
        gap: Gap | None = None
        for lump in self._walk.lumps(FIELDS):
            for look in self._judged(lump):
                if gap is None and isinstance(look, Seen) and look.row.seq == expected:
                    expected += 1  # nearly always
                    yield look
                    continue
                seq = look.first if isinstance(look, Gap) else look.row.seq
                if seq > expected:  # nothing there
                    gap, told = _joined(gap, Gap(expected, seq - 1, unread=False))
                    yield from told
                expected = seq + 1
                if isinstance(look, Gap):
                    gap, told = _joined(gap, look)
                    yield from told
                else:
                    if gap is not None:
                        yield gap
                        gap = None
                    yield look
        if gap is not None:
            yield gap

    def rows(self, after: int, partitions: range | None) -> Iterator[Row]:
        """See `Inspection.rows`; rows that cannot be read are left out."""
        where, args = "", tuple[int, ...]()
        if partitions is not None:
            where = " AND partition BETWEEN ? AND ?"
            args = (partitions.start, partitions.stop - 1)
        for lump in self._walk.lumps(COLUMNS, after, where, args):
            rows = [_row(one) for one in lump if not isinstance(one, Unread)]
            yield from self._filled(rows, lambda *_: None)

    def users_and_keys(self) -> Iterator[list[Any]]:
        """Users and keys of all rows that can be read."""
        fields = "seq, user_id, event_id"
        for lump in self._walk.lumps(fields, where=" AND event_id IS NOT NULL"):
            yield [one[1:] for one in lump if not isinstance(one, Unread)]

    def _judged(self, lump: Sequence[Any]) -> Iterator[Look]:
        unread = set[int]()
        rows = [_row(one) for one in lump if not isinstance(one, Unread)]
        filled = iter(self._filled(rows, partial(self._lost, unread)))
        for one in lump:
            if isinstance(one, Unread):
                yield self._without_body(one.key)
                continue
            row, had_body = next(filled), one[7] != ""
            whole = row.seq not in unread
            fit = _fit(row, one[9], one[10], self._unchecked, whole=whole)
            lacks = fit is Fit.BODY and not row.body and not had_body
            why = "its body is in no archive that the log knows" if lacks else ""
            yield Seen(row, one[9], _link_of(one[10]), whole, fit, why)

    def _without_body(self, seq: int) -> Look:
        """What can be read of a row that cannot be read as a whole."""
        try:
            found = self._db.execute(f"SELECT {HEADS} FROM log WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 -- text of the package
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
            return Gap(seq, seq, unread=True)
        if found is None:
            return Gap(seq, seq, unread=False)
        row = _row(found)
        fit = _fit(row, found[9], found[10], self._unchecked, whole=False)
        fit = Fit.HEAD if fit is Fit.HEAD else Fit.BODY
        return Seen(row, found[9], _link_of(found[10]), False, fit, "its body cannot be read")

    def _filled(self, rows: list[Row], lost: Lost) -> list[Row]:
        """Rows with their bodies, as far as these can be read."""
        if not rows or rows[0].seq > self._archives.last:
            return rows
        elsewhere = [row.seq for row in rows if row.body == ""]
        found = self._bodies(elsewhere, lost)
        return [row._replace(body=found.get(row.seq, row.body)) for row in rows]

    def _bodies(self, positions: Sequence[int], lost: Lost) -> dict[int, str]:
        try:
            return self._archives.bodies(self._db, positions, lost)
        except (sqlite3.Error, Damaged, TypeError) as error:  # TypeError: a number that is none
            if isinstance(error, sqlite3.Error) and not is_unread(error):
                raise
        if len(positions) > 1:  # those of others may be found
            return {
                seq: body for one in positions for seq, body in self._bodies([one], lost).items()
            }
        lost("", ArchiveDamaged("what the log keeps of its archives cannot be read"), positions)
        return {}

    def _lost(
        self, unread: set[int], name: str, error: ArchiveUnreadable, positions: Sequence[int]
    ) -> None:
        unread.update(positions)
        if isinstance(error, ArchiveGone):
            self.gone[name] += len(positions)
        else:
            edges = [min(positions), max(positions)]
            kept = self.damaged.setdefault(str(error), edges)
            kept[:] = [min(kept[0], edges[0]), max(kept[1], edges[1])]


def _joined(gap: Gap | None, other: Gap) -> tuple[Gap, list[Gap]]:
    """A gap that is still open, and one that is over."""
    if gap is None:
        return other, []
    if gap.unread is other.unread and gap.last + 1 == other.first:
        return gap._replace(last=other.last), []
    return other, [gap]


def _row(found: Any) -> Row:
    seq, partition, user, key, kind, at, notify, body, personal, *_ = found
    flag: Any = _FLAGS.get(notify, notify)  # of another type, if it is damaged
    return Row(seq, partition, user, key, kind, at, flag, body, personal)


def _link_of(stored: Any) -> Any:
    return stored[:LINK_BYTES] if isinstance(stored, bytes) else stored


def _fit(row: Row, proof: Any, stored: Any, unchecked: int, *, whole: bool) -> Fit:
    """What a row's checksum says of it; of one that is not whole, without its body."""
    if not isinstance(stored, bytes) or len(stored) != STAMP_BYTES:
        return Fit.UNSAID if fits(row, proof, stored, unchecked) else Fit.HEAD
    try:
        if not head_fits(row, stored):
            return Fit.HEAD
    except MISTYPED:
        return Fit.HEAD
    try:
        if whole and not body_fits(row, about_of(row.personal, proof), stored):
            return Fit.BODY
    except MISTYPED:
        return Fit.BODY
    return Fit.WHOLE
