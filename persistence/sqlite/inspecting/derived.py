"""What is derived of the log, compared with its rows as these go by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from persistence.sqlite.inspecting.fault import Fault
from persistence.sqlite.inspecting.index_db import check_index_structure
from persistence.sqlite.inspecting.keys import KeysCheck
from persistence.sqlite.inspecting.rows import Fit, Seen


class DerivedCheck:
    """Compares all derived files of a directory.

    Args:
        db: a connection to the log.
        directory: the data directory.
        last: where the log ends, as far as is known.
    """

    def __init__(self, db: sqlite3.Connection, directory: Path, last: int) -> None:
        self._directory = directory
        self._keys = KeysCheck(db, directory, last)

    def take(self, seen: Seen) -> None:
        """The next row."""
        if seen.fit is not Fit.HEAD:
            self._keys.take(seen.row)

    def skip(self, first: int, last: int) -> None:
        """Rows that are missing, or cannot be read."""

    def faults(self) -> Iterator[Fault]:
        """What is wrong, once all rows were shown."""
        yield from check_index_structure(self._directory)
        yield from self._keys.faults()
