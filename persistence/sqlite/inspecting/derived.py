"""What is derived of the log, compared with its rows as these go by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from messages.stored.form import Form
from persistence.sqlite.inspecting.fault import Fault
from persistence.sqlite.inspecting.index_db import IndexCheck
from persistence.sqlite.inspecting.keys import KeysCheck
from persistence.sqlite.inspecting.rows import Fit, Seen


class DerivedCheck:
    """Compares all derived files of a directory.

    Args:
        db: a connection to the log.
        directory: the data directory.
        last: where the log ends, as far as is known.
        form: says what the index has of a row.
    """

    def __init__(self, db: sqlite3.Connection, directory: Path, last: int, form: Form) -> None:
        self._index = IndexCheck(db, directory, last, form)
        self._keys = KeysCheck(db, directory, last)

    def take(self, seen: Seen) -> None:
        """The next row."""
        row, fit = seen.row, seen.fit
        if fit is Fit.HEAD:
            self._index.skip(row.seq, row.seq)
            return
        self._keys.take(row)
        self._index.take(row, whole=seen.whole and fit is not Fit.BODY)

    def skip(self, first: int, last: int) -> None:
        """Rows that are missing, or cannot be read."""
        self._index.skip(first, last)

    def users_of(self, first: int, last: int) -> Sequence[str]:
        """Whose rows are at these positions, as far as derived files say."""
        return self._index.users_of(first, last)

    def faults(self) -> Iterator[Fault]:
        """What is wrong, once all rows were shown."""
        yield from self._index.faults()
        yield from self._keys.faults()
