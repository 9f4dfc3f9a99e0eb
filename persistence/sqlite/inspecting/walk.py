"""Walks through tables that go on behind what SQLite cannot give.

A range of keys is read in one statement. If that fails, or the log has fewer rows than positions
in it, it is halved until the rows that cannot be read are found: a page that is damaged hides no
other one, and neither do two that changed places, of which SQLite says nothing.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from persistence.sqlite.connection import is_unread

LUMP: Final = 1_000
"""Positions of one statement."""
ROW_BYTES_MIN: Final = 24
"""No row takes less of a file, so it has at most so many as fit into it."""
_MOST: Final = (1 << 63) - 1
_RANGE: Final = "SELECT {} FROM log WHERE seq >= ? AND seq < ?{} ORDER BY seq LIMIT ?"
# It reads no page but that of its row; a range looks at what comes behind it too.
_ONE: Final = "SELECT {} FROM log WHERE seq = ?{}"


class Unread(NamedTuple):
    """A row that SQLite cannot give; there may be none of that key either."""

    key: int


Item: TypeAlias = "tuple[Any, ...] | Unread"


def rows_at_most(db: sqlite3.Connection) -> int:
    """How many rows the file of a connection can have."""
    ((pages,), (size,)) = (
        db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    return int(pages) * int(size) // ROW_BYTES_MIN


class LogWalk:
    """Reads the log, whose positions follow each other.

    Args:
        db: a connection.
        last: the newest position, as far as is known.
    """

    def __init__(self, db: sqlite3.Connection, last: int) -> None:
        self._db = db
        self._last = last
        self._ragged = set[int]()  # where lumps begin that have to be read row by row
        self._unread = list[tuple[int, int]]()  # positions that cannot be: from, and up to

    def lumps(
        self, fields: str, after: int = 0, where: str = "", args: Sequence[object] = ()
    ) -> Iterator[list[Item]]:
        """The rows behind a position, in order, of some positions at a time.

        Args:
            fields: what is read of each, first of all ``seq``.
            after: the position.
            where: a further condition, with ``AND`` before it. The log was read once without.
            args: its values.

        Raises:
            sqlite3.Error: the log cannot be read, for another reason than damage.
        """
        for begin in _grid(after, self._last):
            end = min(begin + LUMP - (begin - 1) % LUMP, self._last + 1)
            asked = _Asked(fields, where, tuple(args))
            if (begin - 1) // LUMP in self._ragged:
                yield [one for seq in range(begin, end) for one in self._one(asked, seq)]
            else:
                yield self._range(asked, begin, end)
        # More would be behind the end only if that is not known, or their positions are damaged.
        yield self._strays(_Asked(fields, where, tuple(args)), max(after, self._last))

    def one(self, fields: str, seq: int) -> Item | None:
        """A row, None if there is none; raises as `lumps`."""
        return next(iter(self._one(_Asked(fields, "", ()), seq)), None)

    def _range(self, asked: _Asked, begin: int, end: int) -> list[Item]:
        if end - begin == 1:
            return self._one(asked, begin)
        query = _RANGE.format(asked.fields, asked.where)
        try:
            found: list[Item] = self._db.execute(
                query, (begin, end, *asked.args, end - begin)
            ).fetchall()
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
        else:
            # What SQLite gives of a damaged page may be of any position.
            if asked.where or [row[0] for row in found] == [*range(begin, end)]:
                return found
        self._ragged.add((begin - 1) // LUMP)
        middle = (begin + end) // 2
        return [*self._range(asked, begin, middle), *self._range(asked, middle, end)]

    def _one(self, asked: _Asked, seq: int) -> list[Item]:
        at = bisect_right(self._unread, (seq, _MOST))
        if at and seq < self._unread[at - 1][1]:
            return [Unread(seq)]
        try:
            query = _ONE.format(asked.fields, asked.where)
            found: list[Item] = self._db.execute(query, (seq, *asked.args)).fetchall()
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
        else:
            if all(row[0] == seq for row in found):
                return found
        if at and self._unread[at - 1][1] == seq:
            self._unread[at - 1] = (self._unread[at - 1][0], seq + 1)
        else:
            self._unread.insert(at, (seq, seq + 1))
        return [Unread(seq)]

    def _strays(self, asked: _Asked, after: int) -> list[Item]:
        query = _RANGE.format(asked.fields, asked.where)
        try:
            found = self._db.execute(query, (after + 1, _MOST, *asked.args, LUMP)).fetchall()
            return [row for row in found if row[0] > after]
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
            return []


class _Asked(NamedTuple):
    fields: str
    where: str
    args: tuple[object, ...]


def _grid(after: int, last: int) -> Iterator[int]:
    """Where lumps begin, behind a position."""
    if after < last:
        yield after + 1
        yield from range(after - after % LUMP + LUMP + 1, last + 1, LUMP)
