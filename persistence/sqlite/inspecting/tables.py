"""Reads of the tables beside the log, which go on behind what SQLite cannot give."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from persistence.sqlite.connection import is_unread

BETWEEN_MAX: Final = 100_000
"""Between damaged pages so many keys are tried one by one."""
_LUMP: Final = 500
_MOST: Final = (1 << 63) - 1


class Unreadable(NamedTuple):
    """Rows between two keys that SQLite cannot give; there may be none."""

    above: int
    below: int | None


def rows_of(
    db: sqlite3.Connection, table: str, key: str, fields: str, where: str = "1"
) -> Iterator[tuple[Any, ...] | Unreadable]:
    """The rows of a table: from its begin, and behind damage from its end.

    Args:
        db: a connection.
        table: the table.
        key: its integer primary key.
        fields: what is read.
        where: a condition.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    reading = _Reading(db, f"SELECT {key}, {fields} FROM {table} WHERE {where}", key)  # noqa: S608 -- of this package
    yield from reading.forward()
    if not reading.failed:
        return
    yield from reading.backward()
    low, high = reading.above, reading.below
    if high is None or high - low > BETWEEN_MAX:
        yield Unreadable(low, high)
        return
    unread: Unreadable | None = None
    for here in range(low + 1, high):
        found = reading.one(here)
        if found is None:
            unread = Unreadable(here - 1 if unread is None else unread.above, here + 1)
            continue
        if found and unread is not None:
            yield unread
            unread = None
        yield from found
    if unread is not None:
        yield unread


class _Reading:
    """Reads a table from both of its ends.

    Attributes:
        above: all up to this key was read,
        below: and all from this one on.
        failed: whether something could not be.
    """

    def __init__(self, db: sqlite3.Connection, query: str, key: str) -> None:
        self._db = db
        self._query = query
        self._key = key
        self.above = -1
        self.below: int | None = None
        self.failed = False

    def forward(self) -> Iterator[tuple[Any, ...]]:
        query = f"{self._query} AND {self._key} > ? ORDER BY {self._key} LIMIT ?"
        for one in self._read(query, lambda: self.above):
            self.above = one[0]
            yield one[1:]

    def backward(self) -> Iterator[tuple[Any, ...]]:
        query = f"{self._query} AND {self._key} < ? ORDER BY {self._key} DESC LIMIT ?"
        for one in self._read(query, lambda: _MOST if self.below is None else self.below):
            if one[0] <= self.above:
                return
            self.below = one[0]
            yield one[1:]

    def one(self, key: int) -> list[tuple[Any, ...]] | None:
        """The row of a key, if there is one; None if it cannot be read."""
        try:
            found = self._db.execute(f"{self._query} AND {self._key} = ?", (key,)).fetchall()
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
            return None
        return [one[1:] for one in found]

    def _read(self, query: str, edge: Callable[[], int]) -> Iterator[tuple[Any, ...]]:
        """Rows in lumps, and one by one once a lump could not be read."""
        size = _LUMP
        while True:
            try:
                found = self._db.execute(query, (edge(), size)).fetchall()
            except sqlite3.Error as error:
                if not is_unread(error):
                    raise
                self.failed = True
                if size == 1:
                    return
                size = 1
                continue
            yield from found
            if len(found) < size:
                return
